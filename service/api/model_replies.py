"""What is answered about the models: the form of their cards, and of the gap."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from service.api.replies import WHOLE, Schedule

_OPEN = ConfigDict(extra="allow", frozen=True)


class Achieved(BaseModel):
    """What a model's forwards came to.

    Attributes:
        forward_seconds: of all forwards together.
        flops: floating-point operations, of real tokens.
        flops_per_second: one over the other; null before the first forward.
    """

    model_config = WHOLE

    forward_seconds: float
    flops: float
    flops_per_second: float | None


class Quantile(BaseModel):
    """A quantile of a histogram, with the edges of its bucket.

    Attributes:
        ms: estimated between the edges; null past the last of them.
        from_ms: the lower edge.
        to_ms: the upper edge; null past the last.
    """

    model_config = WHOLE

    ms: float | None
    from_ms: float
    to_ms: float | None


class Forward(BaseModel):
    """The forwards of one model and schedule, at one length and batch size.

    Attributes:
        model: its name.
        schedule: the order it ran in; null for a model with one order.
        length_bucket: tokens of a window.
        batch_bucket: windows of a batch.
        count: requests.
        mean_ms: of their forwards; exact.
        p50: half took no longer.
        p99: 99 of 100 took no longer.
        ratio: the mean over the baseline's in the same buckets; null where it has none.
    """

    model_config = WHOLE

    model: str
    schedule: Schedule | None
    length_bucket: str
    batch_bucket: str
    count: int
    mean_ms: float
    p50: Quantile
    p99: Quantile
    ratio: float | None


class GapReply(BaseModel):
    """The reply of ``GET /v1/gap``.

    Attributes:
        id: of the request.
        baseline: the model to which the ratios are.
        models: what each achieved, by its name.
        forwards: shortest texts first.
    """

    model_config = WHOLE

    id: str
    baseline: str
    models: dict[str, Achieved]
    forwards: list[Forward]


class Parameters(BaseModel):
    """Parameters of a model's parts."""

    model_config = WHOLE

    embedding: int
    encoder: int
    head: int


class Model(BaseModel):
    """A served model: its cost, and its card, which may say more than is listed here.

    Attributes:
        name: to ask for it by.
        architecture: what it is.
        parameters: of its parts; the embedding is shared by all models, and frozen.
        length: tokens at which the costs below are.
        flops_per_token: floating-point operations.
        sequential_depth: steps that must wait for one another.
        longest_path: steps between the two tokens that are furthest apart.
        reach: tokens away that the state at a token has read after 1, 2, ... steps; null for all of
            them. Empty if the card is of a version that didn't say.
        stride: tokens that each step after those adds.
        schedules: orders that it can be run in, with the sequential depth of each; none for a model
            with one order.
        window: most tokens that it reads at once; null for any number.
        labels: in the order of its logits.
        temperature: that its logits are divided by, so that scores are probabilities.
        sha256: of its weights.
    """

    model_config = _OPEN

    name: str
    architecture: str
    parameters: Parameters
    length: int
    flops_per_token: int
    sequential_depth: int
    longest_path: int
    reach: list[int | None]
    stride: int
    schedules: dict[str, int]
    window: int | None
    labels: list[str]
    temperature: float
    sha256: str


class ModelsReply(BaseModel):
    """The reply of ``GET /v1/models``."""

    model_config = WHOLE

    models: list[Model]
