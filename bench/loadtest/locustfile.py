"""A load test for Locust: real lengths through every model, and where each one's time went.

    locust -f bench/loadtest/locustfile.py --headless --host http://localhost:8000 --run-time 30s

Locust's own report tells how long requests took by model. Below it stand percentiles of each stage,
from ``Server-Timing``, and the gap, from the service's ``/v1/gap``. It runs with Locust alone, with
its web page, and in several processes (``--processes``).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from typing import Any

import gevent
import requests
from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from bench.loadtest.stage_times import StageTimes, gap_rows, parse_server_timing
from bench.tables import table
from bench.traffic import made_texts
from training.data import read

TIMEOUT_SECONDS = 60.0
MADE = 1000  # texts of each kind, where no data are given
WORDS = ["the", "film", "is", "great", "and", "dull", "not", "slow", "but", "fine", "story", "was"]

times = StageTimes()
models: list[str] = []
texts: list[Sequence[str]] = []  # by kind, each as likely as another


class Reader(FastHttpUser):
    """Someone who asks about one text after another, of each model as often as of any other."""

    wait_time = constant(0)
    network_timeout = connection_timeout = TIMEOUT_SECONDS

    def on_start(self) -> None:
        self.headers = key_header(options_of(self.environment).key)

    @task
    def classify(self) -> None:
        model = random.choice(models)
        body = {"inputs": random.choice(random.choice(texts)), "model": model}
        with self.client.post(
            "/v1/classify", json=body, headers=self.headers, name=model, catch_response=True
        ) as reply:
            if reply.status_code == 200:
                schedule = reply.json()["schedule"]
                line = f"{model}, {schedule}" if schedule else model
                times.add(line, parse_server_timing(reply.headers["Server-Timing"]))
            else:
                reply.failure(problem(reply))


def problem(reply: Any) -> str:
    """What went wrong, in the service's own words where there are any."""
    try:
        said = reply.json()
        return f"{reply.status_code} {said['code']}: {said['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{reply.status_code}, and no problem document"


def options_of(environment: Environment) -> argparse.Namespace:
    """What was typed."""
    options = environment.parsed_options
    assert isinstance(options, argparse.Namespace), "locust parses before it begins"
    return options


def key_header(key: str | None) -> dict[str, str]:
    """What a service that asks for a key wants to see."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def made(seed: int) -> list[Sequence[str]]:
    """Texts as long as SST-2's sentences and as IMDB's reviews, of words drawn by chance."""
    generator = random.Random(seed)
    lengths = made_texts(MADE, 1024, seed).sources.values()
    return [[" ".join(generator.choices(WORDS, k=n - 2)) for n in kind] for kind in lengths]


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Lockstep")
    group.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SOURCE",
        help=".tsv, .csv or .jsonl (also .gz) with texts, each as often as another (made-up texts)",
    )
    group.add_argument("--models", nargs="*", default=[], help="names of models (all)")
    group.add_argument("--baseline", default="transformer", help="that the gap is to")
    group.add_argument("--least", type=int, default=5, help="requests that a mean is of")
    group.add_argument("--key", env_var="LOAD_KEY", help="where the service wants one")


def begin(environment: Environment, **unused: Any) -> None:
    sources = [read(source) for source in options_of(environment).data]
    texts[:] = [[row.text for row in source.rows] for source in sources] or made(seed=1)
    # Locust sets its alarms by a clock that stood still meanwhile: --run-time would be over.
    gevent.get_hub().loop.update_now()


def choose_models(environment: Environment, **unused: Any) -> None:
    options = options_of(environment)
    try:
        known = [model["name"] for model in ask(environment, "/v1/models")["models"]]
    except requests.RequestException as error:
        print(f"No service to ask: {error}")
        environment.process_exit_code = 2
        if environment.runner:
            environment.runner.quit()
        return
    models[:] = options.models or known


def ask(environment: Environment, path: str) -> Any:
    """What the service says there. Raises requests.RequestException."""
    key = key_header(options_of(environment).key)
    reply = requests.get(f"{environment.host}{path}", headers=key, timeout=TIMEOUT_SECONDS)
    reply.raise_for_status()
    return reply.json()


def send_times(client_id: str, data: dict[str, Any]) -> None:
    data["stage_times"] = times.drain()


def gather_times(client_id: str, data: dict[str, Any]) -> None:
    times.merge(data["stage_times"])


def tell(environment: Environment, **unused: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    if not models:
        return
    options = options_of(environment)
    print(f"\nWhere the time went, ms\n\n{table(times.rows())}")
    try:
        gap = ask(environment, f"/v1/gap?baseline={options.baseline}")
    except requests.RequestException as error:
        print(f"\nThe gap can't be told: {error}")
        return
    rows = table(gap_rows(gap, options.least))
    print(f"\nThe gap: mean forwards of all the service's requests since its start\n\n{rows}")


LISTENERS = {
    events.init_command_line_parser: add_options,
    events.init: begin,
    events.test_start: choose_models,
    events.report_to_master: send_times,
    events.worker_report: gather_times,
    events.quitting: tell,
}
for event, listener in LISTENERS.items():
    event.add_listener(listener)  # type: ignore[no-untyped-call]  # locust's is untyped
