"""The running service and every shipped model, asked by Triton's own client, as it is published."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException

from models.folder import WORDPIECE
from service.settings import SHIPPED_WEIGHTS
from tests.launch import ROOT, Service, printed, require
from tests.service.http import REVIEW, TIMEOUT_SECONDS, post
from tests.test_readme import examples

pytestmark = pytest.mark.real

MODELS = sorted(path.name for path in SHIPPED_WEIGHTS.iterdir() if path.name != WORDPIECE)
TEXTS = [REVIEW, "Dull and far too long.", "这部电影很好看 😀"]
OUTPUTS = ["label", "score", "scores"]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[InferenceServerClient]:
    where = f"127.0.0.1:{service.port}"
    with InferenceServerClient(where, concurrency=8, network_timeout=TIMEOUT_SECONDS) as client:
        yield client


def tensor(*texts: str, binary: bool = True, column: bool = False) -> list[InferInput]:
    array = np.array([text.encode() for text in texts], dtype=np.object_)
    array = array.reshape(-1, 1) if column else array
    text = InferInput("text", list(array.shape), "BYTES")
    return [text.set_data_from_numpy(array, binary_data=binary)]


def wanted(binary: bool) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]


def check(result: Any, told: dict[str, Any]) -> None:
    """A result is what ``/v1/classify`` told of the same texts."""
    results = told["results"]
    labels = [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("label")]
    assert labels == [one["label"] for one in results]
    assert result.as_numpy("score").dtype == np.float32
    np.testing.assert_allclose(result.as_numpy("score"), [one["score"] for one in results], 0.05)
    scores = [list(one["scores"].values()) for one in results]
    assert result.as_numpy("scores").shape == (len(results), 2)
    np.testing.assert_allclose(result.as_numpy("scores"), scores, atol=0.05)


def test_server_is_live_ready_and_described(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["extensions"] == ["binary_tensor_data", "classification"]


@pytest.mark.parametrize("model", MODELS)
def test_model_is_ready_and_described(client: InferenceServerClient, model: str) -> None:
    assert client.is_model_ready(model)
    metadata = client.get_model_metadata(model)
    (version,) = metadata["versions"]
    assert client.is_model_ready(model, version)
    assert client.get_model_metadata(model, version) == metadata
    assert not client.is_model_ready(model, "2")
    assert [output["name"] for output in metadata["outputs"]] == OUTPUTS


@pytest.mark.parametrize("model", MODELS)
def test_model_answers_binary_and_not(
    client: InferenceServerClient, service: Service, model: str
) -> None:
    told = post(service, inputs=TEXTS, model=model).json()
    check(client.infer(model, tensor(*TEXTS)), told)  # its defaults: all that can be is binary
    check(client.infer(model, tensor(*TEXTS, binary=False), outputs=wanted(False)), told)
    check(client.infer(model, tensor(*TEXTS, column=True), "1", wanted(False)), told)
    check(client.infer(model, tensor(*TEXTS, binary=False, column=True), "1", wanted(True)), told)


@pytest.mark.parametrize("model", MODELS)
def test_model_classifies(client: InferenceServerClient, model: str) -> None:
    for binary in (True, False):
        asked = [InferRequestedOutput("scores", binary_data=binary, class_count=k) for k in (1, 2)]
        for k, output in enumerate(asked, 1):
            result = client.infer(model, tensor(*TEXTS), outputs=[output]).as_numpy("scores")
            assert result.shape == (len(TEXTS), k)
            for row in result:
                classes = [bytes(one) if binary else one.encode() for one in row]
                values = [float(one.split(b":")[0]) for one in classes]
                assert values == sorted(values, reverse=True)
                assert {one.split(b":", 1)[1] for one in classes} <= {b"0:negative", b"1:positive"}


def test_many_requests_at_once_are_each_given_their_own(client: InferenceServerClient) -> None:
    texts = {str(number): ["good " * (number % 7 + 1)] * (number % 3 + 1) for number in range(24)}
    asked = {
        key: client.async_infer("lstm", tensor(*some), request_id=key)
        for key, some in texts.items()
    }
    for key, handle in asked.items():
        result = handle.get_result(timeout=TIMEOUT_SECONDS)
        assert result.get_response()["id"] == key
        assert len(result.as_numpy("label")) == len(texts[key])


def test_asyncio_client_is_answered(service: Service) -> None:
    async def ask() -> list[Any]:
        where = f"127.0.0.1:{service.port}"
        async with aio.InferenceServerClient(where, conn_timeout=TIMEOUT_SECONDS) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("lstm", "1")
            assert (await client.get_server_metadata())["name"] == "lockstep"
            assert (await client.get_model_metadata("lstm"))["name"] == "lstm"
            return [
                await asyncio.gather(
                    client.infer(model, tensor(*TEXTS)),
                    client.infer(model, tensor(*TEXTS, binary=False), outputs=wanted(False)),
                )
                for model in MODELS
            ]

    for model, results in zip(MODELS, asyncio.run(ask()), strict=True):
        told = post(service, inputs=TEXTS, model=model).json()
        for result in results:
            check(result, told)


def test_options_reach_the_model(client: InferenceServerClient) -> None:
    for schedule in ("serial", "parallel"):
        options = {
            "schedule": schedule,
            "long_input": "segment",
            "timeout_ms": 1e3 * TIMEOUT_SECONDS,
        }
        result = client.infer("mingru", tensor(REVIEW), request_id="42", parameters=options)
        answer = result.get_response()
        assert (answer["id"], answer["parameters"]["schedule"]) == ("42", schedule)
        assert answer["parameters"]["total_ms"] >= answer["parameters"]["forward_ms"] > 0


def test_body_made_apart_is_answered(client: InferenceServerClient, service: Service) -> None:
    """What perf tools do: the body is made once, and sent by another library."""
    import httpx

    body, size = InferenceServerClient.generate_request_body(tensor(*TEXTS), outputs=wanted(True))
    url = f"{service.base_url}/v2/models/lstm/infer"
    headers = {"Inference-Header-Content-Length": str(size)}
    answer = httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
    length = int(answer.headers["inference-header-content-length"])
    result = InferenceServerClient.parse_response_body(answer.content, header_length=length)
    check(result, post(service, inputs=TEXTS, model="lstm").json())


def test_compression_is_refused_of_a_request_and_never_used_in_an_answer(
    client: InferenceServerClient,
) -> None:
    for algorithm in ("gzip", "deflate"):
        with pytest.raises(InferenceServerException) as caught:
            client.infer("lstm", tensor(REVIEW), request_compression_algorithm=algorithm)
        assert caught.value.status() == "415"
        result = client.infer("lstm", tensor(REVIEW), response_compression_algorithm=algorithm)
        assert len(result.as_numpy("label")) == 1


PAGE = (ROOT / "docs" / "inference-protocol.md").read_text(encoding="utf-8")


def test_example_for_python_runs(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(example.replace("localhost:8000", f"127.0.0.1:{service.port}"), {})
    assert capsys.readouterr().out.startswith("[b'positive' b'negative'] [0.9")


def test_example_for_curl_runs(service: Service) -> None:
    require("curl")
    (example,) = examples(PAGE)
    command = example.command.replace("localhost:8000", f"127.0.0.1:{service.port}")
    label, score = json.loads(printed(["bash", "-c", command]))["outputs"]
    assert label["data"] == ["positive", "negative"]
    assert all(0.5 < value <= 1 for value in score["data"])


Asking = Callable[[InferenceServerClient], Any]
FAULTS: list[tuple[Asking, str, str]] = [
    (lambda client: client.infer("gpt", tensor("a")), "404", "there are: "),
    (lambda client: client.infer("lstm", tensor("a"), "7"), "404", "lstm has one version, 1"),
    (lambda client: client.get_model_metadata("gpt"), "404", "there are: "),
    (lambda client: client.infer("lstm", tensor("fine", "")), "400", "text 1 is empty"),
    (lambda client: client.infer("lstm", tensor(*["a"] * 129)), "400", "at most 128"),
    (
        lambda client: client.infer("lstm", tensor("a"), outputs=[InferRequestedOutput("logits")]),
        "400",
        "outputs.0.name: Input should be 'label', 'score' or 'scores'",
    ),
    (
        lambda client: client.infer("lstm", [InferInput("text", [1], "BYTES")]),
        "400",
        "either data or the parameter binary_data_size",
    ),
    (
        lambda client: client.infer(
            "lstm", [InferInput("text", [1], "INT32").set_data_from_numpy(np.ones(1, np.int32))]
        ),
        "400",
        "inputs.0.datatype: Input should be 'BYTES'",
    ),
    (
        lambda client: client.infer(
            "lstm", [InferInput("text", [1], "BYTES").set_shared_memory("region", 4)]
        ),
        "400",
        "shared_memory_region",
    ),
    (lambda client: client.infer("lstm", tensor("a"), sequence_id=1), "400", "sequence_id"),
    (lambda client: client.infer("lstm", tensor("a"), priority=1), "400", "priority"),
    (lambda client: client.infer("lstm", tensor("word " * 5000), timeout=10), "504", "Past its"),
    (lambda client: client.get_model_config("lstm"), "404", "No such route"),
    (lambda client: client.get_inference_statistics("lstm"), "404", "No such route"),
    (lambda client: client.get_model_repository_index(), "404", "No such route"),
    (lambda client: client.unload_model("lstm"), "404", "No such route"),
    (lambda client: client.get_system_shared_memory_status(), "404", "No such route"),
    (lambda client: client.get_trace_settings(), "404", "No such route"),
]


@pytest.mark.parametrize(("ask", "status", "message"), FAULTS, ids=[one[2] for one in FAULTS])
def test_fault_is_told_by_the_clients_own_exception(
    client: InferenceServerClient, ask: Asking, status: str, message: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        ask(client)
    assert caught.value.status() == status
    assert message in caught.value.message()
