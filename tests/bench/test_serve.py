"""The service beside its baselines: the command, with servers made up and with the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench import serve
from bench.comparison import Comparison, Plan
from bench.contenders import BASELINES, TUNED, Rival, Setup, default, lockstep, name_of, tuned
from bench.load import Outcome
from bench.processes import Server, running
from bench.serve import measure, paused, tune
from bench.turns import Turn
from bench.workloads import WORKLOADS, requests
from cli.main import main
from tests.small import write_model

QUICK = ["--threads=1", "--seconds=0.2", "--rounds=1", "--clients=2", "--growth=3", "--sizes=4"]
OWN = f"--of={os.getpid()}"  # tells these from those of other runs of the tests
TEXTS = {"short": ["the film is great", "dull"], "long": ["a story " * 40]}


def fake(name: str, *words: str) -> Server:
    command = [sys.executable, "-m", "tests.bench.fake_server", "{port}", OWN, *words]
    return Server(name, command, path="/predict", ready="/health")


def bench(weights: Path, *words: str) -> int:
    return main(["bench", "serve", "--weights", str(weights), "--models", "lstm", *QUICK, *words])


@pytest.fixture
def models(weights: Path) -> Path:
    write_model(weights, "lstm")
    return weights


@pytest.fixture
def faked(models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts made-up servers in the place of all, the defaults with the words given."""

    def put(*words: str) -> None:
        monkeypatch.setattr(serve, "lockstep", lambda setup: fake(name_of("lockstep")))
        monkeypatch.setattr(serve, "default", lambda kind, setup: fake(name_of(kind), *words))
        monkeypatch.setattr(serve, "tuned", lambda rival, setup, size: fake(name_of(*rival)))

    return put


def left_over() -> str:
    """Made-up servers that still run."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return "\n".join(line for line in found.stdout.splitlines() if OWN in line)


def test_command_writes_tables_figures_and_plots(
    models: Path, faked: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faked()
    out = tmp_path / "some" / "serve"
    assert bench(models, "--workloads=mixed", "--out", str(out)) == 0
    found = json.loads((out / "serve.json").read_text(encoding="utf-8"))
    mixed, free = found["comparisons"]
    best = ["FastAPI, best", "LitServe, best"]
    borrowed = ["FastAPI, best, our forward", "LitServe, best, our forward"]
    servers = ["Lockstep", "FastAPI", "LitServe", *best, *borrowed]
    asked = [(turns["server"], turns["clients"]) for turns in mixed["turns"]]
    assert sorted(asked) == sorted([*((name, 2) for name in servers), ("Lockstep", 3)])
    assert {len(turns["rounds"]) for turns in mixed["turns"]} == {1}
    assert mixed["best_batch_sizes"] == dict.fromkeys([*best, *borrowed], 4)
    assert [one["against"] for one in found["with_its_forward"]] == borrowed
    assert mixed["offline"]["texts_per_second"][0] > 0
    assert mixed["answered_alike"].keys() == set(servers[1:])
    kinds = mixed["turns"][0]["rounds"][0]["kinds"]
    assert set(kinds) == {"short", "long"}
    assert (free["free_forward"], free["offline"], free["answered_alike"]) == (True, None, {})
    assert {turns["server"] for turns in free["turns"]} == set(servers[:3])
    page = (out / "serve.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"{page}\n"
    plots = {path.name for path in out.iterdir()} - {"serve.json", "serve.md"}
    assert plots == {
        f"{name}-{model}.{suffix}"
        for name in ("p99", "throughput")
        for model in ("lstm", "lstm-free")
        for suffix in ("png", "svg")
    }
    assert left_over() == ""


def test_baseline_that_fails_is_told_of(
    models: Path, faked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    faked("--failing", "3")
    assert bench(models, "--workloads=short", "--no-free") == 1
    captured = capsys.readouterr()
    assert "**Not every request was answered:**" in captured.out
    assert "lstm, short, 2 clients: FastAPI left" in captured.err
    assert "FastAPI, best left" not in captured.err
    assert "full" in captured.err
    assert left_over() == ""


def test_server_that_ends_leaves_nothing_running(
    models: Path,
    faked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faked("--no-such-flag")
    assert bench(models, "--workloads=short", "--no-free") == 1
    assert "FastAPI ended with 2" in capsys.readouterr().err
    assert left_over() == ""


def test_slow_turns_are_not_done_again(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setattr(serve, "SLOW", 0)
    asked = requests(WORKLOADS["short"], TEXTS, 1)
    one = Comparison("lstm", True, "float32", None, WORKLOADS["short"])
    plan = Plan(clients=[1], growth=[], sizes=[1], seconds=0.05, rounds=3, seed=1)
    setup = Setup(weights=models, model="lstm", dtype="float32", threads=1, free=True)
    with paused(servers := [fake("Lockstep"), fake("FastAPI")]):
        measure(setup, one, servers, servers, asked, plan, lambda line: None)
    assert {key: len(turns) for key, turns in one.turns.items()} == {
        ("Lockstep", 1): 1,
        ("FastAPI", 1): 1,
    }


def test_one_client_is_answered_by_baselines_that_wait_for_nobody(
    models: Path, faked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    faked()
    sizes: dict[int, int] = {}
    asked: list[tuple[str, int, int | None]] = []

    def tuned_to(rival: Rival, setup: Setup, size: int) -> Server:
        server = fake(name_of(*rival))
        sizes[server.port] = size
        return server

    def drive_with(server: Server, some: object, clients: int, *rest: object) -> Turn:
        asked.append((server.name, clients, sizes.get(server.port)))
        return Turn.of(Outcome(1.0, {"short": [0.1]}))

    monkeypatch.setattr(serve, "tuned", tuned_to)
    monkeypatch.setattr(serve, "drive", drive_with)
    assert bench(models, "--workloads=short", "--no-free", "--clients=1,2") == 0
    assert ("FastAPI, best", 1, 1) in asked
    assert ("FastAPI, best", 2, 4) in asked
    assert ("FastAPI, best", 1, 4) not in asked


def test_best_size_is_the_one_that_answers_most(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {1: 10, 4: 30, 16: 20}
    made: dict[int, int] = {}

    def tuned_to(rival: Rival, setup: Setup, size: int) -> Server:
        server = fake(name_of(*rival))
        made[server.port] = size
        return server

    def drive_at(server: Server, *unused: object) -> Turn:
        return Turn.of(Outcome(1.0, {"short": [0.1] * rates[made[server.port]]}))

    monkeypatch.setattr(serve, "tuned", tuned_to)
    monkeypatch.setattr(serve, "drive", drive_at)
    one = Comparison("lstm", False, "float32", None, WORKLOADS["short"])
    plan = Plan(clients=[1], growth=[], sizes=list(rates), seconds=0.1, rounds=1, seed=1)
    setup = Setup(weights=Path(), model="lstm", dtype="float32", threads=1)
    tune(setup, [one], {"short": []}, plan, lambda line: None)
    assert one.best == dict.fromkeys(TUNED, 4)
    assert one.sweep["fastapi", "best"] == rates


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workloads=poems"], "no workload poems; there are: short"),
        (["--seconds=0"], "above zero"),
        (["--models=nobody"], "nobody"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    models: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(models, *words) == 2
    assert message in capsys.readouterr().err


def test_real_servers_are_started_asked_and_ended(models: Path, tmp_path: Path) -> None:
    data = tmp_path / "reviews.tsv"
    rows = [f"{text}\t1" for kind in TEXTS.values() for text in kind]
    data.write_text("\n".join(["sentence\tlabel", *rows]), encoding="utf-8")
    out = tmp_path / "out"
    words = ("--workloads=mixed", "--no-free", f"--data={data}", "--out", str(out))
    assert bench(models, *words) == 0
    (mixed,) = json.loads((out / "serve.json").read_text(encoding="utf-8"))["comparisons"]
    assert set(mixed["answered_alike"].values()) == {serve.ASKED_ALIKE}
    assert all(turn["per_second"] > 0 for turns in mixed["turns"] for turn in turns["rounds"])


def test_free_forward_is_the_services_own(models: Path) -> None:
    setup = Setup(weights=models, model="lstm", dtype="float32", threads=1, free=True)
    with running([server := lockstep(setup)]):
        answer = server.ask('{"inputs": "the film is great"}')
    assert answer["results"][0]["scores"] == {"negative": 0.5, "positive": 0.5}


def test_baselines_run_as_they_are_said_to() -> None:
    setup = Setup(weights=Path("weights"), model="lstm", dtype="bfloat16", threads=2)
    plain = " ".join(default("fastapi", setup).command)
    best = " ".join(tuned(("litserve", "best"), setup, 4).command)
    borrowed = " ".join(tuned(("litserve", "borrowed"), setup, 4).command)
    assert "--dtype float32 --threads 2" in plain
    assert "--batch-size 32" in plain
    assert "--quiet" not in plain
    assert "bench.baselines.litserve_app" in best
    assert "--dtype bfloat16 --threads 2" in best
    assert "--batch-size 4" in best
    assert "--quiet" in best
    assert "--settled" not in plain + best
    assert borrowed.split()[-2:] == ["--quiet", "--settled"]


def test_all_compute_on_the_device_that_was_asked_for() -> None:
    setup = Setup(weights=Path("weights"), model="lstm", device="cuda:0", dtype="auto", threads=2)
    servers = [lockstep(setup), *(default(kind, setup) for kind in BASELINES)]
    servers += [tuned(rival, setup, 1) for rival in TUNED]
    assert all("--device cuda:0" in " ".join(server.command) for server in servers)


def test_service_shares_out_the_cores_itself_unless_it_gets_fewer() -> None:
    cores = len(os.sched_getaffinity(0))
    setup = Setup(weights=Path("weights"), model="lstm", dtype="auto", threads=cores)
    assert "--threads" not in lockstep(setup).command
    fewer = replace(setup, threads=cores - 1)
    assert f"--threads {cores - 1}" in " ".join(lockstep(fewer).command)


def test_what_tries_forwards_as_it_starts_is_started_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []

    @contextmanager
    def noting(servers: Sequence[Server]) -> Iterator[None]:
        started.append([server.name for server in servers])
        yield

    monkeypatch.setattr(serve, "running", noting)
    setup = Setup(weights=Path("weights"), model="lstm", dtype="bfloat16", threads=1)
    with paused([tuned(rival, setup, 1) for rival in TUNED]):
        pass
    alone = [[f"{title}, best, our forward"] for title in ("FastAPI", "LitServe")]
    assert started == [["FastAPI, best", "LitServe, best"], *alone]


@pytest.mark.parametrize(("growth", "beside"), [([], 8), ([8, 32, 64], 32)])
def test_limit_is_taken_next_to_the_turn_that_is_held_against_it(
    growth: list[int], beside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    class Limit:
        def texts_per_second(self) -> float:
            order.append("limit")
            return 9.0

    def drive_with(server: Server, some: object, clients: int, *more: object) -> Turn:
        order.append(f"{server.name} {clients}")
        return Turn.of(Outcome(1.0, {"mixed": [0.1] * 50}))

    monkeypatch.setattr(serve, "drive", drive_with)
    monkeypatch.setattr(serve, "_offline", lambda *unused: Limit())
    monkeypatch.setattr(serve, "labels", lambda *unused: [])
    one = Comparison("lstm", False, "float32", None, WORKLOADS["mixed"])
    plan = Plan(clients=[1, 8], growth=growth, sizes=[1], seconds=2.0, rounds=3, seed=1)
    setup = Setup(weights=Path("weights"), model="lstm", dtype="float32", threads=1)
    crowd = [
        Server(name, [sys.executable], path="/", ready="/") for name in ("Lockstep", "FastAPI")
    ]
    measure(setup, one, crowd, crowd, requests(WORKLOADS["mixed"], TEXTS, 1), plan, print)
    found = [order[place + 1] for place, what in enumerate(order) if what == "limit"]
    assert found == [f"Lockstep {beside}"] * 3
    assert one.offline == [9.0] * 3


def test_many_clients_are_asked_for_long_enough_that_each_is_answered_again(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def drive_with(server: Server, some: object, clients: int, seconds: float, seed: str) -> Turn:
        asked.append((clients, seconds))
        return Turn.of(Outcome(1.0, {"short": [0.1] * 50}))  # 50 a second

    monkeypatch.setattr(serve, "drive", drive_with)
    one = Comparison("lstm", False, "float32", None, WORKLOADS["short"])
    monkeypatch.setattr(serve, "_offline", lambda *unused: None)
    monkeypatch.setattr(serve, "labels", lambda *unused: [])
    plan = Plan(clients=[1, 32], growth=[8, 256], sizes=[1], seconds=2.0, rounds=1, seed=1)
    setup = Setup(weights=models, model="lstm", dtype="float32", threads=1)
    server = Server("Lockstep", [sys.executable], path="/", ready="/")
    measure(setup, one, [server], [server], requests(WORKLOADS["short"], TEXTS, 1), plan, print)
    assert asked[1:] == [(1, 2.0), (8, 2.0), (32, 2.0), (256, 3 * 256 / 50)]
