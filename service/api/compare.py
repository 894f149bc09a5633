"""``POST /v1/compare``: the same texts through several models, side by side.

Three rounds, one model after another in each so that they don't contend, in rotated order so that
none is always first. What is told of each model is the median of its rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from models.folder import ModelFolder
from models.windows import PreparedText
from service.api.admission import Admission
from service.api.body import json_body
from service.api.catalogue import Catalogue, schedules
from service.api.exchange import Exchange
from service.api.inference import Inference, Inferred, computed_tokens, milliseconds
from service.api.presence import Present
from service.api.schema import CompareRequest, invalid, parse_compare
from service.observe.metrics import OTHER
from service.observe.timing import Stamps, now
from service.settings import Settings

ROUNDS = 3

Item = TypeVar("Item")


@dataclass(slots=True)
class Contender:
    """A model under one schedule, and what its rounds gave."""

    folder: ModelFolder
    schedule: str | None
    prepared: list[PreparedText]
    tokenize_seconds: float
    rounds: list[Inferred] = field(default_factory=list)

    def median(self, stage: str) -> float:
        """Seconds of a stage, over the rounds."""
        return statistics.median(inferred.stages[stage] for inferred in self.rounds)


class Compare:
    """The endpoint, with what it needs."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, inference: Inference, admission: Admission
    ) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._inference, self._admission = inference, admission

    async def __call__(self, request: Request) -> Response:
        with self._admission.hold() as room:
            body = await json_body(request, self._settings, room)
            return await self._answer(request, body)

    async def _answer(self, request: Request, body: bytes) -> Response:
        exchange: Exchange = request.scope["exchange"]
        received = exchange.began = now()
        asked = parse_compare(body, self._settings.max_inputs)
        self._inference.check_count(asked.inputs)
        folders = self._folders(asked)
        baseline = self._baseline(asked, folders)
        deadline = self._inference.deadline(asked.timeout_ms, received)
        async with Present(request):
            with self._admission.admit(OTHER) as admitted:
                contenders = [
                    contender
                    for folder in folders
                    for contender in await self._contenders(asked, folder)
                ]
                tokens = sum(computed_tokens(contender.prepared) for contender in contenders)
                admitted.weigh(ROUNDS * tokens)
                for contender in rotated(contenders, ROUNDS):
                    await self._round(contender, deadline)
        content = report(contenders, baseline)
        exchange.total_seconds = now() - received
        content = {"id": exchange.id, **content, "total_ms": milliseconds(exchange.total_seconds)}
        return Response(msgspec.json.encode(content), media_type="application/json")

    def _folders(self, asked: CompareRequest) -> list[ModelFolder]:
        if asked.models is None:
            return list(self._catalogue.folders.values())
        twice = [at for at, name in enumerate(asked.models) if name in asked.models[:at]]
        if twice:
            raise invalid([(("models", at), "named twice") for at in twice])
        return [self._catalogue.find(name) for name in asked.models]

    def _baseline(self, asked: CompareRequest, folders: list[ModelFolder]) -> str:
        names = [folder.name for folder in folders]
        if asked.baseline is None:
            return names[0]
        if asked.baseline not in names:
            known = ", ".join(names)
            raise invalid([(("baseline",), f"isn't one of the models compared: {known}")])
        return asked.baseline

    async def _contenders(self, asked: CompareRequest, folder: ModelFolder) -> list[Contender]:
        """A model under its fastest schedule, or under each it has; it reads the texts once."""
        began = now()
        prepared = await self._inference.prepare(asked.inputs, folder, asked.long_input)
        tokenize_seconds = now() - began
        each: list[str | None] = [*schedules(folder)] if asked.schedule == "each" else []
        return [
            Contender(folder, schedule, prepared, tokenize_seconds) for schedule in each or [None]
        ]

    async def _round(self, contender: Contender, deadline: float) -> None:
        # Each round's clock starts as if the texts had been tokenized just before it.
        admitted = now()
        began = admitted - contender.tokenize_seconds
        stamps = Stamps(received=began, parsed=began, admitted=admitted)
        contender.rounds.append(
            await self._inference.infer(
                contender.folder,
                contender.schedule,
                contender.prepared,
                stamps,
                deadline,
                "compare",
            )
        )


def rotated(contenders: Sequence[Item], rounds: int) -> list[Item]:
    """Every contender once a round, each round beginning further along."""
    count = len(contenders)
    starts = [count * number // rounds for number in range(rounds)]
    return [contenders[(start + at) % count] for start in starts for at in range(count)]


def report(contenders: Sequence[Contender], baseline: str) -> dict[str, Any]:
    """What the rounds showed; ratios are of median forwards, to the baseline's first schedule."""
    base = next(one for one in contenders if one.folder.name == baseline)
    labels = [[verdict.label for verdict in one.rounds[-1].verdicts] for one in contenders]
    return {
        "baseline": baseline,
        "rounds": ROUNDS,
        "agree": [len(set(given)) == 1 for given in zip(*labels, strict=True)],
        "models": [_entry(contender, base) for contender in contenders],
    }


def _entry(contender: Contender, base: Contender) -> dict[str, Any]:
    latest = contender.rounds[-1]
    medians = {stage: contender.median(stage) for stage in latest.stages}
    forwards = [inferred.stages["forward"] for inferred in contender.rounds]
    timing = latest.timing() | {
        f"{stage}_ms": milliseconds(seconds) for stage, seconds in medians.items()
    }
    timing["total_ms"] = milliseconds(
        statistics.median(sum(inferred.stages.values()) for inferred in contender.rounds)
    )
    return {
        "model": contender.folder.name,
        "architecture": contender.folder.architecture,
        "schedule": latest.answer.schedule,
        "results": latest.results(),
        "timing": timing,
        "forward_ms": [milliseconds(seconds) for seconds in forwards],
        "ratio": round(medians["forward"] / base.median("forward"), 4),
    }
