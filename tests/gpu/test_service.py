"""The whole service on a GPU, with the shipped weights, as a client sees it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.baselines.servable import Servable, parse
from models.checkpoint import load_predictor
from tests.launch import ROOT, Service

pytestmark = pytest.mark.gpu

MODELS = ["lstm", "gru", "mingru", "mamba", "cnn", "transformer", "minilm"]
WEIGHTS = ROOT / "weights"
TEXTS = [
    "A film of rare beauty.",
    "I walked out after an hour of this noise.",
    "Dull, slow and far too long, with an ending that explains what nobody had asked. " * 8,
    "One of the best performances of the year. " * 40,
]


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("gpu") / "log"
    words = ["--device", "cuda", "--models", ",".join(MODELS)]
    with Service(*words, log=log) as running:
        yield running


def classify(service: Service, model: str, **more: object) -> dict[str, object]:
    body = {"inputs": TEXTS, "model": model, **more}
    reply = httpx.post(f"{service.base_url}/v1/classify", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    answer: dict[str, object] = reply.json()
    return answer


@pytest.mark.parametrize("model", MODELS)
def test_answers_are_those_of_the_cpu(on_gpu: Service, model: str) -> None:
    answer = classify(on_gpu, model)
    _, predictor = load_predictor(WEIGHTS, model)
    expected = [found.verdict for found in predictor.predict(TEXTS)]
    results = answer["results"]
    assert isinstance(results, list)
    assert [one["label"] for one in results] == [one.label for one in expected]
    # bfloat16 keeps 8 bits; the texts are far from the edge.
    assert [one["score"] for one in results] == pytest.approx(
        [one.score for one in expected], abs=0.05
    )
    timing = answer["timing"]
    assert isinstance(timing, dict)
    assert str(timing["device"]).startswith("cuda")
    assert 0 < timing["forward_ms"] <= timing["total_ms"]


@pytest.mark.parametrize("schedule", ["serial", "parallel"])
def test_either_schedule_runs_on_a_gpu(on_gpu: Service, schedule: str) -> None:
    answer = classify(on_gpu, "mingru", schedule=schedule)
    assert answer["schedule"] == schedule


def test_metrics_tell_of_the_gpu(on_gpu: Service) -> None:
    classify(on_gpu, "lstm")
    page = httpx.get(f"{on_gpu.base_url}/metrics").text
    samples = {
        sample.name: sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.labels.get("device", "").startswith("cuda")
    }
    assert samples["lockstep_worker_busy_seconds_total"].value > 0
    assert samples["lockstep_device_memory_bytes"].value > 0
    assert "lockstep_model_info" in samples


@pytest.mark.parametrize("words", [[], ["--settled"]])
def test_baselines_answer_there_as_they_do_on_the_cpu(words: list[str]) -> None:
    common = ["--weights", str(WEIGHTS), "--model", "minilm", "--threads", "1", "--port", "1"]
    found, expected = (
        Servable(parse("", [*common, *more])).classify(TEXTS)
        for more in (["--device", "cuda", "--dtype", "bfloat16", *words], [])
    )
    assert [one["label"] for one in found] == [one["label"] for one in expected]
