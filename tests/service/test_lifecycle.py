"""How the service starts, ends, and comes back: real processes, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from models import folder as folders
from service.settings import SHIPPED_WEIGHTS
from tests.launch import LOCKSTEP, ROOT, Program, Service, eventually
from tests.service.faulty import NO_API, SLOW_SPAWN
from tests.service.http import TIMEOUT_SECONDS, post, problem, sample
from tests.service.processes import api_pid, processes, worker_pid, worker_pids

LOST_CODES = {"worker_lost", "not_ready"}
START_SECONDS = 180  # until a worker's process is there, on a machine whose cores are all taken
LONG_TEXT = "a wonderful and moving film " * 1500  # a forward long enough to be caught in


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
    assert len(worker_pids(service)) == 1
    assert "libtorch" not in Path(f"/proc/{service.pid}/maps").read_text()


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


def test_killed_api_process_is_started_again(own: Service) -> None:
    with own:
        os.kill(api_pid(own), signal.SIGKILL)
        # Who connects meanwhile waits for the next one: the parent keeps the port.
        assert post(own, inputs="fine", model="lstm").status_code == 200
        assert own.stop() == 0


def test_api_process_that_cannot_start_ends_the_service_with_an_error(own: Service) -> None:
    own.command[own.command.index("cli.main")] = "tests.service.faulty"
    own.env[NO_API] = "1"
    own.launch()
    try:
        assert own.process.wait(180) == 1
        assert "before it had begun" in own.log.read_text()
        assert processes(own) == {}
    finally:
        own.stop()


def test_full_disk_under_the_log_costs_no_request(own: Service) -> None:
    own.command = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *own.command]
    with own:
        answers = [post(own, inputs="fine", model="lstm") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert own.stop() == 0
    assert own.log.read_text() == ""


def test_sigterm_before_anything_is_served_ends_the_start(own: Service) -> None:
    own.launch()
    try:
        eventually(lambda: len(processes(own)) > 1)
        own.process.terminate()
        assert own.process.wait(TIMEOUT_SECONDS) == 0
        assert "Traceback" not in own.log.read_text()
    finally:
        own.stop()


def spawned(starting: Program) -> bool:
    """Whether a worker's process is there."""
    return any("spawn_main" in command for command in processes(starting).values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_a_worker_is_born_leaves_it_nothing_to_complain_of(
    own: Service, number: signal.Signals
) -> None:
    """It waits for what it is started with as the signal comes, to the whole group."""
    own.command[own.command.index("cli.main")] = "tests.service.faulty"
    own.env[SLOW_SPAWN] = "3"
    own.launch()
    try:
        eventually(lambda: spawned(own), START_SECONDS)
        time.sleep(1)  # until it can hear
        os.killpg(own.pid, number)
        assert own.process.wait(TIMEOUT_SECONDS) == 0
        assert "Traceback" not in own.log.read_text()
    finally:
        own.stop()


def test_signal_in_the_middle_of_a_start_is_waited_for(own: Service) -> None:
    own.command[own.command.index("cli.main")] = "tests.service.faulty"
    own.env[SLOW_SPAWN] = "3"
    own.launch()
    try:
        eventually(lambda: spawned(own), START_SECONDS)
        own.process.terminate()
        assert own.process.wait(TIMEOUT_SECONDS) == 0
        assert "Traceback" not in own.log.read_text()
    finally:
        own.stop()


def test_parent_killed_during_the_start_leaves_nothing_behind(own: Service) -> None:
    own.launch()
    try:
        eventually(lambda: spawned(own), START_SECONDS)
        family = processes(own)
        os.kill(own.pid, signal.SIGKILL)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))
    finally:
        own.stop()


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


def test_port_that_another_takes_during_the_start_is_not_shared(tmp_path: Path) -> None:
    late = Service("--models", "lstm", log=tmp_path / "log")
    with socket.socket() as other, late.log.open("wb") as log:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
        other.bind(("127.0.0.1", late.port))
        late.process = subprocess.Popen(
            late.command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            eventually(lambda: len(processes(late)) > 1)  # it has bound the port
            other.listen()
            assert late.process.wait(180) == 2
            assert f"can't listen on 127.0.0.1:{late.port}" in late.log.read_text()
            assert processes(late) == {}
        finally:
            late.stop()


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


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_damaged_weights_end_the_start(tmp_path: Path, damage: str) -> None:
    weights = tmp_path / "weights"
    for name in (folders.WORDPIECE, "lstm"):
        shutil.copytree(SHIPPED_WEIGHTS / name, weights / name)
    file = weights / "lstm" / folders.WEIGHTS_FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    message = start_and_fail("--weights", str(weights))
    assert str(file) in message
    assert "Traceback" not in message
    assert ("can't be read" if damage == "missing" else "damaged") in message
