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
# Far more than any request needs. Each costs a microsecond to parse, and some hundred bytes.
MOST_VALUES = 50_000
VALUES_OF_A_TEXT = 2  # itself, and under /v2 a list of its own

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


def parse_classify(body: bytes, max_inputs: int) -> ClassifyRequest:
    """Bytes to a valid request, of ``max_inputs`` texts or few more. Raises NotJSON or Invalid."""
    return parse(_classify, body, max_inputs)


def parse_compare(body: bytes, max_inputs: int) -> CompareRequest:
    """Bytes to a valid request, of ``max_inputs`` texts or few more. Raises NotJSON or Invalid."""
    return parse(_compare, body, max_inputs)


def parse(adapter: TypeAdapter[Request], body: bytes, max_inputs: int) -> Request:
    """Bytes to a valid request.

    Args:
        adapter: of what they must be.
        body: the bytes.
        max_inputs: most texts of a request; those that are a few more are for others to refuse.

    Raises:
        NotJSON: they can't be parsed.
        Invalid: they can, and say something that isn't allowed.
    """
    most = MOST_VALUES + VALUES_OF_A_TEXT * max_inputs
    if has_more_values(body, most):
        raise Invalid(f"the body has more than {most} values; no request needs as many")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        if error.error_count() > MOST_FAULTS:
            raise Invalid(f"{error.error_count()} things are wrong: too many to name") from None
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise NotJSON(problems[0]["msg"]) from None
        raise invalid([(_short(problem["loc"]), problem["msg"]) for problem in problems]) from None


def has_more_values(body: bytes, most: int) -> bool:
    """Whether JSON has more values than ``most``, found without parsing it.

    What is counted is commas and opening brackets outside of texts: one for each value but the
    outermost, and one more for each empty list or object. Of what isn't JSON the answer says
    nothing.
    """
    if len(body) <= most:
        return False
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = 4 * most + 3  # more than so many values have, were each a text under a key
    parts = unescaped.split(b'"', quotes)  # outside of a text, inside of one, outside, …
    outside = b"".join(parts[::2])
    return len(parts) > quotes or sum(map(outside.count, (b",", b"[", b"{"))) > most


def _short(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(part[:LONGEST_NAME] if isinstance(part, str) else part for part in place)


def invalid(problems: list[tuple[tuple[str | int, ...], str]]) -> Invalid:
    """The error for fields that are wrong: each by its place, with what would be right."""
    errors = [{"loc": list(place), "message": message} for place, message in problems]
    first = problems[0]
    where = ".".join(map(str, first[0])) or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"{where}: {first[1]}{more}", errors)
