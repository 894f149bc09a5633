"""``POST /v1/classify``: texts in, verdicts and their timing out."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.admission import Admission
from service.api.answering import Answering
from service.api.body import json_body
from service.api.exchange import Exchange
from service.api.schema import parse_classify
from service.api.shadowing import Shadowing
from service.observe.timing import Stamps, now, server_timing
from service.settings import Settings


class Classify:
    """The endpoint, with what it needs."""

    def __init__(
        self, settings: Settings, admission: Admission, answering: Answering, shadowing: Shadowing
    ) -> None:
        self._settings, self._admission = settings, admission
        self._answering, self._shadowing = answering, shadowing

    async def __call__(self, request: Request) -> Response:
        with self._admission.hold() as room:
            body = await json_body(request, self._settings, room)
            return await self._answer(request, body)

    async def _answer(self, request: Request, body: bytes) -> Response:
        exchange: Exchange = request.scope["exchange"]
        stamps = Stamps(received=now())
        exchange.began = stamps.received
        asked = parse_classify(body, self._settings.max_inputs)
        inferred = await self._answering.answer(request, asked, stamps)
        return Response(
            msgspec.json.encode(
                {
                    "id": exchange.id,
                    "model": inferred.folder.name,
                    "architecture": inferred.folder.architecture,
                    "schedule": inferred.answer.schedule,
                    "results": inferred.results(),
                    "timing": inferred.timing(),
                }
            ),
            media_type="application/json",
            headers={"Server-Timing": server_timing(inferred.stages)},
            background=self._shadowing.after(inferred, asked),
        )
