"""One line a request, once it is over; of a probe or a scrape that went well, at ``debug`` alone.

A line never has a client's text in it, nor what a header held, but for the request's id and the id
of its trace.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

from service.observe import logs
from service.observe.exchange import Exchange
from service.observe.lines import head

LOGGER = "lockstep.request"
LONGEST_CHAIN = 8  # of an exception's causes
# What machines ask every few seconds: lines that nobody reads, and that hide those of clients.
PROBES = ("/health/", "/v2/health/", "/metrics")


class RequestLog:
    """One line a request, once it is over.

    Args:
        every: else only those that failed by a mistake of ours.
    """

    def __init__(self, every: bool) -> None:
        self._every = every
        self._logger = logging.getLogger(LOGGER)

    def __call__(self, exchange: Exchange) -> None:
        level = _level(exchange)
        wanted = self._every or level == logging.ERROR
        # Past logging's own machinery, which takes as long again as all of this.
        if wanted and self._logger.isEnabledFor(level):
            fields = head(logging.getLevelName(level).lower(), LOGGER, time.time())
            logs.write(fields | request_fields(exchange))


def request_fields(exchange: Exchange) -> dict[str, Any]:
    """What the line of a request says; milliseconds by the names of the answer's ``timing``."""
    seconds = exchange.total_seconds
    fields: dict[str, Any] = {
        "event": "request",
        "id": exchange.id,
        "method": exchange.method,
        "route": exchange.route,
        "model": exchange.model,
        "code": exchange.code,
        "total_ms": None if seconds is None else round(seconds * 1e3, 3),
    }
    for stage, seconds in (exchange.stages or {}).items():
        fields[f"{stage}_ms"] = round(seconds * 1e3, 3)
    for name in ("batch_size", "tokens", "trace_id", "error", "cause"):
        if (value := getattr(exchange, name)) is not None:
            fields[name] = value
    if exchange.fault is not None:
        fields["exception"] = frames(exchange.fault)
        logs.tell_once(exchange.fault)
    return fields


def frames(error: BaseException) -> str:
    """Where an exception was raised and of what kind, its causes first.

    Never its message: one that was raised over a client's text may quote it.
    """
    parts: list[str] = []
    following: BaseException | None = error
    while following is not None and len(parts) < LONGEST_CHAIN:
        kind = type(following)
        trace = "".join(traceback.format_tb(following.__traceback__))
        parts.append(f"{trace}{kind.__module__}.{kind.__qualname__}")
        hidden = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or hidden
    return "\n".join(reversed(parts))


def _level(exchange: Exchange) -> int:
    """500 is a mistake of ours, and so is an answer that broke off; 503 or 504 may be."""
    if exchange.code == 500 or exchange.fault is not None:
        return logging.ERROR
    if exchange.code > 500:
        return logging.WARNING
    probed = exchange.code < 400 and exchange.route.startswith(PROBES)
    return logging.DEBUG if probed else logging.INFO
