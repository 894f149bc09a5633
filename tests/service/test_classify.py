"""``POST /v1/classify`` on the running service, with the shipped weights."""

from __future__ import annotations

import re

import pytest

from tests.launch import Service
from tests.service.http import REVIEW, get, post, post_raw, problem

MODELS = ("lstm", "transformer", "minilm")
STAGES = ("parse", "tokenize", "queue", "batch", "forward", "respond")


@pytest.mark.parametrize("model", MODELS)
def test_review_gets_its_sentiment_and_its_timing(service: Service, model: str) -> None:
    response = post(service, inputs=REVIEW, model=model)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["id", "model", "architecture", "schedule", "results", "timing"]
    (result,) = body["results"]
    assert result["label"] == "positive"
    assert sum(result["scores"].values()) == pytest.approx(1)
    assert (result["tokens"], result["segments"], result["truncated"]) == (17, 1, False)
    timing = body["timing"]
    total = sum(timing[f"{stage}_ms"] for stage in STAGES)
    assert total == pytest.approx(timing["total_ms"], rel=0.01, abs=0.004)  # abs: seven roundings


@pytest.mark.parametrize("model", MODELS)
def test_panned_film_is_negative(service: Service, model: str) -> None:
    text = "Two hours of my life that I will never get back. Dull, badly acted, and far too long."
    assert post(service, inputs=text, model=model).json()["results"][0]["label"] == "negative"


def test_depth_tells_recurrence_from_attention(service: Service) -> None:
    depths = {
        model: post(service, inputs=REVIEW, model=model).json()["timing"]["sequential_depth"]
        for model in MODELS
    }
    assert depths == {"lstm": 34, "transformer": 4, "minilm": 6}


def test_header_and_body_tell_the_same_times(service: Service) -> None:
    response = post(service, inputs=REVIEW, model="lstm")
    header = dict(re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"]))
    timing = response.json()["timing"]
    assert set(header) == {*STAGES, "total"}
    assert all(float(header[name]) == timing[f"{name}_ms"] for name in header)


def test_list_is_answered_in_order(service: Service) -> None:
    texts = ["wonderful", "dreadful and dull, a waste of time", "a delight from start to finish"]
    results = post(service, inputs=texts, model="lstm").json()["results"]
    assert [result["label"] for result in results] == ["positive", "negative", "positive"]


def test_list_scores_as_its_texts_do_alone(service: Service) -> None:
    texts = [REVIEW, "dull", "An awful mess. " * 20, "fine, I suppose"]
    together = post(service, inputs=texts, model="transformer").json()["results"]
    for text, result in zip(texts, together, strict=True):
        (alone,) = post(service, inputs=text, model="transformer").json()["results"]
        assert alone["scores"] == pytest.approx(result["scores"], abs=0.02)  # bfloat16's bound


def test_default_model_is_the_accurate_one(service: Service) -> None:
    assert post(service, inputs=REVIEW).json()["model"] == "minilm"


def test_request_id_rides_along(service: Service) -> None:
    content = b'{"inputs": "fine", "model": "lstm"}'
    response = post_raw(service, content, x_request_id="order-66")
    assert response.headers["x-request-id"] == response.json()["id"] == "order-66"


@pytest.mark.parametrize(
    "text",
    ["😀😀", "nul\x00inside", "סרט נהדר", "这部电影很好看", "zero​width", "\u202eright to left"],
    ids=["emoji", "nul", "hebrew", "chinese", "zero-width", "override"],
)
def test_strange_text_is_answered(service: Service, text: str) -> None:
    response = post(service, inputs=text, model="lstm")
    assert response.status_code == 200
    assert response.json()["results"][0]["tokens"] >= 3


def test_unknown_tokens_are_counted(service: Service) -> None:
    (result,) = post(service, inputs="good 😀 good", model="lstm").json()["results"]
    assert (result["tokens"], result["unknown_tokens"]) == (5, 1)


def test_ten_thousand_words_are_read_whole_by_a_recurrence(service: Service) -> None:
    text = "a wonderful and moving film " * 2000
    (result,) = post(service, inputs=text, model="lstm").json()["results"]
    assert (result["label"], result["tokens"], result["truncated"]) == ("positive", 10_002, False)


@pytest.mark.parametrize("model", ["transformer", "minilm"])
def test_long_text_is_truncated_and_says_so(service: Service, model: str) -> None:
    text = "a wonderful and moving film " * 2000
    (result,) = post(service, inputs=text, model=model).json()["results"]
    assert (result["truncated"], result["segments"], result["tokens"]) == (True, 1, 10_002)


def test_long_text_is_read_in_segments_when_asked(service: Service) -> None:
    text = "a wonderful and moving film " * 200
    response = post(service, inputs=text, model="transformer", long_input="segment")
    (result,) = response.json()["results"]
    assert (result["truncated"], result["segments"], result["label"]) == (False, 2, "positive")


def test_long_text_is_an_error_when_asked(service: Service) -> None:
    texts = ["short", "a wonderful and moving film " * 200]
    response = post(service, inputs=texts, model="transformer", long_input="error")
    body = problem(response)
    assert (response.status_code, body["code"]) == (422, "input_past_window")
    assert body["errors"][0]["loc"] == ["inputs", 1]


def test_windowless_model_needs_no_cut(service: Service) -> None:
    text = "a wonderful and moving film " * 200
    response = post(service, inputs=text, model="lstm", long_input="error")
    assert response.status_code == 200


def test_cards_are_listed_and_found_by_name(service: Service) -> None:
    models = {model["name"]: model for model in get(service, "/v1/models").json()["models"]}
    assert set(MODELS) <= set(models)
    assert get(service, "/v1/models/lstm").json() == models["lstm"]
    assert models["lstm"]["window"] is None
    assert models["minilm"]["window"] == 512
    wanted = {"architecture", "parameters", "flops_per_token", "sequential_depth", "longest_path"}
    wanted |= {"labels", "training", "accuracy", "calibration", "licence", "sha256"}
    assert all(wanted <= set(model) for model in models.values())
