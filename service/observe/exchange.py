"""One request and its answer, as far as they are known: what its line and its spans are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.observe.metrics import OTHER
from service.observe.traceparent import TraceParent


@dataclass(slots=True)
class Exchange:
    """What is known of a request. Never its text, nor a header but its id and its trace.

    Attributes:
        id: the client's ``X-Request-ID``, or one made here.
        route: the path as it was registered, or ``other``.
        began: when its headers were read, or its body where it has one that is timed, in seconds
            of ``timing.now``.
        method: of HTTP; ``other`` for one that HTTP doesn't know.
        scheme: ``http`` or ``https``.
        model: once it is determined.
        total_seconds: as the answer's ``timing`` has it; where it has none, until it was sent.
        stages: seconds of each stage, as the answer's ``timing`` has them.
        batch_size: windows of the largest batch it rode in.
        tokens: of all its texts.
        parent: the trace it is a part of, by its ``traceparent``.
        trace_id: of that trace, or of the one begun here.
        code: the status that was sent; 500 if none was.
        error: the ``code`` of the problem document.
        cause: what the engine said of it.
        fault: what was raised, where that was a mistake of ours.
    """

    id: str
    route: str
    began: float
    method: str = OTHER
    scheme: str = "http"
    model: str = OTHER
    total_seconds: float | None = None
    stages: Mapping[str, float] | None = None
    batch_size: int | None = None
    tokens: int | None = None
    parent: TraceParent | None = None
    trace_id: str | None = None
    code: int = 500
    error: str | None = None
    cause: str | None = None
    fault: Exception | None = None

    def answered(self, stages: Mapping[str, float], batch_size: int, tokens: int) -> None:
        """Its verdicts are there; ``stages`` are those of the answer's ``timing``, in seconds."""
        self.total_seconds = sum(stages.values())
        self.stages, self.batch_size, self.tokens = stages, batch_size, tokens


Observer = Callable[[Exchange], None]  # told of each request once it is over
