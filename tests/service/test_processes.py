"""Two API processes on one port: any of them tells what both have seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.launch import Service, eventually
from tests.service.http import REVIEW, get, post, sample
from tests.service.in_process import WAIT_SECONDS
from tests.service.processes import worker_pid

REQUESTS = 24
ANSWERED = 'lockstep_request_duration_seconds_count{code="200",model="lstm",route="/v1/classify"}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with Service("--models", "lstm,transformer", "--api-processes", "2", log=log) as running:
        yield running


@pytest.fixture(scope="module")
def asked(service: Service) -> int:
    """How many requests were answered, each on a connection of its own."""
    for _ in range(REQUESTS):
        assert post(service, inputs=REVIEW, model="lstm").status_code == 200
    return REQUESTS


def test_every_scrape_is_complete_and_the_same(service: Service, asked: int) -> None:
    scrapes = [get(service, "/metrics").text for _ in range(8)]
    changing = ("/metrics", "lockstep_device_memory_bytes")
    recorded = [
        sorted(line for line in scrape.splitlines() if not any(c in line for c in changing))
        for scrape in scrapes
    ]
    assert [set(lines) ^ set(recorded[0]) for lines in recorded] == [set()] * 8
    assert all(len(lines) == len(recorded[0]) for lines in recorded)
    assert f"{ANSWERED} {asked}.0" in recorded[0]


def test_both_processes_answer(service: Service, asked: int) -> None:
    with httpx.Client(base_url=service.base_url, timeout=60) as client:
        first = client.get("/v1/models").json()
    assert all(get(service, "/v1/models").json() == first for _ in range(8))


def test_gap_is_of_all_processes(service: Service, asked: int) -> None:
    forwards = get(service, "/v1/gap").json()["forwards"]
    assert sum(forward["count"] for forward in forwards) == asked


def test_worker_that_was_replaced_is_counted_once(service: Service, asked: int) -> None:
    os.kill(worker_pid(service), signal.SIGKILL)
    restarts = 'lockstep_worker_restarts_total{device="cpu"}'
    eventually(lambda: sample(service, restarts) > 0, WAIT_SECONDS)
    eventually(lambda: post(service, inputs=REVIEW, model="lstm").status_code == 200, WAIT_SECONDS)
    assert {sample(service, restarts) for _ in range(8)} == {1.0}


def test_sigterm_ends_every_process(tmp_path: Path) -> None:
    service = Service("--models", "lstm", "--api-processes", "2", log=tmp_path / "log")
    with service:
        assert service.stop() == 0
