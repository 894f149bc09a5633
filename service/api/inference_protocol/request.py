"""An inference request of the protocol, read: texts, options, and the outputs it wants.

    body ──split──▶ JSON ──pydantic──▶ InferenceRequest ──texts and outputs──▶ Call
                 └▶ binary data ──────────────────────────┘

What is wrong is told by its place in the protocol's own JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from service.api.errors import Invalid
from service.api.inference_protocol.binary import (
    BinaryError,
    header_length,
    read_elements,
    split,
)
from service.api.inference_protocol.metadata import CLASSES, OUTPUTS
from service.api.inference_protocol.schema import (
    InferenceRequest,
    OutputName,
    RequestInput,
    RequestOutput,
    RequestParameters,
)
from service.api.schema import ClassifyRequest, invalid, parse

Place = tuple[str | int, ...]

_request = TypeAdapter(InferenceRequest)


@dataclass(frozen=True, slots=True)
class Output:
    """A wanted output.

    Attributes:
        name: of ``OUTPUTS``.
        binary: behind the JSON.
        classification: how many labels instead of the numbers; None for the numbers.
    """

    name: OutputName
    binary: bool
    classification: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read.

    Attributes:
        asked: the same as ``POST /v1/classify`` has it.
        id: to be given back, if any.
        outputs: to be given back, in this order.
    """

    asked: ClassifyRequest
    id: str | None
    outputs: list[Output]


def read_call(body: bytes, header: Sequence[str], model: str, most: int) -> Call:
    """A body to a request.

    Args:
        body: whole.
        header: every value of ``Inference-Header-Content-Length``.
        model: that the path names.
        most: texts of a request.

    Raises:
        NotJSON: its JSON can't be parsed.
        Invalid: it can, and says something that isn't allowed.
    """
    try:
        length = header_length(header)
        if length == 0:
            return _raw(body, model)
        sent, data = split(body, len(body) if length is None else length)
    except BinaryError as error:
        raise Invalid(str(error)) from None
    request = parse(_request, sent, most)
    if request.model_name not in (None, model):
        raise _wrong(("model_name",), f"the path names {model}")
    parameters = request.parameters or RequestParameters()
    texts = _texts(request.inputs[0], data, length is not None, most)
    asked = ClassifyRequest(
        inputs=texts,
        model=model,
        long_input=parameters.long_input,
        schedule=parameters.schedule,
        timeout_ms=_timeout_ms(parameters),
    )
    return Call(asked, request.id, _outputs(request.outputs, parameters.binary_data_output))


def _raw(body: bytes, model: str) -> Call:
    """Triton's raw binary request: the whole body is one element, and all that comes is binary."""
    (text,) = _decoded([body], ())
    asked = ClassifyRequest(inputs=[text], model=model)
    return Call(asked, None, [Output(name, binary=True) for name in OUTPUTS])


def _timeout_ms(parameters: RequestParameters) -> float | None:
    microseconds = parameters.timeout
    given = [parameters.timeout_ms, microseconds / 1e3 if microseconds else None]
    return min((timeout for timeout in given if timeout is not None), default=None)


def _texts(tensor: RequestInput, data: bytes, announced: bool, most: int) -> list[str]:
    """The texts of the one input, each element checked."""
    at: Place = ("inputs", 0)
    count = _count(tensor.shape, most)
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if (size is None) == (tensor.data is None):
        raise _wrong(at, "must have either data or the parameter binary_data_size")
    if tensor.data is not None:
        if data:
            raise _wrong(at, f"has its data in the JSON, and {len(data)} bytes follow that")
        return _listed(tensor.data, tensor.shape, count)
    size_at = (*at, "parameters", "binary_data_size")
    if not announced:
        raise _wrong(size_at, "needs the header Inference-Header-Content-Length")
    if size != len(data):
        raise _wrong(size_at, f"is {size}, and {len(data)} bytes follow the JSON")
    try:
        return _decoded(read_elements(data, count), at)
    except BinaryError as error:
        raise _wrong(at, str(error)) from None


def _count(shape: list[int], most: int) -> int:
    at = ("inputs", 0, "shape")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 1:
        raise _wrong(at, "must be [n] or [n, 1], with n at least 1")
    if shape[0] > most:
        raise _wrong(at, f"has {shape[0]} texts; at most {most} go in one request")
    return shape[0]


def _listed(data: list[Any], shape: list[int], count: int) -> list[str]:
    """Texts given flat, or for a shape [n, 1] each in a list of its own."""
    at: Place = ("inputs", 0, "data")
    if len(data) != count:
        raise _wrong(at, f"has {len(data)} elements; by its shape there are {count}")
    if len(shape) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    for index, text in enumerate(data):
        if not isinstance(text, str):
            raise _wrong((*at, index), "must be a text")
    return data


def _decoded(elements: list[bytes], at: Place) -> list[str]:
    texts = []
    for index, element in enumerate(elements):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as error:
            raise _wrong(at, f"text {index} isn't UTF-8, from its byte {error.start} on") from None
    return texts


def _outputs(wanted: list[RequestOutput] | None, binary: bool) -> list[Output]:
    if not wanted:
        return [Output(name, binary) for name in OUTPUTS]
    found: dict[str, Output] = {}
    for index, output in enumerate(wanted):
        at: Place = ("outputs", index)
        if output.name in found:
            raise _wrong((*at, "name"), f"{output.name} is asked for twice")
        parameters = output.parameters
        classification = parameters.classification if parameters else None
        if classification is not None and output.name != CLASSES:
            place = (*at, "parameters", "classification")
            raise _wrong(place, f"is for {CLASSES} alone: its elements are one a label")
        own = parameters.binary_data if parameters else None
        found[output.name] = Output(output.name, binary if own is None else own, classification)
    return list(found.values())


def _wrong(place: Place, message: str) -> Invalid:
    return invalid([(place, message)])
