"""``POST /v1/classify``: texts in, verdicts and their timing out."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from models.errors import TextError, TextTooLongError, WindowError
from models.folder import ModelFolder
from models.verdict import Verdict, judge_texts
from models.windows import PreparedText, prepare
from service.api.admission import Admission
from service.api.body import read_json_body
from service.api.catalogue import Catalogue, schedules
from service.api.errors import (
    DeadlineExceeded,
    InputTooLong,
    NotReady,
    ServiceError,
    TextTooLong,
    WorkerLost,
)
from service.api.exchange import Exchange
from service.api.schema import ClassifyRequest, invalid, parse_classify
from service.engine.client import Engine
from service.engine.errors import (
    DeadlineError,
    EngineError,
    ForwardError,
    NotReadyError,
    WorkerLostError,
)
from service.engine.wire import Answer, Hello
from service.observe.metrics import Metrics
from service.observe.timing import Stamps, now, server_timing, stage_seconds
from service.settings import Settings

# Tokenizing this many characters takes about a millisecond: more than that leaves the event loop.
INLINE_CHARACTERS = 4_000

ENGINE_ERRORS: dict[type[EngineError], tuple[type[ServiceError], str]] = {
    NotReadyError: (NotReady, "no worker is ready; try again shortly"),
    WorkerLostError: (WorkerLost, "the worker ended while it held this request; try again"),
    DeadlineError: (DeadlineExceeded, "the time allowed was up before the answer was there"),
    ForwardError: (ServiceError, "the forward failed; the log knows more under this id"),
}


class Classify:
    """The endpoint, with what it needs."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        engine: Engine,
        metrics: Metrics,
        admission: Admission,
    ) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._engine, self._metrics, self._admission = engine, metrics, admission

    async def __call__(self, request: Request) -> Response:
        exchange: Exchange = request.scope["exchange"]
        settings = self._settings
        body = await read_json_body(
            request, settings.max_body_bytes, settings.body_timeout_ms / 1e3
        )
        stamps = Stamps(received=now())
        exchange.began = stamps.received
        asked = parse_classify(body)
        folder = self._catalogue.find(asked.model)
        exchange.model = folder.name
        schedule = self._check(asked, folder)
        stamps.parsed = now()
        with self._admission.admit(folder.name):
            prepared = await self._prepare(asked, folder)
            stamps.admitted = now()
            answer, worker = await self._infer(asked, folder, schedule, prepared, stamps.received)
        return self._respond(exchange, folder, prepared, answer, worker, stamps)

    def _check(self, asked: ClassifyRequest, folder: ModelFolder) -> str | None:
        """What the schema can't know; gives the schedule asked for, None for the fastest."""
        if len(asked.inputs) > self._settings.max_inputs:
            most = self._settings.max_inputs
            raise invalid(
                [(("inputs",), f"has {len(asked.inputs)} texts; at most {most} go in one request")]
            )
        if asked.schedule == "auto":
            return None
        if asked.schedule not in schedules(folder):
            known = ", ".join(["auto", *schedules(folder)])
            raise invalid([(("schedule",), f"{folder.name} runs only under: {known}")])
        return asked.schedule

    async def _prepare(self, asked: ClassifyRequest, folder: ModelFolder) -> list[PreparedText]:
        arguments = (
            asked.inputs,
            self._catalogue.tokenizer,
            folder.window,
            asked.long_input,
            self._settings.max_tokens,
        )
        try:
            if sum(map(len, asked.inputs)) <= INLINE_CHARACTERS:
                return prepare(*arguments)
            return await asyncio.to_thread(prepare, *arguments)
        except TextTooLongError as error:
            raise TextTooLong(str(error), [_place(error)]) from None
        except WindowError as error:
            raise InputTooLong(str(error), [_place(error)]) from None
        except TextError as error:
            raise invalid([(("inputs", error.index), str(error))]) from None

    async def _infer(
        self,
        asked: ClassifyRequest,
        folder: ModelFolder,
        schedule: str | None,
        prepared: list[PreparedText],
        received: float,
    ) -> tuple[Answer, Hello]:
        longest = self._settings.request_timeout_ms
        allowed = min(asked.timeout_ms or longest, longest) / 1e3
        windows = [window for text in prepared for window in text.windows]
        try:
            return await self._engine.infer(folder.name, schedule, windows, received + allowed)
        except EngineError as error:
            kind, detail = ENGINE_ERRORS[type(error)]
            raise kind(detail) from error

    def _respond(
        self,
        exchange: Exchange,
        folder: ModelFolder,
        prepared: list[PreparedText],
        answer: Answer,
        worker: Hello,
        stamps: Stamps,
    ) -> Response:
        verdicts = judge_texts(prepared, answer.logits, folder.labels, folder.temperature)
        forward_seconds = sum(ride.forward_seconds for ride in answer.rides)
        responded = now()
        stages = stage_seconds(
            stamps, answer.batch_seconds, forward_seconds, answer.finished, responded
        )
        self._record(exchange, folder, prepared, verdicts, answer, stages)
        dtype = next(model.dtype for model in worker.models if model.name == folder.name)
        content = {
            "id": exchange.id,
            "model": folder.name,
            "architecture": folder.architecture,
            "schedule": answer.schedule,
            "results": [
                _result(verdict, text) for verdict, text in zip(verdicts, prepared, strict=True)
            ],
            "timing": {
                "total_ms": _ms(sum(stages.values())),
                **{f"{stage}_ms": _ms(seconds) for stage, seconds in stages.items()},
                "batch_size": max(ride.rows for ride in answer.rides),
                "padded_tokens": sum(ride.rows * ride.length for ride in answer.rides),
                "sequential_depth": answer.sequential_depth,
                "device": worker.device,
                "dtype": dtype,
            },
        }
        return Response(
            msgspec.json.encode(content),
            media_type="application/json",
            headers={"Server-Timing": server_timing(stages)},
        )

    def _record(
        self,
        exchange: Exchange,
        folder: ModelFolder,
        prepared: list[PreparedText],
        verdicts: list[Verdict],
        answer: Answer,
        stages: dict[str, float],
    ) -> None:
        metrics, model, schedule = self._metrics, folder.name, answer.schedule or ""
        exchange.total_seconds = sum(stages.values())
        metrics.stages(model, stages)
        for ride in answer.rides:
            metrics.ride(model, schedule, ride.forward_seconds, ride.length, ride.rows)
        for text, verdict in zip(prepared, verdicts, strict=True):
            metrics.text(model, text.tokens, text.unknown_tokens, text.truncated, len(text.windows))
            metrics.verdict(model, verdict.label, verdict.score)


def _result(verdict: Verdict, text: PreparedText) -> dict[str, Any]:
    return {
        "label": verdict.label,
        "score": verdict.score,
        "scores": verdict.scores,
        "tokens": text.tokens,
        "unknown_tokens": text.unknown_tokens,
        "truncated": text.truncated,
        "segments": len(text.windows),
    }


def _place(error: TextError) -> dict[str, Any]:
    return {"loc": ["inputs", error.index], "message": str(error)}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
