"""LitServe as its documentation shows it: decode, batch, predict, unbatch, encode.

python -m bench.baselines.litserve_app --weights weights --model lstm --threads 2 --port 8002
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import litserve

from bench.baselines.servable import HOST, Options, Servable, parse

Verdict = dict[str, Any]


class SentimentAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve ships no types
    """One request at a time."""

    def __init__(self, options: Options, **batching: Any) -> None:
        super().__init__(**batching)
        self.options = options

    def setup(self, device: str) -> None:
        """In the worker process."""
        self.servable = Servable(self.options)

    # Without types, as in encode_response: LitServe reads them, and takes JSON where none are.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """A text, or a list of them, as a list."""
        inputs = request["inputs"]
        return [inputs] if isinstance(inputs, str) else inputs

    def predict(self, texts: Sequence[str]) -> list[Verdict]:
        """Forwards of at most ``batch_size`` texts, in the order given."""
        size = self.options.batch_size
        return [
            verdict
            for start in range(0, len(texts), size)
            for verdict in self.servable.classify(texts[start : start + size])
        ]

    def encode_response(self, verdicts):  # type: ignore[no-untyped-def]
        """The reply's JSON."""
        return {"results": verdicts}


class BatchedSentimentAPI(SentimentAPI):
    """As many requests at a time as there are, up to ``max_batch_size``."""

    def batch(self, requests: list[list[str]]) -> list[list[str]]:
        """Nothing to stack: padding is the forward's."""
        return requests

    def predict(self, requests: Sequence[Sequence[str]]) -> list[list[Verdict]]:  # type: ignore[override]  # LitServe gives it a batch
        """Verdicts of each request."""
        verdicts = iter(super().predict([text for texts in requests for text in texts]))
        return [list(islice(verdicts, len(texts))) for texts in requests]

    def unbatch(self, output: list[list[Verdict]]) -> list[list[Verdict]]:
        """One a request already."""
        return output


def create_api(options: Options) -> SentimentAPI:
    """The API that suits the size of a batch."""
    if options.batch_size == 1:
        return SentimentAPI(options)
    return BatchedSentimentAPI(
        options, max_batch_size=options.batch_size, batch_timeout=options.window_ms / 1e3
    )


def main() -> None:
    """Serves until a signal."""
    options = parse("LitServe with its own batching")
    # One device: the model goes to the one that is named, whatever LitServe hands to ``setup``.
    accelerator = options.device.partition(":")[0]
    server = litserve.LitServer(
        create_api(options), accelerator=accelerator, devices=1, timeout=False
    )
    server.run(
        host=HOST,
        port=options.port,
        generate_client_file=False,
        access_log=not options.quiet,
    )


if __name__ == "__main__":
    main()
