"""The protocol's endpoints, over models small enough to make here: the application and a worker."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from models import registry
from service.api.inference_protocol.binary import read_elements, write_elements
from service.api.inference_protocol.routes import PATHS
from service.api.inference_protocol.schema import InferenceResponse
from service.engine.client import Engine
from service.observe.timing import STAGES
from tests.launch import eventually
from tests.service.in_process import sample, serving
from tests.small import SMALL_ARCHITECTURES, write_wordpiece

MODELS = ["lstm", "mingru", "transformer"]
TEXTS = ["a great story", "dull acting"]
INFER = "/v2/models/lstm/infer"
MAX_BODY_BYTES, MAX_INPUTS = 4000, 4


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    weights = tmp_path_factory.mktemp("served") / "weights"
    limits: dict[str, Any] = {"max_body_bytes": MAX_BODY_BYTES, "max_inputs": MAX_INPUTS}
    with pytest.MonkeyPatch.context() as patch:
        for name, architecture in SMALL_ARCHITECTURES.items():
            patch.setitem(registry.ARCHITECTURES, name, architecture)
        write_wordpiece(weights)
        with serving(
            weights, MODELS, shadow="lstm=transformer:1", max_tokens=100, **limits
        ) as client:
            yield client


def body(texts: list[str] = TEXTS, **fields: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [tensor], **fields}


def infer(client: TestClient, path: str = INFER, **fields: Any) -> dict[str, Any]:
    answer = client.post(path, json=body(**fields))
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def outputs(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """The data of each output by its name, in order."""
    return {output["name"]: output["data"] for output in answer["outputs"]}


def error(answer: Any) -> str:
    """The message of an error, checked for the protocol's form."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    told = answer.json()
    assert list(told) == ["error"]
    return cast(str, told["error"])


def test_server_is_live_and_ready(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_server_without_a_worker_is_not_ready(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "ready", False)
    for path in ("/v2/health/ready", "/v2/models/lstm/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert error(answer).startswith("Not ready: ")
    assert client.get("/v2/health/live").status_code == 200


def test_server_metadata_lists_what_is_here_whole(client: TestClient) -> None:
    metadata = client.get("/v2").json()
    assert metadata["name"] == "lockstep"
    assert metadata["extensions"] == ["binary_tensor_data", "classification"]
    assert client.get("/v2/").json() == metadata  # by a redirect


@pytest.mark.parametrize("path", ["/v2/models/lstm", "/v2/models/lstm/versions/1"])
def test_model_metadata_describes_its_tensors(client: TestClient, path: str) -> None:
    assert client.get(path).json() == {
        "name": "lstm",
        "versions": ["1"],
        "platform": "pytorch_safetensors",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }


@pytest.mark.parametrize("path", ["/v2/models/lstm/ready", "/v2/models/lstm/versions/1/ready"])
def test_model_is_ready(client: TestClient, path: str) -> None:
    assert client.get(path).json() == {"name": "lstm", "ready": True}


def test_other_model_and_other_version_are_not_found(client: TestClient) -> None:
    for model in ("gpt", "lstm/versions/2", "lstm/versions/01", "LSTM"):
        for verb in ("", "/ready"):
            answer = client.get(f"/v2/models/{model}{verb}")
            assert answer.status_code == 404
            assert error(answer).startswith("No such model: ")
        assert client.post(f"/v2/models/{model}/infer", json=body()).status_code == 404


@pytest.mark.parametrize("model", MODELS)
def test_answer_says_what_classify_says(client: TestClient, model: str) -> None:
    answer = infer(client, f"/v2/models/{model}/versions/1/infer")
    told = client.post("/v1/classify", json={"inputs": TEXTS, "model": model}).json()
    results = told["results"]
    assert (answer["model_name"], answer["model_version"]) == (model, "1")
    assert [output["shape"] for output in answer["outputs"]] == [[2], [2], [2, 2]]
    found = outputs(answer)
    assert list(found) == ["label", "score", "scores"]
    assert found["label"] == [result["label"] for result in results]
    assert found["score"] == pytest.approx([result["score"] for result in results], rel=1e-6)
    scores = [score for result in results for score in result["scores"].values()]
    assert found["scores"] == pytest.approx(scores, rel=1e-6)
    assert answer["parameters"]["tokens"] == sum(result["tokens"] for result in results)


def test_answer_is_of_the_type_that_is_documented(client: TestClient) -> None:
    some: dict[str, Any] = {"id": "42", "outputs": [{"name": "label"}]}
    for fields in ({}, some):
        answer = client.post(INFER, json=body(**fields)).content
        told = InferenceResponse.model_validate_json(answer, strict=True, extra="forbid")
        assert json.loads(told.model_dump_json(exclude_none=True)) == json.loads(answer)


def test_parameters_tell_where_the_time_went(client: TestClient) -> None:
    answer = client.post("/v2/models/mingru/infer", json=body(parameters={"schedule": "serial"}))
    parameters = answer.json()["parameters"]
    assert all(isinstance(value, str | int | float) for value in parameters.values())
    assert (parameters["schedule"], parameters["batch_size"], parameters["truncated"]) == (
        "serial",
        2,
        0,
    )
    stages = [parameters[f"{stage}_ms"] for stage in STAGES]
    assert sum(stages) == pytest.approx(parameters["total_ms"], abs=0.01)
    assert f"total;dur={parameters['total_ms']:.3f}" in answer.headers["server-timing"]


def test_id_is_given_back_if_there_was_one(client: TestClient) -> None:
    assert infer(client, id="forty-two é")["id"] == "forty-two é"
    assert infer(client, id="")["id"] == ""
    assert "id" not in infer(client)


def test_long_text_is_read_as_asked(client: TestClient) -> None:
    path, texts = "/v2/models/transformer/infer", ["a great story " * 5]
    assert infer(client, path, texts=texts)["parameters"]["truncated"] == 1
    segmented = infer(client, path, texts=texts, parameters={"long_input": "segment"})["parameters"]
    assert (segmented["truncated"], segmented["segments"]) == (0, 3)
    answer = client.post(path, json=body(texts, parameters={"long_input": "error"}))
    assert (answer.status_code, "window" in error(answer)) == (400, True)


def test_binary_outputs_are_the_same_as_those_in_json(client: TestClient) -> None:
    plain = outputs(infer(client))
    answer = client.post(INFER, json=body(parameters={"binary_data_output": True}))
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers["inference-header-content-length"])
    told, data = json.loads(answer.content[:size]), answer.content[size:]
    sizes = [output["parameters"]["binary_data_size"] for output in told["outputs"]]
    assert sizes == [2 * (4 + 8), 8, 16]
    assert not any("data" in output for output in told["outputs"])
    labels = [label.decode() for label in read_elements(data[: sizes[0]], 2)]
    numbers = list(struct.unpack("<6f", data[sizes[0] :]))
    assert labels == plain["label"]
    assert numbers == pytest.approx(plain["score"] + plain["scores"], rel=1e-6)


def test_one_binary_output_among_others_follows_the_json(client: TestClient) -> None:
    wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "label"}]
    answer = client.post(INFER, json=body(outputs=wanted))
    size = int(answer.headers["inference-header-content-length"])
    first, second = json.loads(answer.content[:size])["outputs"]
    assert (first["name"], first["parameters"]) == ("score", {"binary_data_size": 8})
    assert (second["name"], len(second["data"])) == ("label", 2)
    assert len(answer.content) == size + 8


def test_binary_input_is_read(client: TestClient) -> None:
    data = write_elements(TEXTS)
    tensor = {"name": "text", "shape": [2, 1], "datatype": "BYTES"}
    head = json.dumps(
        {"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = client.post(INFER, content=head + data, headers=headers)
    assert outputs(answer.json())["label"] == outputs(infer(client))["label"]


def test_raw_body_is_one_text(client: TestClient) -> None:
    headers = {"inference-header-content-length": "0", "content-type": "application/octet-stream"}
    answer = client.post(INFER, content=TEXTS[0].encode(), headers=headers)
    size = int(answer.headers["inference-header-content-length"])
    shapes = [output["shape"] for output in json.loads(answer.content[:size])["outputs"]]
    assert shapes == [[1], [1], [1, 2]]
    (label,) = outputs(infer(client, texts=TEXTS[:1]))["label"]
    assert answer.content[size + 4 :].startswith(label.encode())


def test_classification_names_the_likeliest_first(client: TestClient) -> None:
    plain = outputs(infer(client))
    for asked, given in ((1, 1), (2, 2), (7, 2)):
        wanted = [{"name": "scores", "parameters": {"classification": asked}}]
        (output,) = infer(client, outputs=wanted)["outputs"]
        assert (output["datatype"], output["shape"]) == ("BYTES", [2, given])
        classes = [element.split(":") for element in output["data"]]
        assert [label for *_, label in classes[::given]] == plain["label"]
        scores = [[float(value) for value, *_ in classes[i : i + given]] for i in (0, given)]
        assert [max(row) for row in scores] == pytest.approx(plain["score"], rel=1e-6)
        assert [sorted(row, reverse=True) for row in scores] == scores
        labels = ["negative", "positive"]
        assert all(labels[int(index)] == label for _, index, label in classes)


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream", ""])
def test_json_is_read_under_any_type_that_clients_send(client: TestClient, media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}
    sent = json.dumps(body()).encode()
    assert client.post(INFER, content=sent, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"content-type": "text/plain"}, "must be application/json"),
        ({"content-encoding": "gzip"}, "must not be encoded"),
        ({"content-encoding": "deflate"}, "must not be encoded"),
    ],
)
def test_other_types_and_encodings_are_refused(
    client: TestClient, headers: dict[str, str], message: str
) -> None:
    answer = client.post(INFER, content=json.dumps(body()), headers=headers)
    assert (answer.status_code, message in error(answer)) == (415, True)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"texts": ["fine", ""]}, 400, "inputs.0.data.1: text 1 is empty"),
        ({"texts": ["fine"] * 5}, 400, "inputs.0.shape: has 5 texts; at most 4"),
        ({"texts": ["fine", "fine " * 200]}, 413, "A text is too long: text 1 "),
        ({"parameters": {"schedule": "serial"}}, 400, "parameters.schedule: lstm runs only under"),
        ({"parameters": {"timeout": 1}}, 504, "Past its deadline: "),
        (
            {"outputs": [{"name": "logits"}]},
            400,
            "outputs.0.name: Input should be 'label', 'score' or",
        ),
        ({"inputs": []}, 400, "The request is not valid: inputs: List should have at least 1 item"),
        ({"id": "x" * MAX_BODY_BYTES}, 413, "The body is too large: "),
    ],
)
def test_fault_is_told_in_the_protocols_form(
    client: TestClient, fields: dict[str, Any], status: int, message: str
) -> None:
    answer = client.post(INFER, json=body(**fields))
    assert answer.status_code == status
    assert message in error(answer)


def test_body_that_is_no_json_is_told(client: TestClient) -> None:
    for sent in (b"", b"{", b'{"inputs": "\\ud800"}'):
        answer = client.post(INFER, content=sent)
        assert answer.status_code == 400
        assert error(answer).startswith("The body isn't JSON: ")


def test_failure_of_ours_tells_nothing_of_itself(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: Any) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(Engine, "infer", fail)
    answer = client.post(INFER, json=body())
    assert (answer.status_code, "secret" in error(answer)) == (500, False)


def test_wrong_method_names_the_right_one(client: TestClient) -> None:
    answer = client.get(INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert error(answer) == "Method not allowed: this path takes POST"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/lstm/config"),
        ("GET", "/v2/models/lstm/stats"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/lstm/unload"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/models/lstm/generate"),
        ("GET", "/v2/nowhere"),
    ],
)
def test_route_of_an_extension_that_is_not_here_is_told(
    client: TestClient, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert "GET /v2 lists its extensions that are here" in error(answer)


def test_request_is_counted_by_its_pattern_and_model(client: TestClient) -> None:
    versioned = "/v2/models/{name}/versions/{version}/infer"
    assert versioned in PATHS
    count = "lockstep_request_duration_seconds_count"
    good = {"code": "200", "model": "mingru", "route": versioned}
    bad = {"code": "400", "model": "mingru", "route": versioned}
    verdicts = {
        label: sample(client, "lockstep_predictions_total", label=label, model="mingru")
        for label in ("negative", "positive")
    }
    before = sample(client, count, **good), sample(client, count, **bad)
    invalid = sample(client, "lockstep_rejections_total", reason="invalid")
    found = outputs(infer(client, "/v2/models/mingru/versions/1/infer"))["label"]
    client.post("/v2/models/mingru/versions/1/infer", json=body([]))
    assert sample(client, count, **good) == before[0] + 1
    assert sample(client, count, **bad) == before[1] + 1
    assert sample(client, "lockstep_rejections_total", reason="invalid") == invalid + 1
    for label, seen in verdicts.items():
        now = sample(client, "lockstep_predictions_total", label=label, model="mingru")
        assert now == seen + found.count(label)


def counts(client: TestClient) -> dict[str, float]:
    """What was counted of one model; durations by how many there were, routes left out."""
    counted: dict[str, float] = {}
    for line in client.get("/metrics").text.splitlines():
        series, _, value = line.rpartition(" ")
        if re.match(r'\w+(_count|(?<!_seconds)_total)\{.*model="mingru"', series):
            series = re.sub(r',route="[^"]*"', "", series)
            counted[series] = counted.get(series, 0) + float(value)
    return counted


def test_request_feeds_every_metric_that_classify_feeds(client: TestClient) -> None:
    asked = {"inputs": TEXTS, "model": "mingru", "schedule": "serial"}
    ways: list[Callable[[], object]] = [
        lambda: client.post("/v1/classify", json=asked),
        lambda: infer(client, "/v2/models/mingru/infer", parameters={"schedule": "serial"}),
    ]
    grown = []
    for ask in ways:
        before = counts(client)
        ask()
        now = counts(client)
        grown.append({series: now[series] - before.get(series, 0) for series in now})
    assert grown[0] == grown[1]
    fed = {series.partition("{")[0] for series, more in grown[1].items() if more}
    assert "lockstep_request_duration_seconds_count" in fed
    assert len(fed) >= 9


def test_series_of_every_model_are_there_from_the_start(client: TestClient) -> None:
    labels = 'code="503",model="transformer",route="/v2/models/{name}/infer"'
    scrape = client.get("/metrics").text
    assert f"lockstep_request_duration_seconds_count{{{labels}}} 0.0" in scrape.splitlines()


def test_request_is_shadowed_like_any_other(client: TestClient) -> None:
    def read() -> float:
        agreed = [
            sample(
                client,
                "lockstep_shadow_agreements_total",
                agree=agree,
                primary="lstm",
                shadow="transformer",
            )
            for agree in ("true", "false")
        ]
        return sum(agreed)

    before = read()
    infer(client)
    eventually(lambda: read() > before)
