"""Writes the replies that the OpenAPI document shows, as a running service gives them.

.venv/bin/lockstep serve --models lstm,transformer,mingru    # freshly started
.venv/bin/python scripts/openapi_examples.py http://127.0.0.1:8000
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx

from service.api.openapi.examples import (
    CLASSIFY_REQUESTS,
    COMPARE_REQUESTS,
    FILE,
    INFER_REQUESTS,
)

# Of a card, what the document's schema lists; cards say more than an example need.
CARD = ("name", "architecture", "parameters", "length", "flops_per_token", "sequential_depth")
CARD += ("longest_path", "reach", "stride", "schedules", "window", "labels", "temperature")
CARD += ("licence", "sha256")
SCRAPED = "lockstep_model_forward_seconds_total"
WARM = 20  # requests of each kind before the one that is shown


def main(url: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:

        def post(path: str, body: dict[str, Any]) -> Any:
            for _ in range(WARM):
                client.post(path, json=body).raise_for_status()
            return client.post(path, json=body).raise_for_status().json()

        def get(path: str) -> Any:
            return client.get(path).raise_for_status().json()

        classify = {name: post("/v1/classify", body) for name, body in CLASSIFY_REQUESTS.items()}
        compare = post("/v1/compare", COMPARE_REQUESTS["two models"])
        infer = post("/v2/models/lstm/infer", INFER_REQUESTS["all outputs"])
        for model in ("lstm", "transformer"):  # one text each, so that both are at one place
            post("/v1/classify", {"inputs": "A delight.", "model": model})
        gap = get("/v1/gap?baseline=transformer")
        card = get("/v1/models/lstm")
        scrape = client.get("/metrics").raise_for_status().text.splitlines(keepends=True)
        replies = {
            "classify": classify,
            "compare": compare,
            "gap": gap,
            "metrics": "".join(line for line in scrape if SCRAPED in line),
            "model": {name: card[name] for name in CARD},
            "infer": infer,
            "model_metadata": get("/v2/models/lstm"),
            "server_metadata": get("/v2"),
        }
    FILE.write_text(json.dumps(replies, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
