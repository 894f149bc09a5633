"""What a CPU with cores to spare gets unless told otherwise: two workers, of which one tries."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from service.engine.options import weights_folder
from tests.launch import Service, eventually
from tests.models.native import need_encoder
from tests.service.http import post
from tests.service.processes import worker_pids
from tests.small import write_model

WAIT_SECONDS = 120


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Service:
    write_model(weights, "mingru", architecture="mingru")
    arguments = ("--weights", str(weights), "--log-format", "json")
    return Service(*arguments, log=tmp_path / "log", env={"LOCKSTEP_THREADS": "2"})


def loaded(own: Service) -> list[str]:
    """How each worker runs the model, as it said."""
    lines = [json.loads(line).get("message", "") for line in own.log.read_text().splitlines()]
    return [line.partition(", loaded")[0] for line in lines if ", loaded in" in line]


def test_two_workers_share_a_cpu_and_what_the_first_found(own: Service) -> None:
    with own:
        # The first alone makes it ready.
        assert post(own, inputs="fine", model="mingru").status_code == 200
        eventually(lambda: len(loaded(own)) == 2, WAIT_SECONDS)
        first, second = loaded(own)
        assert first == second
        assert first.startswith("mingru on cpu in ")
        assert len(worker_pids(own)) == 2
        assert own.stop() == 0


def mapped(pid: int, folder: Path) -> set[str]:
    """The files of a folder that a process has in memory."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if str(folder) in line}


@pytest.mark.parametrize("end", ["told", "killed"])
def test_two_workers_have_one_copy_of_a_transformers_weights(tmp_path: Path, end: str) -> None:
    need_encoder()
    folder = weights_folder(tmp_path / "run")
    folder.mkdir(parents=True)
    (folder / "stale.weights").write_bytes(b"of a service that was killed")
    arguments = ("--models", "transformer", "--dtype", "bfloat16", "--runtime-dir", folder.parent)
    with Service(*map(str, arguments), log=tmp_path / "log", env={"LOCKSTEP_THREADS": "2"}) as own:
        eventually(lambda: len(loaded(own)) == 2, WAIT_SECONDS)
        first, second = (mapped(pid, folder) for pid in worker_pids(own))
        assert first == second == {str(path) for path in folder.iterdir()}
        assert len(first) > 1
        assert post(own, inputs="fine", model="transformer").status_code == 200
        if end == "told":
            assert own.stop() == 0
        else:
            os.kill(own.pid, signal.SIGKILL)
        eventually(lambda: not folder.exists(), WAIT_SECONDS)


def test_service_that_is_ended_while_the_second_loads_ends_in_order(own: Service) -> None:
    with own:
        assert own.stop() == 0
        assert "Traceback" not in own.log.read_text()
