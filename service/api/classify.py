"""``POST /v1/classify``: texts in, verdicts and their timing out."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.admission import Admission
from service.api.body import json_body
from service.api.catalogue import Catalogue
from service.api.exchange import Exchange
from service.api.inference import Inference, Inferred, computed_tokens
from service.api.presence import present
from service.api.schema import parse_classify
from service.api.shadowing import Shadowing
from service.observe.metrics import Metrics
from service.observe.timing import Stamps, now, server_timing
from service.settings import Settings


class Classify:
    """The endpoint, with what it needs."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        inference: Inference,
        metrics: Metrics,
        admission: Admission,
        shadowing: Shadowing,
    ) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._inference, self._shadowing = inference, shadowing
        self._metrics, self._admission = metrics, admission

    async def __call__(self, request: Request) -> Response:
        async with json_body(request, self._settings, self._admission) as body:
            return await self._answer(request, body)

    async def _answer(self, request: Request, body: bytes) -> Response:
        exchange: Exchange = request.scope["exchange"]
        inference = self._inference
        stamps = Stamps(received=now())
        exchange.began = stamps.received
        asked = parse_classify(body)
        folder = self._catalogue.find(asked.model)
        exchange.model = folder.name
        inference.check_count(asked.inputs)
        schedule = inference.schedule(asked.schedule, folder)
        stamps.parsed = now()
        deadline = inference.deadline(asked.timeout_ms, stamps.received)
        async with present(request):
            with self._admission.admit(folder.name) as admitted:
                prepared = await inference.prepare(asked.inputs, folder, asked.long_input)
                admitted.weigh(computed_tokens(prepared))
                stamps.admitted = now()
                inferred = await inference.infer(folder, schedule, prepared, stamps, deadline)
        self._record(exchange, inferred)
        return Response(
            msgspec.json.encode(
                {
                    "id": exchange.id,
                    "model": folder.name,
                    "architecture": folder.architecture,
                    "schedule": inferred.answer.schedule,
                    "results": inferred.results(),
                    "timing": inferred.timing(),
                }
            ),
            media_type="application/json",
            headers={"Server-Timing": server_timing(inferred.stages)},
            background=self._shadowing.after(inferred, asked),
        )

    def _record(self, exchange: Exchange, inferred: Inferred) -> None:
        metrics, model, answer = self._metrics, inferred.folder.name, inferred.answer
        tokens = sum(text.tokens for text in inferred.prepared)
        exchange.answered(inferred.stages, inferred.batch_size, tokens)
        metrics.stages(model, inferred.stages)
        for ride in answer.rides:
            metrics.ride(model, answer.schedule or "", ride.forward_seconds, ride.length, ride.rows)
        for text, verdict in zip(inferred.prepared, inferred.verdicts, strict=True):
            metrics.text(model, text.tokens, text.unknown_tokens, text.truncated, len(text.windows))
            metrics.verdict(model, verdict.label, verdict.score)
