"""The comparison of policies, and its command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.batching import LONGEST_SHORT, Latency, compare, offline_limit, quantile
from bench.traffic import Clients, Texts
from cli.main import main
from service.engine.forward_cost import ForwardCost
from tests.small import write_model

COST = ForwardCost(start=0.004, step=0.0, token=0.0001)


def test_results_are_of_the_same_texts_under_each_policy() -> None:
    texts = Texts({"short": [10, 20], "long": [200, 300]})
    results = {
        result.policy: result
        for result in compare(
            "lstm", None, COST, texts, Clients(16), count=400, padded_tokens=2048, seed=1
        )
    }
    assert list(results) == [
        "lockstep",
        "window 5 ms, 32",
        "window 10 ms, 32",
        "first come, 32",
        "one at a time",
    ]
    assert {result.short.texts + result.long.texts for result in results.values()} == {360}
    single, ours = results["one at a time"], results["lockstep"]
    assert (single.padding, single.rows_per_batch, single.decision_seconds) == (0.0, 1.0, None)
    assert ours.texts_per_second > single.texts_per_second
    assert ours.short.p99 is not None
    assert single.short.p99 is not None
    assert ours.short.p99 < single.short.p99 / 2


def test_offline_limit_is_that_of_texts_sorted_and_batched() -> None:
    texts = Texts({"one": [100]})
    limit = offline_limit(COST, texts, count=1000, seed=1)
    assert limit.padded_tokens == 65536  # padding nothing, the fixed part is shared by all
    assert limit.texts_per_second == pytest.approx(1000 / COST.seconds(1000, 100), rel=0.01)
    mixed = Texts({"short": [10, 20], "long": [200, 300]})
    results = compare("lstm", None, COST, mixed, Clients(16), count=400, padded_tokens=2048, seed=1)
    best = offline_limit(COST, mixed, count=400, seed=1).texts_per_second
    assert max(result.texts_per_second for result in results) < best


def test_latency_of_no_texts_is_unknown() -> None:
    assert Latency.of([]) == Latency(0, None, None, None)
    assert Latency.of([0.5]) == Latency(1, 0.5, 0.5, 0.5)


def test_quantile_lies_between_its_neighbours() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(n) for n in range(101)], 0.99) == pytest.approx(99.0)


@pytest.fixture
def models(weights: Path) -> Path:
    for name in ("lstm", "transformer"):
        write_model(weights, name, architecture=name)
    return weights


def bench(weights: Path, *words: str) -> int:
    return main(["bench", "batching", "--weights", str(weights), "--texts", "60", *words])


def test_command_measures_replays_and_takes_its_costs_back(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "some" / "batching.json"
    assert bench(models, "lstm", "transformer", "--threads", "1", "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "one at a time" in printed
    assert "off by" in printed
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [model["model"] for model in found["models"]] == ["lstm", "transformer"]
    assert found["traffic"] == "32 clients"
    lengths = {length for _, length, _ in found["models"][1]["measured"]}
    assert lengths == {8}, "the small Transformer's window"

    again = tmp_path / "again.json"
    assert bench(models, "lstm", "--costs", str(out), "--out", str(again)) == 0
    (model,) = json.loads(again.read_text(encoding="utf-8"))["models"]
    for old, new in zip(found["models"][0]["results"], model["results"], strict=True):
        assert new | {"decision_seconds": None} == old | {"decision_seconds": None}


def test_command_draws_lengths_from_data(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "mine" / "reviews.tsv"
    data.parent.mkdir()
    data.write_text("sentence\tlabel\nthe film is great\t1\nawful\t0\n", encoding="utf-8")
    out = tmp_path / "out.json"
    words = ("--data", str(data), "--rate", "50", "--out", str(out), "--threads", "1")
    assert bench(models, "lstm", *words) == 0
    assert "50 texts a second at random times; texts of mine/reviews" in capsys.readouterr().out
    (model,) = json.loads(out.read_text(encoding="utf-8"))["models"]
    assert {result["long"]["texts"] for result in model["results"]} == {0}, LONGEST_SHORT


@pytest.mark.parametrize("content", ["{}", '{"models": [{}], "machine": {}}', "no JSON"])
def test_wrong_costs_are_refused(
    models: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(content, encoding="utf-8")
    assert bench(models, "--costs", str(costs)) == 2
    assert "lockstep bench: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--clients", "--rate", "--texts", "--threads"])
def test_nothing_to_replay_is_refused(
    models: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(models, "lstm", option, "0") == 2
    assert "above zero" in capsys.readouterr().err
