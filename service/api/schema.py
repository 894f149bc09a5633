"""What a client may send: every check of its form. Pydantic validates the raw bytes, once."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from models.windows import LongInput
from service.api.errors import Invalid, NotJSON


class ClassifyRequest(BaseModel):
    """The body of ``POST /v1/classify``.

    Attributes:
        inputs: a text, or a list of them.
        model: a served name; None for the default.
        long_input: what to do with a text longer than the model's window.
        schedule: how a linear recurrence is run; ``auto`` for every other model.
        timeout_ms: longest the request may take, in ms.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    inputs: list[str] = Field(min_length=1)
    model: str | None = None
    long_input: LongInput = "truncate"
    schedule: Literal["auto", "serial", "parallel"] = "auto"
    timeout_ms: float | None = Field(None, gt=0, allow_inf_nan=False)

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


_classify = TypeAdapter(ClassifyRequest)


def parse_classify(body: bytes) -> ClassifyRequest:
    """Bytes to a valid request.

    Raises:
        NotJSON: they can't be parsed.
        Invalid: they can, and say something that isn't allowed.
    """
    try:
        return _classify.validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise NotJSON(problems[0]["msg"]) from None
        raise invalid([(problem["loc"], problem["msg"]) for problem in problems]) from None


def invalid(problems: list[tuple[tuple[str | int, ...], str]]) -> Invalid:
    """The error for fields that are wrong: each by its place, with what would be right."""
    errors = [{"loc": list(place), "message": message} for place, message in problems]
    first = problems[0]
    where = ".".join(map(str, first[0])) or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"{where}: {first[1]}{more}", errors)
