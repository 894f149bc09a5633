"""What never changes while the service runs: answered from memory, and named by its ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from starlette.requests import Request
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: its bytes, their type, and a name that changes with them."""

    content: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> Self:
        """A file of these bytes."""
        return cls(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """All of it under these headers, or 304 to a client that has it already."""
        headers = {**headers, "ETag": self.etag}
        if matches(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers={**headers, "Content-Type": self.content_type})


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the client has it already (RFC 9110, section 13.1.2: weak comparison)."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]
