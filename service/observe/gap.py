"""The gap, out of the forward histograms: what one architecture's forward costs beside another's.

For one length bucket and one batch bucket, the ratio of the mean forward of a model to that of the
baseline: sums over counts, so exact. Quantiles stand beside it with the edges they lie between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.observe.buckets import BATCH_EDGES, LENGTH_EDGES, bucket_names
from service.observe.reading import HistogramCell

Place = tuple[str, str]  # length bucket, batch bucket


def quantile(cell: HistogramCell, share: float) -> dict[str, float | None]:
    """When ``share`` of the forwards were done, in ms, and the edges that it lies between.

    Straight between the edges, as Prometheus's histogram_quantile does. Past the last edge nothing
    is known but that: ``ms`` and ``to_ms`` are None.
    """
    rank = share * cell.count
    lower, below = 0.0, 0
    for upper, reached in cell.buckets:
        if reached >= rank:
            break
        lower, below = upper, reached
    if upper == float("inf"):
        return {"ms": None, "from_ms": _ms(lower), "to_ms": None}
    value = lower + (upper - lower) * (rank - below) / (reached - below)
    return {"ms": _ms(value), "from_ms": _ms(lower), "to_ms": _ms(upper)}


def gap(
    cells: Iterable[HistogramCell], achieved: Mapping[str, tuple[float, float]], baseline: str
) -> dict[str, Any]:
    """The reply of ``GET /v1/gap``, without its id.

    Args:
        cells: the forward of clients' requests, at each set of label values.
        achieved: of each model, its operations and the seconds of its forwards.
        baseline: to which the ratios are; over all its schedules, where it has several.
    """
    seen = [cell for cell in cells if cell.count]
    base = _means(cell for cell in seen if cell.labels["model"] == baseline)
    return {
        "baseline": baseline,
        "models": {
            model: {
                "forward_seconds": seconds,
                "flops": flops,
                "flops_per_second": flops / seconds if seconds else None,
            }
            for model, (flops, seconds) in achieved.items()
        },
        "forwards": [_forward(cell, base) for cell in sorted(seen, key=_order)],
    }


def _means(cells: Iterable[HistogramCell]) -> dict[Place, float]:
    """Mean seconds at each place."""
    sums: dict[Place, tuple[float, int]] = {}
    for cell in cells:
        total, count = sums.get(_place(cell), (0.0, 0))
        sums[_place(cell)] = total + cell.total, count + cell.count
    return {place: total / count for place, (total, count) in sums.items()}


def _forward(cell: HistogramCell, base: Mapping[Place, float]) -> dict[str, Any]:
    mean = cell.total / cell.count
    against = base.get(_place(cell))
    return {
        "model": cell.labels["model"],
        "schedule": cell.labels["schedule"] or None,
        "length_bucket": cell.labels["length_bucket"],
        "batch_bucket": cell.labels["batch_bucket"],
        "count": cell.count,
        "mean_ms": _ms(mean),
        "p50": quantile(cell, 0.5),
        "p99": quantile(cell, 0.99),
        "ratio": round(mean / against, 4) if against else None,
    }


def _place(cell: HistogramCell) -> Place:
    return cell.labels["length_bucket"], cell.labels["batch_bucket"]


def _order(cell: HistogramCell) -> tuple[int, int, str, str]:
    length, batch = _place(cell)
    return (
        bucket_names(LENGTH_EDGES).index(length),
        bucket_names(BATCH_EDGES).index(batch),
        cell.labels["model"],
        cell.labels["schedule"],
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)
