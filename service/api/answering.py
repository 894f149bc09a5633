"""One model asked for a client, by whichever route: admitted, in time, for as long as it waits.

request ──find──▶ model ──admit──▶ ──prepare──▶ windows ──infer──▶ answer ──record──▶ metrics
"""

from __future__ import annotations

from starlette.requests import Request

from service.api.admission import Admission
from service.api.catalogue import Catalogue
from service.api.exchange import Exchange
from service.api.inference import Inference, Inferred, computed_tokens
from service.api.loop import loop_of
from service.api.presence import Present
from service.api.schema import ClassifyRequest
from service.observe.metrics import Metrics
from service.observe.timing import Stamps, now


class Answering:
    """What every request of a client that one model answers goes through.

    Args:
        catalogue: what is served.
        inference: how to ask.
        metrics: where clients' traffic is recorded.
        admission: what may come in.
    """

    def __init__(
        self, catalogue: Catalogue, inference: Inference, metrics: Metrics, admission: Admission
    ) -> None:
        self._catalogue, self._inference = catalogue, inference
        self._metrics, self._admission = metrics, admission

    async def answer(self, request: Request, asked: ClassifyRequest, stamps: Stamps) -> Inferred:
        """What the model says; the request's body must have been read.

        Raises:
            ServiceError: there is no answer; its kind says why.
        """
        exchange: Exchange = request.scope["exchange"]
        inference = self._inference
        folder = self._catalogue.find(asked.model)
        exchange.model = folder.name
        inference.check_count(asked.inputs)
        schedule = inference.schedule(asked.schedule, folder)
        stamps.parsed = now()
        deadline = inference.deadline(asked.timeout_ms, stamps.received)
        async with Present(request):
            with self._admission.admit(folder.name) as admitted:
                prepared = await inference.prepare(asked.inputs, folder, asked.long_input)
                admitted.weigh(computed_tokens(prepared))
                stamps.admitted = now()
                inferred = await inference.infer(folder, schedule, prepared, stamps, deadline)
        tokens = sum(text.tokens for text in inferred.prepared)
        exchange.answered(inferred.stages, inferred.batch_size, tokens)
        # In the loop's next turn: in this one the answer leaves.
        loop_of(request.scope).call_soon(self._record, inferred)
        return inferred

    def _record(self, inferred: Inferred) -> None:
        metrics, model, answer = self._metrics, inferred.folder.name, inferred.answer
        metrics.stages(model, inferred.stages)
        for ride in answer.rides:
            metrics.ride(model, answer.schedule or "", ride.forward_seconds, ride.length, ride.rows)
        for text, verdict in zip(inferred.prepared, inferred.verdicts, strict=True):
            metrics.text(model, text.tokens, text.unknown_tokens, text.truncated, len(text.windows))
            metrics.verdict(model, verdict.label, verdict.score)
