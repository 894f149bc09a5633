"""Why the engine has no answer.

EngineError
├── NotReadyError         no worker is there to ask
├── WorkerLostError       the worker went away while it held the request
├── DeadlineError         the time allowed was up
├── GaveWayError          it was a shadow, and a client wanted the worker
└── ForwardError          the worker tried and failed
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of the engine's refusals."""


class NotReadyError(EngineError):
    """No worker is connected and loaded."""


class WorkerLostError(EngineError):
    """The worker's connection ended while it held the request."""


class DeadlineError(EngineError):
    """The request's time was up before it was answered."""


class GaveWayError(EngineError):
    """A shadow was dropped, uncomputed, for a client's request."""


class ForwardError(EngineError):
    """The forward failed for this request; the worker's log says why."""
