"""``/health/live``, ``/health/ready`` and ``/metrics``: what machines ask."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api.errors import NotReady
from service.engine.client import Engine
from service.observe.metrics import CONTENT_TYPE, Metrics


class Health:
    """Whether to restart this process (live), and whether to send it traffic (ready)."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        if not self._engine.ready:
            raise NotReady(
                "no worker is ready, or this instance is about to end; try again shortly"
            )
        return JSONResponse({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        self._metrics.fold()
        body = await asyncio.to_thread(self._metrics.render)
        return Response(body, headers={"content-type": CONTENT_TYPE})
