"""A service under load to which everything happens, by a seed: every request is accounted for.

What came of them all is logged: `make real ARGS='-k chaos -o log_cli=true -o log_cli_level=INFO'`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.asking import Ask, ask_all, parse_head
from bench.soak import SHORT_TEXTS
from tests.launch import Service, eventually
from tests.real.accounts import REFUSED, Accounts, classified
from tests.service.http import get, sample
from tests.service.processes import api_pid, worker_pids

pytestmark = pytest.mark.real

logger = logging.getLogger("tests.chaos")

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "2"))  # of everything that happens
MODELS = ("fnn", "lstm")
CLIENTS, FLOOD, LEAVERS = 6, 48, 4
STOPPED_SECONDS = 2  # twice as long as half of the requests are given
SOME = 15  # answers from one thing that happens to the next
MAX_IN_FLIGHT = 16
START_SECONDS = 180  # of a worker: some 5 s, and many times that where every core is taken
BOUND_SECONDS = 60  # tells an answer from a hang
# What a request may take here, so that stopping a process is felt.
SETTINGS = {
    "models": ",".join(MODELS),
    "max-in-flight": str(MAX_IN_FLIGHT),
    "max-model-share": "1",
    "request-timeout-ms": "4000",
    "body-timeout-ms": "1500",
    "log-requests": "false",
}
COUNTED = ("200", "429", "503", "504")


class Chaos:
    """A service, its clients, and what can happen to both.

    Attributes:
        accounts: of every client that waits for its answers; the load's come first.
        floods: those of them that flooded it.
        slow: statuses that slow clients were given.
        left: requests whose clients didn't wait.
        happened: how often each thing did.
    """

    def __init__(self, service: Service, labels: dict[tuple[str, str], str]) -> None:
        self.service, self.labels = service, labels
        self.address = ("127.0.0.1", service.port)
        self.accounts: list[Accounts] = []
        self.floods: list[Accounts] = []
        self.slow: Counter[int] = Counter()
        self.left = 0
        self.happened: Counter[str] = Counter()
        self.chance = random.Random(SEED)
        self._one_kill_at_a_time = threading.Lock()

    def kill_worker(self) -> None:
        """It is back before this returns."""
        with self._one_kill_at_a_time:
            before = self._restarts()
            os.kill(self._worker(), signal.SIGKILL)
            eventually(lambda: self._restarts() > before, START_SECONDS)

    def stop_worker(self) -> None:
        self._stop(self._worker(), STOPPED_SECONDS)

    def stop_api(self) -> None:
        self._stop(api_pid(self.service), 1.0)

    def flood(self) -> None:
        """More at once than are let in."""
        self.floods.append(self.ask("flood", FLOOD, FLOOD))

    def slow_client(self) -> None:
        """One that takes its time, a byte by a byte, and one that never comes to its end."""
        for part in (1.0, 0.5):
            ask = Ask(f"slow-{self.chance.random()}", MODELS[0], SHORT_TEXTS[0])
            sent = ask.encode("localhost")
            with socket.create_connection(self.address, BOUND_SECONDS) as sock:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # told so already
                    for byte in sent[: int(len(sent) * part)]:
                        sock.sendall(bytes([byte]))
                        time.sleep(0.002)
                received = b""
                while b"\r\n\r\n" not in received and (chunk := sock.recv(65536)):
                    received += chunk
            status, headers = parse_head(received.partition(b"\r\n\r\n")[0])
            assert part == 1 or status == 408
            assert status in ({200, 408} | REFUSED.keys())
            assert headers["x-request-id"] == ask.id or status == 408
            self.slow[status] += 1

    def leave(self) -> None:
        """Clients that are gone before they can be answered."""
        for _ in range(LEAVERS):
            ask = Ask(f"left-{self.chance.random()}", MODELS[1], SHORT_TEXTS[0])
            with socket.create_connection(self.address, BOUND_SECONDS) as sock:
                sock.sendall(ask.encode("localhost"))
                time.sleep(0.002)
            self.left += 1

    def ask(
        self,
        prefix: str,
        clients: int,
        count: int | None,
        over: Callable[[], bool] | None = None,
        timeout_ms: int | None = None,
    ) -> Accounts:
        """Sends ``count`` requests, or as many as there are until ``over``.

        Half of them are given ``timeout_ms``.
        """
        accounts = Accounts(self.labels)
        self.accounts.append(accounts)
        chance = random.Random(f"{SEED} {prefix} {len(self.accounts)}")
        drawn = accounts.draw(
            f"{prefix}-{len(self.accounts)}", chance, timeouts_ms=(None, timeout_ms)
        )
        asks = drawn if count is None else (next(drawn) for _ in range(count))
        asyncio.run(
            ask_all(
                self.address,
                asks,
                clients,
                accounts.settle,
                seconds=BOUND_SECONDS,
                over=over or (lambda: False),
            )
        )
        return accounts

    @contextlib.contextmanager
    def under_load(self) -> Iterator[Callable[[], None]]:
        """Clients that ask all the while; gives a function that waits for some more answers."""
        over = threading.Event()
        asked = ("load", CLIENTS, None, over.is_set, STOPPED_SECONDS * 1000 // 2)
        thread = threading.Thread(target=self.ask, args=asked)

        def some_more() -> None:
            wanted = self.accounts[0].settled + SOME
            eventually(lambda: self.accounts[0].settled >= wanted, 2 * BOUND_SECONDS)

        thread.start()
        try:
            eventually(lambda: bool(self.accounts))
            yield some_more
        finally:
            over.set()
            thread.join(2 * BOUND_SECONDS)
        assert not thread.is_alive()

    def happen(self) -> None:
        """Everything, in an order of chance, two things at a time."""
        things = [self.kill_worker, self.stop_worker, self.stop_api]
        things += [self.flood, self.slow_client, self.leave]
        order = self.chance.sample(things * ROUNDS, len(things) * ROUNDS)
        with self.under_load() as some_more, ThreadPoolExecutor(2) as pool:
            some_more()
            for pair in zip(order[::2], order[1::2], strict=True):
                for done in [pool.submit(thing) for thing in pair]:
                    done.result(2 * START_SECONDS)
                self.happened.update(thing.__name__ for thing in pair)
                some_more()

    def counted(self) -> Counter[str]:
        """Requests for a verdict by status, as the service counted them."""
        name = "lockstep_request_duration_seconds_count"
        found: Counter[str] = Counter()
        for line in get(self.service, "/metrics").text.splitlines():
            if line.startswith(name) and 'route="/v1/classify"' in line:
                code = re.search(r'code="(\d+)"', line)
                assert code
                found[code[1]] += int(float(line.rpartition(" ")[2]))
        return found

    def _restarts(self) -> float:
        return sample(self.service, 'lockstep_worker_restarts_total{device="cpu"}')

    def _worker(self) -> int:
        """Waits for it, as it may be starting."""
        eventually(lambda: bool(worker_pids(self.service)), START_SECONDS)
        return worker_pids(self.service)[0]

    def _stop(self, pid: int, seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError):  # killed meanwhile
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """After everything has happened."""
    flags = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    labels = classified(MODELS, SHORT_TEXTS)
    with Service(*flags, log=tmp_path_factory.mktemp("chaos") / "log") as service:
        made = Chaos(service, labels)
        made.happen()
        refused = sum((one.refused for one in made.accounts), Counter[int]())
        logger.info(
            "seed %d: %d asked, %d answered, refused %s, %d left, slow clients %s; %s",
            SEED,
            sum(one.asked for one in made.accounts),
            sum(one.answered for one in made.accounts),
            dict(refused),
            made.left,
            dict(made.slow),
            dict(made.happened),
        )
        yield made


def test_every_request_is_answered_once_and_right_or_refused_in_form(chaos: Chaos) -> None:
    assert [wrong for accounts in chaos.accounts for wrong in accounts.wrong] == []
    for accounts in chaos.accounts:
        assert accounts.settled == accounts.asked
    assert chaos.accounts[0].answered > SOME


def test_flood_is_refused_and_not_all_of_it(chaos: Chaos) -> None:
    assert [accounts.asked for accounts in chaos.floods] == [FLOOD] * chaos.happened["flood"]
    assert sum(accounts.refused[429] for accounts in chaos.floods) > 0
    assert sum(accounts.answered for accounts in chaos.floods) > 0


def test_slow_clients_are_answered_or_told_that_they_are_slow(chaos: Chaos) -> None:
    assert chaos.slow.total() == 2 * chaos.happened["slow_client"]
    assert chaos.slow[408] >= chaos.happened["slow_client"]


def test_service_counted_what_its_clients_did(chaos: Chaos) -> None:
    eventually(lambda: sample_sum(chaos, "lockstep_requests_in_flight") == 0, BOUND_SECONDS)
    counted = chaos.counted()
    seen = Counter({"200": sum(accounts.answered for accounts in chaos.accounts)})
    for accounts in chaos.accounts:
        seen.update({str(status): count for status, count in accounts.refused.items()})
    seen.update({str(status): count for status, count in chaos.slow.items()})
    for code in COUNTED:
        assert seen[code] <= counted[code] <= seen[code] + chaos.left, (code, seen, counted)


def test_service_is_as_before(chaos: Chaos) -> None:
    eventually(lambda: get(chaos.service, "/health/ready").status_code == 200, BOUND_SECONDS)
    assert sample(chaos.service, 'lockstep_worker_restarts_total{device="cpu"}') == ROUNDS
    assert sample_sum(chaos, "lockstep_queue_depth") == 0
    assert chaos.ask("after", 1, 40).answered == 40


def sample_sum(chaos: Chaos, name: str) -> float:
    """Over every model."""
    lines = get(chaos.service, "/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))
