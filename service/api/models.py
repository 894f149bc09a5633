"""``GET /v1/models`` and ``GET /v1/models/{name}``: the cards of what is served."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.catalogue import Catalogue, describe


class Models:
    """The two endpoints; what they answer never changes, so it is encoded once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        described = {name: describe(folder) for name, folder in catalogue.folders.items()}
        self._one = {name: msgspec.json.encode(model) for name, model in described.items()}
        self._all = msgspec.json.encode({"models": list(described.values())})

    async def list(self, request: Request) -> Response:
        return Response(self._all, media_type="application/json")

    async def one(self, request: Request) -> Response:
        folder = self._catalogue.find(request.path_params["name"])
        request.scope["exchange"].model = folder.name
        return Response(self._one[folder.name], media_type="application/json")
