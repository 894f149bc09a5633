"""Two replicas behind HAProxy, on machines of their own: one goes, no request is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bench.asking import ask_all
from bench.soak import SHORT_TEXTS
from tests.launch import eventually
from tests.real.accounts import Accounts, classified
from tests.real.replicas import CONFIG, REPLICAS, Balancer, Network, Replica
from tests.service.processes import worker_pid

pytestmark = pytest.mark.real

MODELS = ("fnn", "lstm")
CLIENTS = 8
SOME = 25  # requests answered before something happens, and after it was found out
# White space counts for a body and costs a model nothing. With its headers this one fits, just.
BUFFER_BYTES = 65_536 - 1024
LARGE_BYTES = BUFFER_BYTES - 600
PAUSE_SECONDS = 0.01  # within a request: what was passed on by then couldn't be asked again
BOUND_SECONDS = 60  # tells an answer from a hang


class Site:
    """The network with what runs on it."""

    def __init__(self, network: Network, folder: Path) -> None:
        serve = ("--models", ",".join(MODELS), "--workers", "1", "--log-requests", "false")
        self.network = network
        self.replicas = [Replica(network, one, folder / one, *serve) for one in REPLICAS]
        self.balancer = Balancer(network, "balancer", folder / "balancer")

    def retries(self) -> float:
        """How often a request was asked again so far."""
        return self._sum(r"retry_warnings_total\{.*\}")

    def holds(self, replica: str) -> bool:
        """Whether the balancer waits for an answer of this one."""
        return self._sum(rf'current_sessions\{{.*server="{replica}"\}}') > 0

    def _sum(self, pattern: str) -> float:
        scrape = httpx.get(f"{self.balancer.base_url}/metrics", timeout=10).text
        found = re.findall(rf"^haproxy_server_{pattern} (\d+)", scrape, re.MULTILINE)
        return sum(map(float, found))

    def wait_for(self, *up: str) -> None:
        """Until the balancer sends requests to these replicas and to no other."""
        wanted = {name: name in up for name in REPLICAS}
        eventually(lambda: self.balancer.up() == wanted, 300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both replicas ready, and the balancer in front of them."""
    with Network((*REPLICAS, "balancer"), os.getpid() % 256) as network:
        made = Site(network, tmp_path_factory.mktemp("site"))
        with contextlib.ExitStack() as stack:
            for replica in made.replicas:
                replica.launch()
                stack.callback(replica.stop)
            for replica in made.replicas:
                replica.settle()
            stack.enter_context(made.balancer)
            made.wait_for(*REPLICAS)
            yield made


@pytest.fixture(scope="module")
def labels() -> dict[tuple[str, str], str]:
    """Of each text, as it is and in a body that just fits the buffer."""
    short = classified(MODELS, SHORT_TEXTS)
    large = {(model, padded(text)): label for (model, text), label in short.items()}
    return short | large


def padded(text: str) -> str:
    return text + " " * (LARGE_BYTES - len(text))


def under_load(
    site: Site, labels: dict[tuple[str, str], str], act: Callable[[Callable[[], None]], None]
) -> Accounts:
    """What became of every request while ``act`` did what it does.

    ``act`` is given a function that returns once some more requests were answered.
    """
    accounts, over = Accounts(labels), threading.Event()
    asks = accounts.draw("load", random.Random(1), PAUSE_SECONDS)

    def load() -> None:
        asyncio.run(
            ask_all(
                site.balancer.address,
                asks,
                CLIENTS,
                accounts.settle,
                seconds=BOUND_SECONDS,
                over=over.is_set,
            )
        )

    def some_more() -> None:
        wanted = accounts.settled + SOME
        eventually(lambda: accounts.settled >= wanted, BOUND_SECONDS)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        some_more()
        act(some_more)
        some_more()
    finally:
        over.set()
        thread.join(2 * BOUND_SECONDS)
    assert not thread.is_alive()
    return accounts


def assert_nothing_lost(accounts: Accounts) -> None:
    assert accounts.wrong == []
    assert accounts.refused == {}
    assert accounts.answered == accounts.asked > 2 * SOME


def test_both_replicas_answer(site: Site, labels: dict[tuple[str, str], str]) -> None:
    assert_nothing_lost(under_load(site, labels, lambda some_more: some_more()))
    for replica in site.replicas:
        scrape = httpx.get(f"{replica.base_url}/metrics", timeout=30).text
        assert re.search(
            r'request_duration_seconds_count\{code="200",.*/v1/classify"\} [1-9]', scrape
        )


def test_killed_replica_loses_nothing(site: Site, labels: dict[tuple[str, str], str]) -> None:
    first, before = site.replicas[0], site.retries()

    def act(some_more: Callable[[], None]) -> None:
        first.signal(signal.SIGSTOP)  # or it may just have answered all that it was asked
        eventually(lambda: site.holds(REPLICAS[0]), BOUND_SECONDS)
        first.kill()
        site.wait_for(REPLICAS[1])
        some_more()
        first.start()
        site.wait_for(*REPLICAS)

    assert_nothing_lost(under_load(site, labels, act))
    assert site.retries() > before  # what it held was asked of the other


def test_stopped_replica_loses_nothing(site: Site, labels: dict[tuple[str, str], str]) -> None:
    first, before = site.replicas[0], site.retries()

    def act(some_more: Callable[[], None]) -> None:
        first.signal(signal.SIGSTOP)
        try:
            site.wait_for(REPLICAS[1])
            some_more()
        finally:
            first.signal(signal.SIGCONT)
        site.wait_for(*REPLICAS)

    assert_nothing_lost(under_load(site, labels, act))
    assert site.retries() > before


def test_replica_that_is_cut_off_loses_nothing(
    site: Site, labels: dict[tuple[str, str], str]
) -> None:
    before = site.retries()

    def act(some_more: Callable[[], None]) -> None:
        site.network.cut(REPLICAS[1])
        try:
            site.wait_for(REPLICAS[0])
            some_more()
        finally:
            site.network.mend(REPLICAS[1])
        site.wait_for(*REPLICAS)

    assert_nothing_lost(under_load(site, labels, act))
    assert site.retries() > before


def test_lost_worker_of_one_replica_loses_nothing(
    site: Site, labels: dict[tuple[str, str], str]
) -> None:
    """It answers 503 for what the worker held; the balancer asks the other."""

    def act(some_more: Callable[[], None]) -> None:
        os.kill(worker_pid(site.replicas[0]), signal.SIGKILL)
        some_more()
        site.wait_for(*REPLICAS)

    assert_nothing_lost(under_load(site, labels, act))


def test_rolling_restart_loses_nothing(site: Site, labels: dict[tuple[str, str], str]) -> None:
    statuses = []

    def act(some_more: Callable[[], None]) -> None:
        for replica in site.replicas:
            statuses.append(replica.stop(BOUND_SECONDS))
            replica.start()
            site.wait_for(*REPLICAS)

    assert_nothing_lost(under_load(site, labels, act))
    assert statuses == [0, 0]


@pytest.mark.parametrize("size", [1_000, 4 * BUFFER_BYTES], ids=["fits", "larger"])
def test_request_that_nobody_is_left_for_is_refused_in_form(site: Site, size: int) -> None:
    body = {"inputs": SHORT_TEXTS[0] + " " * size, "model": MODELS[0]}
    url = f"http://{site.balancer.address[0]}:{site.balancer.address[1]}/v1/classify"
    for replica in site.replicas:
        replica.signal(signal.SIGSTOP)
    try:
        reply = httpx.post(url, json=body, headers={"x-request-id": "left"}, timeout=BOUND_SECONDS)
    finally:
        for replica in site.replicas:
            replica.signal(signal.SIGCONT)
    site.wait_for(*REPLICAS)
    assert reply.status_code in (502, 503)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["retry-after"] == "2"
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "left"
    assert reply.json()["status"] == reply.status_code
    assert httpx.post(url, json=body, timeout=BOUND_SECONDS).status_code == 200


def test_balancer_refuses_in_the_form_of_every_error(site: Site) -> None:
    url = f"http://{site.balancer.address[0]}:{site.balancer.address[1]}/metrics"
    for sent in ({"x-request-id": 'an "id"'}, {"x-request-id": "x" * 129}, {}):
        reply = httpx.get(url, headers=sent, timeout=30)
        assert reply.status_code == reply.json()["status"] == 404
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["request_id"] == reply.headers["x-request-id"]
        assert len(reply.json()["request_id"]) in (7, 36)  # the one sent, or a new one


def test_configuration_states_the_buffer_that_is_tried() -> None:
    text = CONFIG.read_text(encoding="utf-8")
    sizes = [int(re.findall(rf"tune\.{name} (\d+)", text)[0]) for name in ("bufsize", "maxrewrite")]
    assert sizes[0] - sizes[1] == BUFFER_BYTES
