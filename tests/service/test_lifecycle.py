"""How the service starts, ends, and comes back: real processes, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from models import folder as folders
from service.settings import SHIPPED_WEIGHTS
from tests.launch import LOCKSTEP, ROOT, Program, Service, eventually
from tests.service.http import TIMEOUT_SECONDS, post, problem, sample

LOST_CODES = {"worker_lost", "not_ready"}
LONG_TEXT = "a wonderful and moving film " * 1500  # a forward long enough to be caught in


def processes(service: Service) -> dict[int, str]:
    """Descendants of the service, by id, each with its command line."""
    listing = subprocess.check_output(["ps", "-eo", "pid,ppid,args"], text=True)
    rows = [line.split(maxsplit=2) for line in listing.splitlines()[1:]]
    family, found = {service.pid}, dict[int, str]()
    for pid, parent, command in rows * 3:
        if int(parent) in family:
            family.add(int(pid))
            found[int(pid)] = command
    return found


def worker_pid(service: Service) -> int:
    """The process that holds the socket: the one that maps torch."""
    for pid in processes(service):
        if "libtorch" in Path(f"/proc/{pid}/maps").read_text():
            return pid
    raise AssertionError("no process of the service has loaded torch")


def api_pid(service: Service) -> int:
    """The process that answers HTTP: the one that runs an event loop."""
    for pid in processes(service):
        if any("eventpoll" in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    raise AssertionError("no process of the service runs an event loop")


def in_flight(service: Program, count: int) -> list[threading.Thread]:
    """Starts ``count`` long requests; each thread keeps its answer in ``answers``."""
    answers: list[httpx.Response | Exception] = []

    def ask() -> None:
        try:
            answers.append(post(service, inputs=LONG_TEXT, model="lstm"))
        except httpx.HTTPError as error:
            answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.answers = answers  # type: ignore[attr-defined]
        thread.start()
    series = 'lockstep_requests_in_flight{model="lstm"}'
    eventually(lambda: sample(service, series) >= count)
    return threads


def answered(threads: list[threading.Thread]) -> list[httpx.Response]:
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive(), "a client hangs"
    answers: list[httpx.Response] = threads[0].answers  # type: ignore[attr-defined]
    assert all(isinstance(answer, httpx.Response) for answer in answers), answers
    return answers


@pytest.fixture
def own(tmp_path: Path) -> Service:
    """A service to be cruel to, with one model."""
    return Service("--models", "lstm", log=tmp_path / "log")


def test_one_worker_holds_all_models_and_nobody_else_torch(service: Service) -> None:
    holders = [
        pid
        for pid in [service.pid, *processes(service)]
        if "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    ]
    assert len(holders) == 1


@pytest.mark.parametrize("whole_group", [False, True], ids=["parent", "group"])
def test_sigterm_lets_requests_in_flight_finish(own: Service, whole_group: bool) -> None:
    with own:
        threads = in_flight(own, 3)
        if whole_group:
            os.killpg(own.pid, signal.SIGTERM)
        else:
            os.kill(own.pid, signal.SIGTERM)
        assert [answer.status_code for answer in answered(threads)] == [200, 200, 200]
        assert own.process.wait(TIMEOUT_SECONDS) == 0
        assert "Traceback" not in own.log.read_text()


def test_killed_worker_fails_what_it_held_and_comes_back(own: Service) -> None:
    with own:
        worker = worker_pid(own)
        threads = in_flight(own, 6)
        os.kill(worker, signal.SIGKILL)
        answers = answered(threads)
        lost = [answer for answer in answers if answer.status_code != 200]
        assert len(lost) >= 4  # the first may have been answered before the signal came
        for answer in lost:
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        # One that was still being tokenized finds nobody to ask, which is as good a 503.
        assert {"worker_lost"} <= {problem(one)["code"] for one in lost} <= LOST_CODES
        eventually(lambda: post(own, inputs="fine", model="lstm").status_code == 200)
        assert sample(own, 'lockstep_worker_restarts_total{device="cpu"}') == 1


def test_killed_parent_leaves_nothing_behind(own: Service) -> None:
    with own:
        family = processes(own)
        os.kill(own.pid, signal.SIGKILL)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", own.port)) != 0


def test_killed_api_process_ends_the_service_with_an_error(own: Service) -> None:
    with own:
        os.kill(api_pid(own), signal.SIGKILL)
        assert own.process.wait(TIMEOUT_SECONDS) == 1


def start_and_fail(*arguments: str) -> str:
    """What ``lockstep serve`` says before it gives up."""
    ended = subprocess.run(
        [*LOCKSTEP, "serve", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == 2
    return ended.stderr


def test_impossible_setting_ends_the_start_with_its_name() -> None:
    assert "--port (LOCKSTEP_PORT)" in start_and_fail("--port", "80")


def test_unknown_model_ends_the_start_with_the_known_ones() -> None:
    assert "transformer" in start_and_fail("--models", "gpt")


def test_taken_port_ends_the_start(service: Service) -> None:
    message = start_and_fail("--port", str(service.port), "--models", "lstm")
    assert "in use" in message
    assert f"can't listen on 127.0.0.1:{service.port}" in message


@pytest.mark.parametrize("part", ["weights", "tokenizer"])
def test_checkpoint_that_does_not_match_ends_the_start(tmp_path: Path, part: str) -> None:
    weights = tmp_path / "weights"
    for name in (folders.WORDPIECE, "lstm"):
        shutil.copytree(SHIPPED_WEIGHTS / name, weights / name)
    config = weights / "lstm" / folders.CONFIG_FILE
    values = json.loads(config.read_text())
    values["sha256"][part] = "0" * 64
    config.write_text(json.dumps(values))
    message = start_and_fail("--weights", str(weights))
    assert "checksum" in message
    assert "train" in message
