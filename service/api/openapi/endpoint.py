"""``GET /openapi.json``."""

from __future__ import annotations

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.catalogue import Catalogue
from service.api.openapi.document import document
from service.api.page import matches
from service.settings import Settings


class OpenAPI:
    """The endpoint; what it answers never changes, so it is encoded once, and named by its ETag."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._body = msgspec.json.encode(document(settings, catalogue))
        etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
        self._headers = {
            "ETag": etag,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, request: Request) -> Response:
        if matches(request.headers.get("if-none-match", ""), self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, media_type="application/json", headers=self._headers)
