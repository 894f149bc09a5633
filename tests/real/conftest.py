"""The stack of compose.yaml after traffic of every kind: one engine, one build, one ``up``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.real.engine import Engine
from tests.real.prometheus import Prometheus, hurried_config
from tests.real.stack import Stack, build_images
from tests.real.traffic import (
    classify_lengths,
    crowd,
    crowd_around,
    look_around,
    post_all,
    provoke,
    reviews,
)

MODELS = [("lstm", "auto"), ("transformer", "auto"), ("mingru", "serial"), ("mingru", "parallel")]
MAX_IN_FLIGHT = 4
SHORT, LONG = 800, 400  # reviews
RESTARTED = "LockstepWorkerRestarted"


@dataclass(frozen=True, slots=True)
class Observed:
    """A stack that has seen everything there is to see.

    Attributes:
        posted: reviews that were posted to each model, all of them answered.
        counted: how many more answers Prometheus has for each model than before them.
        at: when the alert of the killed worker fired, in seconds since 1970: what is asked of
            Prometheus is asked as of then.
    """

    stack: Stack
    posted: dict[str, int]
    counted: dict[str, float]
    at: float

    @property
    def prometheus(self) -> Prometheus:
        return self.stack.prometheus


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A Docker engine that has every image of compose.yaml but Grafana's."""
    folder = tmp_path_factory.mktemp("engine")
    with Engine(folder / "log") as running:
        build_images(running, folder)
        yield running


@pytest.fixture(scope="session")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service, one model shadowing another, and a Prometheus that doesn't take its time."""
    running = Stack(
        engine,
        LOCKSTEP_MODELS="lstm,transformer,mingru",
        LOCKSTEP_MAX_IN_FLIGHT=str(MAX_IN_FLIGHT),
        LOCKSTEP_MAX_MODEL_SHARE="1",  # one model's clients may fill it
        LOCKSTEP_SHADOW="transformer=lstm:1",
        PROMETHEUS_CONFIG=str(hurried_config(tmp_path_factory.mktemp("config"))),
    )
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def observed(stack: Stack) -> Observed:
    """The stack after its traffic, the last of which saw the workers die."""
    url, prometheus = stack.base_url, stack.prometheus
    # Texts before and after: a series that is new at one scrape has no rate before the next.
    classify_lengths(url, MODELS)
    prometheus.scraped()
    before = _answers(prometheus)
    posted = post_all(url, reviews(SHORT, LONG), MODELS, clients=MAX_IN_FLIGHT)
    prometheus.scraped()
    counted = {model: count - before[model] for model, count in _answers(prometheus).items()}
    classify_lengths(url, MODELS)
    look_around(url)
    assert provoke(url) == {404, 415, 422, 504}
    assert crowd(url, clients=3 * MAX_IN_FLIGHT) == {200, 429}
    prometheus.scraped()
    assert 503 in crowd_around(url, MAX_IN_FLIGHT, stack.kill_workers)
    prometheus.until(lambda: RESTARTED in prometheus.firing(), f"{RESTARTED} doesn't fire", 180)
    return Observed(stack, posted, counted, time.time())


def _answers(prometheus: Prometheus) -> dict[str, float]:
    """Answers to /v1/classify by model, as Prometheus last saw them."""
    query = 'lockstep_request_duration_seconds_count{route="/v1/classify", code="200"}'
    found = prometheus.ask(query)
    return {one.labels["model"]: one.value for one in found if one.labels["model"] != "other"}
