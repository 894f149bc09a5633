"""The service and a Prometheus with the deployed configuration, after traffic of every kind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.settings import SHIPPED_WEIGHTS
from tests.launch import Service
from tests.real.prometheus import Prometheus, deployed_config
from tests.real.traffic import classify_lengths, crowd, provoke
from tests.service.test_lifecycle import answered, in_flight, worker_pid
from tests.small import write_model

MODELS = [("lstm", "auto"), ("transformer", "auto"), ("mingru", "serial"), ("mingru", "parallel")]
MAX_IN_FLIGHT = 4
RESTARTED = "LockstepWorkerRestarted"


@dataclass(frozen=True, slots=True)
class Observed:
    """A service that has seen everything there is to see, and the Prometheus that saw it.

    Attributes:
        at: when the alert of the killed worker fired, in seconds since 1970: what is asked of
            Prometheus is asked as of then.
    """

    service: Service
    prometheus: Prometheus
    at: float


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Two shipped models, one shadowing the other, and one untrained that has two schedules."""
    folder = tmp_path_factory.mktemp("observed")
    arguments = ["--models", "lstm,transformer,mingru", "--weights", str(_weights(folder))]
    arguments += ["--max-in-flight", str(MAX_IN_FLIGHT), "--shadow", "transformer=lstm:1"]
    arguments += ["--dtype", "float32", "--threads", "1"]  # no time is looked at: soon ready
    with Service(*arguments, log=folder / "service.log") as service:
        config = deployed_config(folder, service.port)
        with Prometheus(config, folder) as prometheus:
            _traffic(service, prometheus)
            prometheus.until(lambda: RESTARTED in prometheus.firing(), f"{RESTARTED} doesn't fire")
            yield Observed(service, prometheus, time.time())


def _weights(folder: Path) -> Path:
    weights = folder / "weights"
    weights.mkdir()
    for name in ("wordpiece", "lstm", "transformer"):
        (weights / name).symlink_to(SHIPPED_WEIGHTS / name)
    write_model(weights, "mingru", architecture="mingru")
    return weights


def _traffic(service: Service, prometheus: Prometheus) -> None:
    """Texts twice: a series that is new at one scrape has no rate before the next."""
    for _ in range(2):
        classify_lengths(service.base_url, MODELS)
        _scraped(prometheus)
    assert provoke(service.base_url) == {404, 415, 422, 504}
    assert {200, 429} <= set(crowd(service.base_url, 3 * MAX_IN_FLIGHT))
    requests = in_flight(service, 3)
    os.kill(worker_pid(service), signal.SIGKILL)
    assert 503 in {answer.status_code for answer in answered(requests)}


def _scraped(prometheus: Prometheus) -> None:
    """Returns once a scrape that began after the call is stored."""
    now = time.time()
    query = f"timestamp(lockstep_build_info) > {now}"
    prometheus.until(lambda: prometheus.ask(query), "no new scrape")
