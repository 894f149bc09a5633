"""``GET /v1/gap``: what each architecture's forward has cost on this service's own traffic."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.catalogue import Catalogue
from service.api.exchange import Exchange
from service.api.schema import invalid
from service.observe.gap import gap
from service.observe.metrics import Metrics


class Gap:
    """The endpoint; ``?baseline=`` names a model, the default one unless given."""

    def __init__(self, catalogue: Catalogue, metrics: Metrics) -> None:
        self._catalogue, self._metrics = catalogue, metrics

    async def __call__(self, request: Request) -> Response:
        exchange: Exchange = request.scope["exchange"]
        unknown = [name for name in request.query_params if name != "baseline"]
        if unknown:
            raise invalid([(("query",), f"only baseline is known here, not {len(unknown)} more")])
        baseline = self._catalogue.find(request.query_params.get("baseline")).name
        exchange.model = baseline
        self._metrics.fold()
        cells, achieved = await asyncio.to_thread(self._metrics.forwards)
        content = {"id": exchange.id, **gap(cells, achieved, baseline)}
        return Response(msgspec.json.encode(content), media_type="application/json")
