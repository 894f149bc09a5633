"""What a CPU with cores to spare gets unless told otherwise: two workers, of which one tries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.launch import Service, eventually
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


def test_service_that_is_ended_while_the_second_loads_ends_in_order(own: Service) -> None:
    with own:
        assert own.stop() == 0
        assert "Traceback" not in own.log.read_text()
