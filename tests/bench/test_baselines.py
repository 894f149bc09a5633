"""The baselines: their verdicts are ours, and they batch as they say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
import uvloop
from starlette.testclient import TestClient
from torch import Tensor
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.baselines.fastapi_app import Batcher, Verdict, create_app
from bench.baselines.litserve_app import BatchedSentimentAPI, create_api
from bench.baselines.servable import Options, Servable, parse
from models import registry
from models.base import Classifier
from models.checkpoint import load_predictor
from models.minilm import MiniLMConfig
from models.windows import prepare
from service.engine.choices import settle as choose
from tests.small import write_model

TEXTS = ["the film is great", "dull", "a slow and awful story ! " * 4, "fine acting ."]


def options(weights: Path, **values: Any) -> Options:
    words = ["--weights", str(weights), "--model", "transformer", "--threads", "1", "--port", "1"]
    for name, value in values.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return parse("", words)


@pytest.fixture
def models(weights: Path) -> Path:
    write_model(weights, "transformer", architecture="transformer")
    return weights


def ours(weights: Path) -> list[dict[str, float]]:
    """Scores of ``TEXTS`` by the one way to a score; one text is longer than the window."""
    _, predictor = load_predictor(weights, "transformer")
    return [prediction.verdict.scores for prediction in predictor.predict(TEXTS)]


def alike(results: Sequence[Verdict], expected: Sequence[dict[str, float]]) -> bool:
    return [one["scores"] for one in results] == [pytest.approx(one, abs=1e-6) for one in expected]


def test_fastapi_answers_as_the_service_does(models: Path) -> None:
    servable = Servable(options(models))
    with TestClient(create_app(servable.classify, 32, 0.005)) as client:
        assert client.get("/health").status_code == 200
        results = client.post("/predict", json={"inputs": TEXTS}).json()["results"]
        (one,) = client.post("/predict", json={"inputs": TEXTS[0]}).json()["results"]
    assert alike(results, ours(models))
    assert one["scores"] == pytest.approx(results[0]["scores"], abs=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_litserve_answers_as_the_service_does(models: Path, size: int) -> None:
    api: Any = create_api(options(models, batch_size=size))
    assert (type(api).unbatch is BatchedSentimentAPI.unbatch) is (size > 1)
    assert api.max_batch_size == size
    api.setup("cpu")
    asked = [api.decode_request({"inputs": inputs}) for inputs in (TEXTS[0], TEXTS[1:])]
    if size > 1:
        outputs = api.unbatch(api.predict(api.batch(asked)))
    else:
        outputs = [api.predict(one) for one in asked]
    answers = [api.encode_response(output)["results"] for output in outputs]
    assert [len(answer) for answer in answers] == [1, 3]
    assert alike([verdict for answer in answers for verdict in answer], ours(models))


def test_litserve_runs_no_more_texts_at_once_than_it_may(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    classify = Servable.classify

    def counting(self: Servable, texts: Sequence[str]) -> list[Verdict]:
        sizes.append(len(texts))
        return classify(self, texts)

    monkeypatch.setattr(Servable, "classify", counting)
    api: Any = create_api(options(models, batch_size=3))
    api.setup("cpu")
    api.predict([TEXTS, TEXTS])
    assert sizes == [1, 3, 3, 2], "a first one sets things up"


def test_free_baseline_computes_nothing(models: Path) -> None:
    verdicts = Servable(options(models, free=True)).classify(TEXTS)
    assert [verdict["score"] for verdict in verdicts] == [0.5] * len(TEXTS)


def test_dtype_is_the_one_asked_for(models: Path) -> None:
    servable = Servable(options(models, dtype="bfloat16"))
    assert str(servable._predictor.classifier.head.weight.dtype) == "torch.bfloat16"


def test_settled_baseline_runs_the_forward_that_the_service_would_choose(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []

    def settle(classifier: Classifier, wanted: str) -> tuple[str, bool]:
        settled.append(wanted)
        return choose(classifier, wanted)

    monkeypatch.setattr("service.engine.choices.settle", settle)
    verdicts = Servable(options(models, dtype="float32", settled=True)).classify(TEXTS)
    assert settled == ["float32"]
    assert [one["scores"] for one in verdicts] == [
        pytest.approx(one, abs=1e-4) for one in ours(models)
    ]
    Servable(options(models))
    assert settled == ["float32"]


def test_plain_baseline_computes_padding_and_a_settled_one_leaves_it_out(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, predictor = load_predictor(models, "transformer")
    config = MiniLMConfig(input_size=8, num_layers=2, num_heads=2, d_ff=8, max_length=64)
    scores: list[list[float]] = []
    rows: list[int] = []
    for settled in (False, True):
        torch.manual_seed(0)
        classifier = registry.build("minilm", config, predictor.classifier.embedding).eval()
        small = replace(predictor, classifier=classifier)
        monkeypatch.setattr("models.checkpoint.load_predictor", lambda *_, found=small: (0, found))
        words = {"settled": True} if settled else {}
        servable = Servable(options(models, model="minilm", **words))
        last = classifier.get_submodule("encoder.blocks.1.contract")
        seen: list[Tensor] = []
        last.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        scores.append([verdict["scores"]["positive"] for verdict in servable.classify(TEXTS)])
        rows.append(seen[0].numel() // seen[0].shape[-1])
    lengths = [text.tokens for text in prepare(TEXTS, predictor.tokenizer, None)]
    assert rows == [len(TEXTS) * max(lengths), classifier.computed_tokens(lengths)]
    assert sum(lengths) <= rows[1] < rows[0]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_baselines_have_the_fast_loop_and_parser_of_uvicorns_standard_install() -> None:
    config = uvicorn.Config(create_app(lambda texts: [], 1, 0.0))
    config.load()
    assert config.get_loop_factory() is uvloop.new_event_loop
    assert config.http_protocol_class is HttpToolsProtocol


async def _submit(batcher: Batcher, texts: Sequence[str]) -> list[Any]:
    running = asyncio.create_task(batcher.run())
    try:
        asked = (batcher.submit(text) for text in texts)
        async with asyncio.timeout(20):  # tells an answer from a hang
            return await asyncio.gather(*asked, return_exceptions=True)
    finally:
        running.cancel()


class Counted:
    """Calls each text its own label, and keeps the sizes of the batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, texts: Sequence[str]) -> list[Verdict]:
        self.batches.append(len(texts))
        return [{"label": text} for text in texts]


def test_batcher_runs_no_more_than_a_batch_in_order() -> None:
    classify = Counted()
    verdicts = asyncio.run(_submit(Batcher(classify, 4, 0.02), [str(n) for n in range(10)]))
    assert classify.batches == [4, 4, 2]
    assert [verdict["label"] for verdict in verdicts] == [str(n) for n in range(10)]


def test_batcher_waits_as_long_as_its_window_for_more() -> None:
    classify = Counted()

    async def run() -> None:
        batcher = Batcher(classify, 2, 20.0)
        running = asyncio.create_task(batcher.run())
        first = asyncio.create_task(batcher.submit("first"))
        await asyncio.sleep(0.05)
        assert classify.batches == []
        async with asyncio.timeout(10):  # less than the window
            await batcher.submit("second")
            await first
        running.cancel()

    asyncio.run(run())
    assert classify.batches == [2]
    asyncio.run(_submit(Batcher(classify, 2, 0.01), ["alone"]))
    assert classify.batches == [2, 1]


def test_batcher_goes_on_after_a_batch_that_failed() -> None:
    def classify(texts: Sequence[str]) -> list[Verdict]:
        if "bad" in texts:
            raise RuntimeError("no memory")
        return [{"label": text} for text in texts]

    found = asyncio.run(_submit(Batcher(classify, 1, 0.0), ["bad", "good"]))
    assert repr(found[0]) == "RuntimeError('no memory')"
    assert found[1] == {"label": "good"}


def test_text_that_cannot_be_read_is_the_clients_mistake(models: Path) -> None:
    servable = Servable(options(models))
    with TestClient(create_app(servable.classify, 1, 0.0)) as client:
        assert client.post("/predict", json={"inputs": ""}).status_code == 422
        assert client.post("/predict", json={"inputs": "fine"}).status_code == 200
