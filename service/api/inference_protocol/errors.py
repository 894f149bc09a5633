"""An error as the protocol has them: ``{"error": "…"}``, under the status it has elsewhere.

One differs: where ``/v1`` says 422, 400, which is what the protocol calls typical and its clients
know as an invalid argument.
"""

from __future__ import annotations

import msgspec

from service.api.errors import ServiceError

MEDIA_TYPE = "application/json"
INVALID, TYPICAL = 422, 400


def is_ours(path: str) -> bool:
    """Whether a path is the protocol's, a route or not."""
    return path == "/v2" or path.startswith("/v2/")


def status(problem: ServiceError) -> int:
    """Of HTTP."""
    return TYPICAL if problem.status == INVALID else problem.status


def body(problem: ServiceError) -> bytes:
    """The protocol's error object."""
    return msgspec.json.encode({"error": f"{problem.title}: {problem.detail}"})
