"""What is answered: the form of every reply of the API, for the OpenAPI document.

Replies are made where they are answered, of what is known there, and aren't validated on their way:
a test holds real ones to these. No field is left out of a reply, unless it says so here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

WHOLE = ConfigDict(extra="forbid", frozen=True)

Schedule = Literal["serial", "parallel"]


class Result(BaseModel):
    """The verdict on one text.

    Attributes:
        label: the likeliest label.
        score: its calibrated probability.
        scores: the probability of every label.
        tokens: of the whole text, special tokens included, before any cut.
        unknown_tokens: how many of them the vocabulary doesn't know.
        truncated: whether part of the text was left out.
        segments: windows that were read.
    """

    model_config = WHOLE

    label: str
    score: float
    scores: dict[str, float]
    tokens: int
    unknown_tokens: int
    truncated: bool
    segments: int


class Timing(BaseModel):
    """Where the time went: milliseconds of each stage, and what was run.

    Attributes:
        total_ms: the sum of the stages.
        parse_ms: from the whole body read until it is validated.
        tokenize_ms: from there until the texts are tokens and the request is admitted.
        queue_ms: until picked for a batch; every wait and the way to the worker included.
        batch_ms: until its tensors are on the device.
        forward_ms: until its logits are on the host; the sum, where it rode in several batches.
        respond_ms: until this is written.
        batch_size: windows of the largest batch it rode in.
        padded_tokens: computed for its batches, padding included.
        sequential_depth: steps of its longest text that had to wait for one another.
        device: that computed.
        dtype: number format of the forward.
    """

    model_config = WHOLE

    total_ms: float
    parse_ms: float
    tokenize_ms: float
    queue_ms: float
    batch_ms: float
    forward_ms: float
    respond_ms: float
    batch_size: int
    padded_tokens: int
    sequential_depth: int
    device: str
    dtype: str


class ClassifyReply(BaseModel):
    """The reply of ``POST /v1/classify``.

    Attributes:
        id: of the request.
        model: what answered.
        architecture: what that is.
        schedule: the order it ran in; null for a model with one order.
        results: one a text, in order.
        timing: where the time went; ``Server-Timing`` says the same.
    """

    model_config = WHOLE

    id: str
    model: str
    architecture: str
    schedule: Schedule | None
    results: list[Result]
    timing: Timing


class Compared(BaseModel):
    """One model, under one schedule, of a comparison.

    Attributes:
        model: its name.
        architecture: what that is.
        schedule: the order it ran in; null for a model with one order.
        results: one a text, in order.
        timing: each duration the median of the rounds.
        forward_ms: of each round.
        ratio: its median forward over the baseline's.
    """

    model_config = WHOLE

    model: str
    architecture: str
    schedule: Schedule | None
    results: list[Result]
    timing: Timing
    forward_ms: list[float]
    ratio: float


class CompareReply(BaseModel):
    """The reply of ``POST /v1/compare``.

    Attributes:
        id: of the request.
        baseline: the model to which the ratios are.
        rounds: how often each model was asked.
        agree: of each text, whether all models gave it one label.
        models: in the order asked for; one with two schedules under each, if asked so.
        total_ms: of the whole comparison.
    """

    model_config = WHOLE

    id: str
    baseline: str
    rounds: int
    agree: list[bool]
    models: list[Compared]
    total_ms: float


class LiveReply(BaseModel):
    """The process runs."""

    model_config = WHOLE

    status: Literal["live"]


class ReadyReply(BaseModel):
    """A worker is loaded and connected."""

    model_config = WHOLE

    status: Literal["ready"]


class Fault(BaseModel):
    """One thing that is wrong.

    Attributes:
        loc: where: names of fields and indexes of lists, from the outside in.
        message: what would be right.
    """

    model_config = WHOLE

    loc: list[str | int]
    message: str


class Problem(BaseModel):
    """Why a request has no other answer (RFC 9457).

    Attributes:
        type: names the kind of problem.
        title: the same for each ``code``.
        status: of HTTP.
        detail: of this request; never repeats a text.
        code: for programs; stable.
        request_id: as in ``X-Request-ID``, and in the log.
        errors: what is wrong, each with its place; left out where there is nothing to point at.
    """

    model_config = WHOLE

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[Fault] = []
