"""What a client may send: every check of its form. Pydantic validates the raw bytes, once."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypeAliasType

from models.windows import LongInput
from service.api.errors import Invalid, NotJSON

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)

# A body of 8 MB has room for millions of faults, and naming them took minutes and gigabytes.
MOST_FAULTS = 100  # named in one answer
LONGEST_NAME = 100  # characters of a field's name that an answer repeats

Request = TypeVar("Request", bound=BaseModel)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# A text, or a list of them: one is a list of one. Of a list's wrong items the first is named.
Texts = Annotated[list[str], FailFast(), BeforeValidator(_listed), Field(min_length=1)]
# Named, since a union can't hold FailFast otherwise.
Names = TypeAliasType("Names", Annotated[list[str], FailFast(), Field(min_length=1)])


class ClassifyRequest(BaseModel):
    """The body of ``POST /v1/classify``.

    Attributes:
        inputs: a text, or a list of them.
        model: a served name; None for the default.
        long_input: what to do with a text longer than the model's window.
        schedule: how a linear recurrence is run; ``auto`` for every other model.
        timeout_ms: longest the request may take, in ms.
    """

    model_config = _STRICT

    inputs: Texts
    model: str | None = None
    long_input: LongInput = "truncate"
    schedule: Literal["auto", "serial", "parallel"] = "auto"
    timeout_ms: float | None = Field(None, gt=0, allow_inf_nan=False)


class CompareRequest(BaseModel):
    """The body of ``POST /v1/compare``.

    Attributes:
        inputs: a text, or a list of them.
        models: served names; None for all.
        baseline: to which the ratios are; None for the first of the models.
        long_input: what to do with a text longer than a model's window.
        schedule: how a linear recurrence is run: the fastest way (``auto``), or ``each`` it has,
            as a contender of its own.
        timeout_ms: longest the request may take, in ms.
    """

    model_config = _STRICT

    inputs: Texts
    models: Names | None = None
    baseline: str | None = None
    long_input: LongInput = "truncate"
    schedule: Literal["auto", "each"] = "auto"
    timeout_ms: float | None = Field(None, gt=0, allow_inf_nan=False)


_classify = TypeAdapter(ClassifyRequest)
_compare = TypeAdapter(CompareRequest)


def parse_classify(body: bytes) -> ClassifyRequest:
    """Bytes to a valid request. Raises NotJSON or Invalid."""
    return parse(_classify, body)


def parse_compare(body: bytes) -> CompareRequest:
    """Bytes to a valid request. Raises NotJSON or Invalid."""
    return parse(_compare, body)


def parse(adapter: TypeAdapter[Request], body: bytes) -> Request:
    """Bytes to a valid request.

    Raises:
        NotJSON: they can't be parsed.
        Invalid: they can, and say something that isn't allowed.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        if error.error_count() > MOST_FAULTS:
            raise Invalid(f"{error.error_count()} things are wrong: too many to name") from None
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise NotJSON(problems[0]["msg"]) from None
        raise invalid([(_short(problem["loc"]), problem["msg"]) for problem in problems]) from None


def _short(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(part[:LONGEST_NAME] if isinstance(part, str) else part for part in place)


def invalid(problems: list[tuple[tuple[str | int, ...], str]]) -> Invalid:
    """The error for fields that are wrong: each by its place, with what would be right."""
    errors = [{"loc": list(place), "message": message} for place, message in problems]
    first = problems[0]
    where = ".".join(map(str, first[0])) or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"{where}: {first[1]}{more}", errors)
