"""Talking to a running service in a test."""

from __future__ import annotations

from typing import Any, Protocol

import httpx

REVIEW = "A slow start, but by the end I was in tears. Wonderful."
TIMEOUT_SECONDS = 60  # tells an answer from a hang, on a machine however slow
# A connection a request. One client, as each would read every certificate authority there is.
CLIENT = httpx.Client(timeout=TIMEOUT_SECONDS, limits=httpx.Limits(max_keepalive_connections=0))


class Service(Protocol):
    """Whatever answers HTTP."""

    @property
    def base_url(self) -> str: ...
    @property
    def port(self) -> int: ...


def post(service: Service, path: str = "/v1/classify", **body: Any) -> httpx.Response:
    return CLIENT.post(service.base_url + path, json=body)


def post_raw(service: Service, content: bytes, **headers: str) -> httpx.Response:
    """A body as it is, to ``/v1/classify``."""
    sent = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return CLIENT.post(f"{service.base_url}/v1/classify", content=content, headers=sent)


def get(service: Service, path: str) -> httpx.Response:
    return CLIENT.get(service.base_url + path)


def problem(response: httpx.Response) -> dict[str, Any]:
    """The body of an error, checked for the form that every error has."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def sample(service: Service, series: str) -> float:
    """One sample of ``/metrics``, by the start of its line; 0 where it isn't there."""
    return read_sample(get(service, "/metrics").text, series)


def read_sample(scrape: str, series: str) -> float:
    """The value of a series in a scrape; 0 where it isn't there."""
    for line in scrape.splitlines():
        if line.startswith(series + " "):
            return float(line.rpartition(" ")[2])
    return 0.0
