"""The OpenAPI document: every route, every error, and replies that are what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.testclient import TestClient

from models import folder as folders
from models import registry
from models.tokenizer import Tokenizer
from service.api import errors
from service.api.catalogue import Catalogue
from service.api.inference_protocol import errors as v2_errors
from service.api.keys import is_open
from service.api.openapi.document import OPERATIONS, document, plain
from service.api.openapi.failures import made, tree
from service.settings import SHIPPED_WEIGHTS, Settings
from tests.service.in_process import serving
from tests.service.openapi import check, check_answer, operation
from tests.small import SMALL_ARCHITECTURES, write_wordpiece

TEXT = "a fine film and a great story"
CLIENT, SCRAPER = SecretStr("client-key-0123456789"), SecretStr("scraper-key-012345678")
# No operation answers these: there is none, it has another method, or nobody is there to read.
ELSEWHERE = {errors.MethodNotAllowed, errors.ClientGone}


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    found = folders.discover(SHIPPED_WEIGHTS)
    return Catalogue(found, "lstm", Tokenizer.load(SHIPPED_WEIGHTS / folders.WORDPIECE))


@pytest.fixture(scope="module")
def told(shipped: Catalogue) -> dict[str, Any]:
    """The document of the shipped models under the default settings."""
    return document(Settings(), shipped)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service of small models, one for all of these tests."""
    weights = tmp_path_factory.mktemp("openapi") / "weights"
    with pytest.MonkeyPatch.context() as patch:
        for name, architecture in SMALL_ARCHITECTURES.items():
            patch.setitem(registry.ARCHITECTURES, name, architecture)
        write_wordpiece(weights)
        with serving(weights, ["lstm", "mingru", "transformer"], max_inputs=3) as client:
            yield client


def media_types(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Every ``content`` entry of a request or a response."""
    bodies = [
        body
        for operations in told["paths"].values()
        for one in operations.values()
        for body in (one.get("requestBody", {}), *one["responses"].values())
    ]
    return [entry for body in bodies for entry in body.get("content", {}).values()]


def test_document_is_openapi(told: dict[str, Any]) -> None:
    OPENAPI_31_VALIDATOR.validate(told)


def test_every_route_is_in_the_document_and_no_other(client: TestClient) -> None:
    app: Any = client.app
    routes = {
        (plain(route.path), method.lower())
        for route in app.routes
        for method in route.methods - {"HEAD"}  # which goes with each GET
    }
    paths = client.get("/openapi.json").json()["paths"]
    assert {(path, method) for path, said in paths.items() for method in said} == routes


def test_every_error_is_in_the_document(told: dict[str, Any]) -> None:
    listed = {
        code
        for entry in media_types(told)
        for part in entry["schema"].get("allOf", [])
        for code in part.get("properties", {}).get("code", {}).get("enum", [])
    }
    asked = {errors.Unauthorized, errors.Forbidden}  # where there are keys: see below
    assert listed == {kind.code for kind in set(tree()) - ELSEWHERE - asked}


def test_error_comes_under_its_status_with_its_headers(told: dict[str, Any]) -> None:
    responses = operation(told, "post", "/v1/classify")["responses"]
    for kind in (errors.Busy, errors.ModelNotFound, errors.EncodedBody, errors.WorkerLost):
        response = responses[str(kind.status)]
        assert set(made(kind).headers) <= set(response["headers"])
        assert kind.code in response["content"]["application/problem+json"]["examples"]


def test_protocol_has_its_own_errors(told: dict[str, Any]) -> None:
    responses = operation(told, "post", "/v2/models/lstm/infer")["responses"]
    assert "422" not in responses
    for status in ("400", "404", "429", "503"):
        assert list(responses[status]["content"]) == [v2_errors.MEDIA_TYPE]


def test_names_of_operations_are_distinct() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_example_is_what_its_schema_says(told: dict[str, Any]) -> None:
    checked = 0
    for entry in media_types(told):
        for example in entry.get("examples", {}).values():
            check(told, entry["schema"], example["value"])
            checked += 1
    assert checked > 50


def test_everything_is_described(told: dict[str, Any]) -> None:
    blank = [
        f"{name}.{field}"
        for name, schema in told["components"]["schemas"].items()
        if name.endswith(("Request", "Reply", "Result", "Timing", "Problem", "Model"))
        for field, said in schema.get("properties", {}).items()
        if "description" not in said and len(schema["properties"]) > 1
    ]
    assert blank == []


def test_bounds_are_those_that_are_set(shipped: Catalogue) -> None:
    told = document(Settings(max_inputs=7), shipped)
    schemas = told["components"]["schemas"]
    assert schemas["ModelName"]["enum"] == list(shipped.folders)
    for kind in ("ClassifyRequest", "CompareRequest"):
        assert schemas[kind]["properties"]["inputs"]["anyOf"][1]["maxItems"] == 7


def test_nobody_is_asked_for_a_key_unless_it_is_set(told: dict[str, Any]) -> None:
    assert told["components"]["securitySchemes"] == {}
    assert "401" not in operation(told, "post", "/v1/classify")["responses"]


def test_keys_are_in_the_document_where_they_are_set(shipped: Catalogue) -> None:
    told = document(Settings(api_keys=CLIENT, metrics_keys=SCRAPER), shipped)
    assert set(told["components"]["securitySchemes"]) == {"clientKey", "metricsKey"}
    wanted: dict[str, list[dict[str, list[str]]]] = {
        "anyone": [],
        "clients": [{"clientKey": []}],
        "scrapers": [{"metricsKey": []}],
    }
    for one in OPERATIONS:
        said = operation(told, one.method, plain(one.path).replace("{path}", "x"))
        assert said["security"] == wanted[one.who]
        assert ({"401", "403"} <= set(said["responses"])) == (one.who != "anyone")
        assert (one.who == "anyone") == is_open(one.path)


GET = [
    "/v1/models",
    "/v1/models/lstm",
    "/v1/gap",
    "/v1/gap?baseline=mingru",
    "/metrics",
    "/",
    "/docs",
]
GET += [
    "/openapi.json",
    "/health/live",
    "/health/ready",
    "/v2",
    "/v2/health/live",
    "/web/index.html",
]
GET += [
    "/v2/health/ready",
    "/v2/models/lstm",
    "/v2/models/lstm/ready",
    "/v2/models/mingru/versions/1",
]
BAD_GET = ["/v1/models/gpt", "/v1/gap?baseline=gpt", "/v1/gap?x=1", "/v2/models/gpt", "/web/gpt"]


def test_reply_is_what_the_document_says(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [TEXT]}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/classify", {"inputs": TEXT}),
        ("/v1/classify", {"inputs": [TEXT, "not fine"], "model": "mingru", "schedule": "serial"}),
        ("/v1/compare", {"inputs": TEXT, "schedule": "each"}),
        ("/v2/models/lstm/infer", {"inputs": [text]}),
        ("/v2/models/lstm/versions/1/infer", {"inputs": [text], "id": "1"}),
    ]
    for path, body in asked:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        check_answer(told, "post", path, answer)
    for path in GET:
        answer = client.get(path)
        assert answer.status_code == 200, path
        check_answer(told, "get", path, answer)


def test_refusal_is_what_the_document_says(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    bodies: list[Any] = [
        {},
        {"inputs": ["a"] * 4},
        {"inputs": " "},
        {"inputs": TEXT, "model": "gpt"},
        {"inputs": TEXT, "models": ["gpt"]},
        {"inputs": TEXT, "long_input": "error", "model": "transformer"},
        {"inputs": TEXT, "timeout_ms": 1e-9},
        [],
    ]
    for path in ("/v1/classify", "/v1/compare", "/v2/models/lstm/infer"):
        for body in bodies:
            answer = client.post(path, json=body)
            if answer.status_code != 200:
                check_answer(told, "post", path, answer)
        for content, headers in (
            (b"{", {}),
            (b"{}", {"content-type": "text/plain"}),
            (b"{}", {"content-encoding": "gzip"}),
            (b" " * 8_000_001, {}),
        ):
            sent = {"content-type": "application/json"} | headers
            answer = client.post(path, content=content, headers=sent)
            assert 400 <= answer.status_code < 500
            check_answer(told, "post", path, answer)
    for path in BAD_GET:
        answer = client.get(path)
        assert 400 <= answer.status_code < 500, path
        check_answer(told, "get", path, answer)


def test_document_is_sent_once(client: TestClient) -> None:
    first = client.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    again = client.get("/openapi.json", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/nowhere", "/v2/nowhere"])
def test_answer_is_kept_by_nobody_and_is_what_it_says(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-content-type-options") == ["nosniff"]


def test_answer_with_a_policy_of_its_own_keeps_it(client: TestClient) -> None:
    for path in ("/", "/openapi.json"):
        headers = client.get(path).headers
        assert headers.get_list("cache-control") == ["no-cache"]
        assert headers.get_list("x-content-type-options") == ["nosniff"]
