"""One service, two workers, two API processes, and everything that can happen to them.

Each test leaves the service whole: all its processes there, and ready.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench.processes import free_port
from models import folder as folders
from service.engine.heartbeat import Heartbeat
from service.engine.options import heartbeat_path, socket_path
from service.settings import SHIPPED_WEIGHTS
from tests.launch import Program, eventually
from tests.service.faulty import HANG, NO_MEMORY, NOT_A_NUMBER, RAISE
from tests.service.http import REVIEW, get, post, problem, sample
from tests.service.processes import api_pids, processes, worker_pids

WAIT_SECONDS = 180  # for a worker to be back, on a machine whose cores are all taken
REQUEST_SECONDS = 8  # after which a request ends by its deadline, and a stuck process is killed
DRAIN_DELAY_SECONDS = 3
RESTARTS = 'lockstep_worker_restarts_total{device="cpu"}'
IN_FLIGHT = 'lockstep_requests_in_flight{model="lstm"}'
MIDDLING = "a wonderful and moving film " * 60


class Victim(Program):
    """Two workers and two API processes, on weights of their own.

    Attributes:
        weights: may be damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.weights, self._runtime = folder / "weights", folder / "run"
        for name in (folders.WORDPIECE, "lstm"):
            shutil.copytree(SHIPPED_WEIGHTS / name, self.weights / name)
        port = free_port()
        settings = {
            "port": port,
            "models": "lstm",
            "threads": 1,  # with more it may be better undivided, and one worker have it all
            "weights": self.weights,
            "runtime-dir": self._runtime,
            "workers": 2,
            "api-processes": 2,
            "request-timeout-ms": REQUEST_SECONDS * 1000,
            "watchdog-ms": REQUEST_SECONDS * 1000,
            "drain-delay-ms": DRAIN_DELAY_SECONDS * 1000,
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        super().__init__(
            [sys.executable, "-m", "tests.service.faulty", "serve", *words],
            port=port,
            log=folder / "log",
            ready="/health/ready",
            ready_seconds=WAIT_SECONDS,
        )

    @property
    def whole(self) -> bool:
        """Whether every process is there, and each API process is connected to each worker."""
        begun = [Heartbeat(heartbeat_path(self._runtime, number)).count for number in range(2)]
        there = all(begun) and len(worker_pids(self)) == len(api_pids(self)) == 2
        return there and all(self._connections(number) == 2 for number in range(2))

    def _connections(self, worker: int) -> int:
        """Connections that a worker's socket has, as the kernel lists them."""
        path = str(socket_path(self._runtime, worker))
        sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return sum(fields[5:6] == ["03"] and fields[-1] == path for fields in sockets)

    @property
    def restarts(self) -> int:
        """Workers started again, as counted."""
        return int(sample(self, RESTARTS))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with Victim(tmp_path_factory.mktemp("victim")) as running:
        yield running


@pytest.fixture
def victim(started: Victim) -> Victim:
    eventually(lambda: started.whole, WAIT_SECONDS)
    return started


@dataclass(frozen=True)
class Sent:
    """A request that was answered, or wasn't."""

    response: httpx.Response | None
    ended: float


def ask(victim: Victim, text: str = REVIEW) -> Sent:
    try:
        response = post(victim, inputs=text, model="lstm")
    except httpx.TransportError:
        response = None
    return Sent(response, time.monotonic())


@contextmanager
def held(victim: Victim) -> Iterator[list[int]]:
    """For a moment no worker gets on: what is asked is in flight until the end."""
    workers = worker_pids(victim)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield workers
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def ask_until(victim: Victim, over: Callable[[], bool], clients: int = 8) -> list[Sent]:
    """What so many clients are told that ask again and again until it is ``over``."""
    sent: list[Sent] = []

    def client() -> None:
        while not over():
            sent.append(ask(victim, MIDDLING))

    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(client)
    return sent


def codes(sent: list[Sent]) -> Counter[int | None]:
    return Counter(one.response.status_code if one.response else None for one in sent)


def test_work_is_shared_out_between_the_workers(victim: Victim) -> None:
    with ThreadPoolExecutor(12) as pool, held(victim) as workers:
        asked = [pool.submit(ask, victim) for _ in range(12)]
        eventually(lambda: sample(victim, IN_FLIGHT) == 12)
        os.kill(workers[0], signal.SIGCONT)
        # Its share, and no more; each API process halves its own requests.
        eventually(lambda: sum(task.done() for task in asked) >= 5)
        time.sleep(1)
        assert sum(task.done() for task in asked) <= 7
    assert codes([task.result() for task in asked]) == {200: 12}


def test_requests_of_a_killed_worker_are_told_and_the_other_serves_on(victim: Victim) -> None:
    restarts, one = victim.restarts, worker_pids(victim)[0]
    with ThreadPoolExecutor(12) as pool, held(victim):
        asked = [pool.submit(ask, victim) for _ in range(12)]
        eventually(lambda: sample(victim, IN_FLIGHT) == 12)
        os.kill(one, signal.SIGKILL)
        told = time.monotonic()
        eventually(lambda: sum(task.done() for task in asked) >= 3)
    sent = [task.result() for task in asked]
    assert set(codes(sent)) == {200, 503}
    lost = [one.response for one in sent if one.response and one.response.status_code == 503]
    assert {problem(response)["code"] for response in lost} == {"worker_lost"}
    assert all(int(response.headers["retry-after"]) >= 1 for response in lost)
    assert max(one.ended for one in sent if one.response in lost) - told < REQUEST_SECONDS / 2
    eventually(lambda: victim.whole, WAIT_SECONDS)
    eventually(lambda: victim.restarts == restarts + 1)
    assert one not in worker_pids(victim)


def test_service_is_ready_while_one_worker_is_there(victim: Victim) -> None:
    restarts = victim.restarts
    os.kill(worker_pids(victim)[0], signal.SIGKILL)
    while not victim.whole:
        assert get(victim, "/health/ready").status_code == 200
        assert ask(victim).response is not None
    eventually(lambda: victim.restarts == restarts + 1)


def stuck(victim: Victim, make: Callable[[], object]) -> None:
    """A worker is made stuck: it is replaced, and meanwhile the other answers."""
    restarts, before = victim.restarts, set(worker_pids(victim))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(make)
        over = time.monotonic() + WAIT_SECONDS
        sent = ask_until(
            victim,
            lambda: victim.restarts > restarts or time.monotonic() > over,
            clients=2,
        )
    # One that it took with it ends by its deadline, or as the worker does.
    assert set(codes(sent)) <= {200, 503, 504}
    assert codes(sent)[200] > len(sent) / 2
    assert victim.restarts == restarts + 1
    assert len(before & set(worker_pids(victim))) == 1


def test_worker_in_a_forward_that_never_ends_is_replaced(victim: Victim) -> None:
    told: list[Sent] = []
    stuck(victim, lambda: told.append(ask(victim, f"a {HANG} of a film")))
    (one,) = told
    assert one.response is not None
    assert one.response.status_code in (503, 504)
    assert "has been stuck" in victim.log.read_text()


def test_worker_that_is_stopped_is_replaced(victim: Victim) -> None:
    stuck(victim, lambda: os.kill(worker_pids(victim)[1], signal.SIGSTOP))


def test_killed_api_process_is_replaced_and_nobody_is_refused(victim: Victim) -> None:
    one = api_pids(victim)[0]
    os.kill(one, signal.SIGKILL)
    # A connection that nobody has taken yet waits for whoever takes it.
    sent = [ask(victim) for _ in range(20)]
    assert set(codes(sent)) == {200}
    eventually(lambda: victim.whole, WAIT_SECONDS)
    assert one not in api_pids(victim)


def test_stopped_api_process_leaves_the_work_to_the_other_and_is_replaced(victim: Victim) -> None:
    one = api_pids(victim)[0]
    os.kill(one, signal.SIGSTOP)
    sent = [ask(victim) for _ in range(20)]
    assert set(codes(sent)) == {200}
    eventually(lambda: one not in processes(victim), WAIT_SECONDS)
    eventually(lambda: victim.whole, WAIT_SECONDS)


def test_what_a_dead_api_process_had_in_flight_counts_no_more(victim: Victim) -> None:
    with ThreadPoolExecutor(8) as pool, held(victim):
        asked = [pool.submit(ask, victim) for _ in range(8)]
        eventually(lambda: sample(victim, IN_FLIGHT) == 8)
        for pid in api_pids(victim):
            os.kill(pid, signal.SIGKILL)
        assert {task.result().response for task in asked} == {None}
    eventually(lambda: victim.whole, WAIT_SECONDS)
    assert sample(victim, IN_FLIGHT) == 0


def test_service_goes_on_while_its_parent_is_stopped(victim: Victim) -> None:
    before = set(processes(victim))
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        assert set(codes([ask(victim) for _ in range(10)])) == {200}
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    time.sleep(1)
    assert set(processes(victim)) == before
    assert ask(victim).response is not None


@pytest.mark.parametrize("word", [RAISE, NOT_A_NUMBER])
def test_text_that_no_forward_survives_fails_alone(victim: Victim, word: str) -> None:
    restarts = victim.restarts
    texts = [MIDDLING, *([REVIEW] * 5), f"a {word} of a film", *([REVIEW] * 5)]
    with ThreadPoolExecutor(len(texts)) as pool:
        sent = list(pool.map(lambda text: ask(victim, text), texts))
    assert codes(sent) == {200: len(texts) - 1, 500: 1}
    bad = sent[6].response
    assert bad is not None
    assert problem(bad)["code"] == "internal"
    assert "as asked" not in bad.text  # the log knows
    assert victim.restarts == restarts


def test_batch_too_large_for_the_memory_is_answered_in_parts(victim: Victim) -> None:
    response = post(victim, inputs=[f"a {NO_MEMORY} of a film"] * 8, model="lstm")
    assert response.status_code == 200
    assert response.json()["timing"]["batch_size"] == 1
    assert len(response.json()["results"]) == 8


def test_worker_that_cannot_start_is_tried_until_it_can(victim: Victim) -> None:
    restarts = victim.restarts
    file = victim.weights / "lstm" / folders.WEIGHTS_FILE
    file.rename(file.with_suffix(".away"))
    try:
        os.kill(worker_pids(victim)[0], signal.SIGKILL)
        # Once by the signal, once for want of weights.
        told = f"{file} can't be read"
        eventually(lambda: told in victim.log.read_text().replace("\\", ""), WAIT_SECONDS)
        eventually(lambda: "ended with 1; starting it again" in victim.log.read_text())
        assert ask(victim).response is not None
    finally:
        file.with_suffix(".away").rename(file)
    eventually(lambda: victim.whole, WAIT_SECONDS)
    eventually(lambda: victim.restarts >= restarts + 2)


def test_sigterm_fails_readiness_first_and_loses_no_request(victim: Victim) -> None:
    """The last of these tests: it ends the service."""
    seen: list[tuple[int | None, int | None]] = []
    body = json.dumps({"inputs": REVIEW, "model": "lstm"}).encode()
    head = "POST /v1/classify HTTP/1.1", "Host: here", "Content-Type: application/json"
    with socket.create_connection(("127.0.0.1", victim.port), timeout=WAIT_SECONDS) as slow:
        slow.sendall("\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode())
        time.sleep(0.5)  # until a process has it
        os.killpg(victim.pid, signal.SIGTERM)
        over = time.monotonic() + WAIT_SECONDS
        # Past the delay a connection is refused, at once and not when the service has ended.
        while seen.count((None, None)) < 3 and time.monotonic() < over:
            answer = ask(victim).response
            seen.append((ready(victim), answer.status_code if answer else None))
        assert victim.process.poll() is None
        slow.sendall(body)
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
    assert seen.count((503, 200)) >= 1  # not ready, and serving all the same
    assert {state for state, _ in seen} <= {200, 503, None}
    assert {code for _, code in seen} <= {200, None}
    assert victim.process.wait(WAIT_SECONDS) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", victim.port)) != 0


def ready(victim: Victim) -> int | None:
    """What a probe sees."""
    try:
        return get(victim, "/health/ready").status_code
    except httpx.TransportError:
        return None
