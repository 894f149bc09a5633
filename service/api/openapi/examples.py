"""Requests that work, and the replies that came: ``scripts/openapi_examples.py`` asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

FILE = Path(__file__).with_name("examples.json")
Bodies = dict[str, dict[str, Any]]

CLASSIFY_REQUESTS: Bodies = {
    "one text": {
        "inputs": "A slow start, but by the end I was in tears. Wonderful.",
        "model": "lstm",
    },
    "a list, in segments": {
        "inputs": ["A delight.", "Dull and far too long."],
        "model": "transformer",
        "long_input": "segment",
        "timeout_ms": 2000,
    },
    "a scan": {"inputs": "A delight.", "model": "mingru", "schedule": "parallel"},
}
COMPARE_REQUESTS: Bodies = {
    "two models": {
        "inputs": "A delight.",
        "models": ["lstm", "transformer"],
        "baseline": "transformer",
    }
}
INFER_REQUESTS: Bodies = {
    "all outputs": {
        "id": "42",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["A delight."]}],
    },
    "the likeliest label": {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["A delight."]}],
        "outputs": [{"name": "scores", "parameters": {"classification": 1}}],
        "parameters": {"timeout_ms": 2000},
    },
}

_REPLIES: dict[str, Any] = msgspec.json.decode(FILE.read_bytes())

CLASSIFY_REPLIES: dict[str, Any] = _REPLIES["classify"]
COMPARE_REPLY: dict[str, Any] = _REPLIES["compare"]
GAP_REPLY: dict[str, Any] = _REPLIES["gap"]
METRICS_REPLY: str = _REPLIES["metrics"]
MODEL_REPLY: dict[str, Any] = _REPLIES["model"]
INFER_REPLY: dict[str, Any] = _REPLIES["infer"]
MODEL_METADATA: dict[str, Any] = _REPLIES["model_metadata"]
SERVER_METADATA: dict[str, Any] = _REPLIES["server_metadata"]
