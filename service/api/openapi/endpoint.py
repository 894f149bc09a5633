"""``GET /openapi.json``."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.catalogue import Catalogue
from service.api.openapi.document import document
from service.api.static import StaticFile
from service.settings import Settings

HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class OpenAPI:
    """The endpoint; what it answers never changes, so it is encoded once."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        encoded = msgspec.json.encode(document(settings, catalogue))
        self._document = StaticFile.of(encoded, "application/json")

    async def __call__(self, request: Request) -> Response:
        return self._document.answer(request, HEADERS)
