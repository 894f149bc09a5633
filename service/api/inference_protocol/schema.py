"""What the protocol's JSON may say: requests validated, answers described.

The types are named as the protocol names them (``$inference_request``, ``$request_input``, …).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.windows import LongInput

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
LARGEST = 2**64 - 1  # "an integer representable as an unsigned 64-bit integer value"

Dimension = Annotated[int, Field(ge=0, le=LARGEST)]
InputName = Literal["text"]
OutputName = Literal["label", "score", "scores"]
# What MLServer's codecs write beside a text: the only thing that is taken here anyway.
ContentType = Literal["str"] | None


class RequestParameters(BaseModel):
    """``parameters`` of a request.

    Attributes:
        schedule: how a linear recurrence is run; ``auto`` for every other model.
        long_input: what to do with a text longer than the model's window.
        timeout_ms: longest the request may take, in ms.
        timeout: the same in µs, as Triton's clients send it; 0 for none. The shorter counts.
        binary_data_output: all outputs as binary data, unless one says otherwise.
        content_type: ``str`` alone.
    """

    model_config = _STRICT

    schedule: Literal["auto", "serial", "parallel"] = "auto"
    long_input: LongInput = "truncate"
    timeout_ms: float | None = Field(None, gt=0, allow_inf_nan=False)
    timeout: int | None = Field(None, ge=0, le=LARGEST)
    binary_data_output: bool = False
    content_type: ContentType = None


class InputParameters(BaseModel):
    """``parameters`` of an input.

    Attributes:
        binary_data_size: bytes of it behind the JSON, which then has no ``data``.
        content_type: ``str`` alone.
    """

    model_config = _STRICT

    binary_data_size: int | None = Field(None, ge=0, le=LARGEST)
    content_type: ContentType = None


class OutputParameters(BaseModel):
    """``parameters`` of a requested output.

    Attributes:
        binary_data: whether behind the JSON; None for what ``binary_data_output`` says.
        classification: how many labels, likeliest first, instead of the numbers; ``scores`` alone.
        content_type: ``str`` alone.
    """

    model_config = _STRICT

    binary_data: bool | None = None
    classification: int | None = Field(None, ge=1, le=LARGEST)
    content_type: ContentType = None


class RequestInput(BaseModel):
    """``$request_input``.

    Attributes:
        name: ``text``.
        shape: [n] or [n, 1].
        datatype: ``BYTES``.
        parameters: see there.
        data: n texts, flat or as the shape has them; None where they are binary.
    """

    model_config = _STRICT

    name: InputName
    shape: list[Dimension]
    datatype: Literal["BYTES"]
    parameters: InputParameters | None = None
    data: list[Any] | None = None


class RequestOutput(BaseModel):
    """``$request_output``.

    Attributes:
        name: ``label``, ``score`` or ``scores``.
        parameters: see there.
    """

    model_config = _STRICT

    name: OutputName
    parameters: OutputParameters | None = None


class InferenceRequest(BaseModel):
    """``$inference_request``.

    Attributes:
        id: given back.
        parameters: see there.
        inputs: one tensor, ``text``.
        outputs: those wanted, in this order; none means all.
        model_name: Triton's examples repeat the path's here; it must be the same.
    """

    model_config = _STRICT

    id: str | None = None
    parameters: RequestParameters | None = None
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] | None = None
    model_name: str | None = None


class MetadataTensor(BaseModel):
    """``$metadata_tensor``; -1 in a shape is any size."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class ServerMetadata(BaseModel):
    """``$metadata_server_response``."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """``$metadata_model_response``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]


class Live(BaseModel):
    """``$live_server_response``."""

    live: bool


class ServerReady(BaseModel):
    """``$ready_server_response``, whose one field the protocol calls ``live``."""

    live: bool
    ready: bool


class ModelReady(BaseModel):
    """``$ready_model_response``."""

    name: str
    ready: bool


class ResponseOutput(BaseModel):
    """``$response_output``; without ``data`` where ``parameters`` has a ``binary_data_size``."""

    name: str
    shape: list[int]
    datatype: Literal["BYTES", "FP32"]
    parameters: dict[str, int] | None = None
    data: list[str] | list[float] | None = None


class InferenceResponse(BaseModel):
    """``$inference_response``; ``id`` is the request's, and absent if that had none."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | float | bool]
    outputs: list[ResponseOutput]


class ErrorResponse(BaseModel):
    """``$inference_error_response``, and every other error under ``/v2``."""

    error: str
