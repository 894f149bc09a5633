"""The ranges that histograms count in, and those that stand in labels."""

from __future__ import annotations

from collections.abc import Sequence

# 50 µs to 10 s, about a factor of 2 apart: a small classifier is done where the usual ones begin.
LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
TOKEN_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
SCORE_BUCKETS = tuple(step / 20 for step in range(1, 21))
# Even about 1, where two models are alike: 2 and 1/2 are one step each way.
RATIO_BUCKETS = tuple(round(2 ** (step / 2), 4) for step in range(-8, 9))

LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024, 2048)
BATCH_EDGES = (1, 4, 16)


def bucket(value: int, edges: Sequence[int]) -> str:
    """The name of the range a value is in: ``1``, ``2-4``, ``5-16``, ``17+`` for edges 1, 4, 16."""
    below = 0
    for edge in edges:
        if value <= edge:
            return str(edge) if below + 1 == edge else f"{below + 1}-{edge}"
        below = edge
    return f"{below + 1}+"


def bucket_names(edges: Sequence[int]) -> list[str]:
    """Every name that ``bucket`` can give, in order."""
    return [bucket(value, edges) for value in (*edges, edges[-1] + 1)]
