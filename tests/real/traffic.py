"""Made-up reviews, posted to a running service."""

from __future__ import annotations

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
