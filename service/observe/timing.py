"""The stages of a request, on one clock, stamped by the code that does them.

    received ──parse──▶ parsed ──tokenize──▶ admitted ··queue·· picked ──batch──▶ on the device
                                                                 ──forward──▶ finished ──respond──▶

``time.monotonic`` is one clock for all processes of a machine, so a stamp taken in an API process
and one taken in the worker may be subtracted. A request that rode in several batches has the sum of
their batch and forward times; ``queue`` is the waiting that remains, so the stages always sum to
the total.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

STAGES = ("parse", "tokenize", "queue", "batch", "forward", "respond")

now = time.monotonic


@dataclass(slots=True)
class Stamps:
    """When an API process got so far with a request, in seconds of ``now``."""

    received: float
    parsed: float = 0.0
    admitted: float = 0.0


def stage_seconds(
    stamps: Stamps,
    batch_seconds: float,
    forward_seconds: float,
    finished: float,
    responded: float,
) -> dict[str, float]:
    """Seconds of each stage, in order; their sum is ``responded - stamps.received``.

    Args:
        stamps: the API process's.
        batch_seconds: making and moving tensors, over all batches the request rode in.
        forward_seconds: forwards, over all batches.
        finished: when the last logits were on the host.
        responded: when the answer was made.
    """
    return {
        "parse": stamps.parsed - stamps.received,
        "tokenize": stamps.admitted - stamps.parsed,
        "queue": finished - stamps.admitted - batch_seconds - forward_seconds,
        "batch": batch_seconds,
        "forward": forward_seconds,
        "respond": responded - finished,
    }


def server_timing(stages: dict[str, float]) -> str:
    """The ``Server-Timing`` header: milliseconds (W3C Server Timing, section 3.2)."""
    parts = [f"{stage};dur={seconds * 1e3:.3f}" for stage, seconds in stages.items()]
    return ", ".join([*parts, f"total;dur={sum(stages.values()) * 1e3:.3f}"])
