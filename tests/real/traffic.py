"""Made-up reviews, posted to a running service."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx

TEXTS = (
    "a gorgeous , witty , seductive movie .",
    "the plot is nothing but boilerplate cliches from start to finish .",
    "an utterly compelling portrait that never once loses its nerve",
    "it 's slow -- very , very slow .",
    "Rarely has a film about grief been this funny, and rarely has one earned its last scene so "
    "well. I expected little, and came out having called two friends to tell them to see it.",
)


def model_names(base_url: str) -> list[str]:
    """Every model the service says it has."""
    reply = httpx.get(f"{base_url}/v1/models", timeout=30).raise_for_status()
    return [model["name"] for model in reply.json()["models"]]


def classify_all(base_url: str) -> list[str]:
    """Sends every text through every model, singly and as one list; returns the models' names."""
    names = model_names(base_url)
    with httpx.Client(base_url=base_url, timeout=30) as client:
        for name in names:
            for inputs in (*TEXTS, list(TEXTS)):
                body = {"inputs": inputs, "model": name}
                client.post("/v1/classify", json=body).raise_for_status()
    return names


# Of any model: a length that each of several buckets holds, up to past the Transformer's window.
LENGTHS = [TEXTS[0], TEXTS[4], " ".join(TEXTS), " ".join(TEXTS * 3), " ".join(TEXTS * 6)]
QUIET_SECONDS = 0.1  # between requests: shadows are asked only where no client is


def classify_lengths(base_url: str, models: Sequence[tuple[str, str]]) -> None:
    """Each length through each (model, schedule), one at a time, then a list, then in windows."""
    with httpx.Client(base_url=base_url, timeout=60) as client:
        for model, schedule in models:
            for inputs in (*LENGTHS, TEXTS, LENGTHS[-1:]):
                body: dict[str, Any] = {"inputs": inputs, "model": model, "schedule": schedule}
                if inputs == LENGTHS[-1:]:
                    body["long_input"] = "segment"
                client.post("/v1/classify", json=body).raise_for_status()
                time.sleep(QUIET_SECONDS)
        client.get("/v1/models").raise_for_status()


def provoke(base_url: str) -> set[int]:
    """Codes of requests that go wrong: the client's own mistakes, and a deadline nothing meets."""
    slow = {"inputs": [LENGTHS[-1]] * 4, "model": "lstm", "timeout_ms": 1}
    with httpx.Client(base_url=base_url, timeout=60) as client:
        answers = [
            client.get("/nowhere"),
            client.post("/v1/classify", content=b"not JSON"),
            client.post("/v1/classify", json={"inputs": ""}),
            client.post("/v1/classify", json={"inputs": "a", "model": "nobody"}),
            client.post("/v1/classify", json=slow),
        ]
    return {answer.status_code for answer in answers}


def crowd(base_url: str, clients: int) -> list[int]:
    """Codes of as many requests at once, each long enough for all to be in flight together."""
    body = {"inputs": [LENGTHS[-1]] * 4, "model": "lstm"}
    codes: list[int] = []

    def ask() -> None:
        codes.append(client.post("/v1/classify", json=body).status_code)

    # One client for all: to make one takes longer than a request may.
    with httpx.Client(base_url=base_url, timeout=60) as client:
        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return codes
