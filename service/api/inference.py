"""One model asked about some texts: what every endpoint that computes does.

texts ──check──▶ ──prepare──▶ windows ──infer──▶ answer ──report──▶ results and timing
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import TextError, TextTooLongError, WindowError
from models.folder import ModelFolder
from models.verdict import Verdict, judge_texts
from models.windows import LongInput, PreparedText, prepare
from service.api.catalogue import Catalogue, schedules
from service.api.errors import (
    Busy,
    DeadlineExceeded,
    InputTooLong,
    NotReady,
    ServiceError,
    TextTooLong,
    WorkerLost,
)
from service.api.schema import invalid
from service.engine.client import Engine
from service.engine.errors import (
    DeadlineError,
    EngineError,
    ForwardError,
    GaveWayError,
    NotReadyError,
    WorkerLostError,
)
from service.engine.wire import Answer, Hello, Traffic
from service.observe.timing import Stamps, now, stage_seconds
from service.settings import Settings

# Tokenizing this many characters takes about a millisecond: more than that leaves the event loop.
INLINE_CHARACTERS = 4_000

ENGINE_ERRORS: dict[type[EngineError], tuple[type[ServiceError], str]] = {
    NotReadyError: (NotReady, "no worker is ready; try again shortly"),
    WorkerLostError: (WorkerLost, "the worker ended while it held this request; try again"),
    DeadlineError: (DeadlineExceeded, "the time allowed was up before the answer was there"),
    GaveWayError: (Busy, "a client's request came first"),
    ForwardError: (ServiceError, "the forward failed; the log knows more under this id"),
}


@dataclass(frozen=True, slots=True)
class Inferred:
    """What one model said.

    Attributes:
        folder: the model.
        prepared: the texts as it read them.
        answer: the worker's.
        worker: which answered.
        verdicts: one a text.
        stages: seconds of each stage; their sum is the total.
    """

    folder: ModelFolder
    prepared: list[PreparedText]
    answer: Answer
    worker: Hello
    verdicts: list[Verdict]
    stages: dict[str, float]

    @property
    def batch_size(self) -> int:
        """Windows of the largest batch that the texts rode in."""
        return max(ride.rows for ride in self.answer.rides)

    def results(self) -> list[dict[str, Any]]:
        """The ``results`` of a reply."""
        return [
            {
                "label": verdict.label,
                "score": verdict.score,
                "scores": verdict.scores,
                "tokens": text.tokens,
                "unknown_tokens": text.unknown_tokens,
                "truncated": text.truncated,
                "segments": len(text.windows),
            }
            for verdict, text in zip(self.verdicts, self.prepared, strict=True)
        ]

    def timing(self) -> dict[str, Any]:
        """The ``timing`` of a reply, durations in ms."""
        return {
            "total_ms": milliseconds(sum(self.stages.values())),
            **{f"{stage}_ms": milliseconds(seconds) for stage, seconds in self.stages.items()},
            "batch_size": self.batch_size,
            "padded_tokens": sum(ride.computed_tokens for ride in self.answer.rides),
            "sequential_depth": self.answer.sequential_depth,
            "device": self.worker.device,
            "dtype": self.worker.dtype(self.folder.name),
        }


class Inference:
    """Asks models; turns what goes wrong into the client's errors.

    Args:
        settings: limits.
        catalogue: what is served.
        engine: the workers.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, engine: Engine) -> None:
        self._settings, self._catalogue, self._engine = settings, catalogue, engine

    def check_count(self, texts: Sequence[str]) -> None:
        """Raises Invalid where a request has more texts than allowed."""
        most = self._settings.max_inputs
        if len(texts) > most:
            message = f"has {len(texts)} texts; at most {most} go in one request"
            raise invalid([(("inputs",), message)])

    def schedule(self, wanted: str, folder: ModelFolder) -> str | None:
        """The schedule asked for, None for the fastest. Raises Invalid if the model lacks it."""
        if wanted == "auto":
            return None
        if wanted not in schedules(folder):
            known = ", ".join(["auto", *schedules(folder)])
            raise invalid([(("schedule",), f"{folder.name} runs only under: {known}")])
        return wanted

    def deadline(self, timeout_ms: float | None, received: float) -> float:
        """When a request's time is up, in seconds of ``timing.now``."""
        longest = self._settings.request_timeout_ms
        return received + min(timeout_ms or longest, longest) / 1e3

    async def prepare(
        self, texts: Sequence[str], folder: ModelFolder, long_input: LongInput
    ) -> list[PreparedText]:
        """Texts as the model will read them; long ones are tokenized off the event loop.

        Raises:
            Invalid, TextTooLong, InputTooLong: a text can't be read; says which.
        """
        limit = self._settings.max_tokens
        arguments = (texts, self._catalogue.tokenizer, folder.window, long_input, limit)
        try:
            if sum(map(len, texts)) <= INLINE_CHARACTERS:
                return prepare(*arguments)
            return await asyncio.to_thread(prepare, *arguments)
        except TextTooLongError as error:
            raise TextTooLong(str(error), [_place(error)]) from None
        except WindowError as error:
            raise InputTooLong(str(error), [_place(error)]) from None
        except TextError as error:
            raise invalid([(("inputs", error.index), str(error))]) from None

    async def infer(
        self,
        folder: ModelFolder,
        schedule: str | None,
        prepared: list[PreparedText],
        stamps: Stamps,
        deadline: float,
        traffic: Traffic = "client",
    ) -> Inferred:
        """What the model says of the texts, and where the time went.

        Raises:
            ServiceError: there is no answer; its kind says why.
        """
        windows = [window for text in prepared for window in text.windows]
        if now() >= deadline:
            raise DeadlineExceeded("the time allowed was up by the time the texts were tokenized")
        try:
            answer, worker = await self._engine.infer(
                folder.name, schedule, windows, deadline, traffic
            )
        except EngineError as error:
            kind, detail = ENGINE_ERRORS[type(error)]
            raise kind(detail) from error
        verdicts = judge_texts(prepared, answer.logits, folder.labels, folder.temperature)
        forward_seconds = sum(ride.forward_seconds for ride in answer.rides)
        stages = stage_seconds(
            stamps, answer.batch_seconds, forward_seconds, answer.finished, now()
        )
        return Inferred(folder, prepared, answer, worker, verdicts, stages)


def _place(error: TextError) -> dict[str, Any]:
    return {"loc": ["inputs", error.index], "message": str(error)}


def computed_tokens(prepared: Sequence[PreparedText]) -> int:
    """Tokens that the model will read: of every window of every text."""
    return sum(len(window) for text in prepared for window in text.windows)


def milliseconds(seconds: float) -> float:
    """For a reply: ms, to the µs."""
    return round(seconds * 1e3, 3)
