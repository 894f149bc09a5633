"""Verdicts as tensors: in the JSON, behind it, or as the classification extension names classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from models.verdict import Verdict
from service.api.inference import Inferred
from service.api.inference_protocol.binary import as_fp32, write_elements, write_fp32
from service.api.inference_protocol.metadata import VERSION
from service.api.inference_protocol.request import Call, Output


@dataclass(frozen=True, slots=True)
class Tensor:
    """Row-major elements: texts of BYTES, or numbers of FP32."""

    shape: list[int]
    datatype: Literal["BYTES", "FP32"]
    elements: Sequence[Any]

    def write(self) -> bytes:
        """As binary data."""
        if self.datatype == "BYTES":
            return write_elements(self.elements)
        return write_fp32(self.elements)


def write_answer(inferred: Inferred, call: Call) -> tuple[bytes, int | None]:
    """The body, and the size of its JSON where binary data follows that."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for wanted in call.outputs:
        tensor = _tensor(inferred.verdicts, inferred.folder.labels, wanted)
        output: dict[str, Any] = {
            "name": wanted.name,
            "shape": tensor.shape,
            "datatype": tensor.datatype,
        }
        if wanted.binary:
            blobs.append(tensor.write())
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = list(tensor.elements)
        outputs.append(output)
    head = msgspec.json.encode(
        {
            "model_name": inferred.folder.name,
            "model_version": VERSION,
            **({} if call.id is None else {"id": call.id}),
            "parameters": _parameters(inferred),
            "outputs": outputs,
        }
    )
    return b"".join([head, *blobs]), len(head) if blobs else None


def _tensor(verdicts: Sequence[Verdict], labels: Sequence[str], wanted: Output) -> Tensor:
    count = len(verdicts)
    if wanted.name == "label":
        return Tensor([count], "BYTES", [verdict.label for verdict in verdicts])
    if wanted.name == "score":
        return Tensor([count], "FP32", as_fp32([verdict.score for verdict in verdicts]))
    rows = [as_fp32([verdict.scores[label] for label in labels]) for verdict in verdicts]
    if wanted.classification is None:
        shape = [count, len(labels)]
        return Tensor(shape, "FP32", [score for row in rows for score in row])
    most = min(wanted.classification, len(labels))
    classes = [text for row in rows for text in classify(row, labels, most)]
    return Tensor([count, most], "BYTES", classes)


def classify(scores: Sequence[float], labels: Sequence[str], most: int) -> list[str]:
    """The likeliest labels, first things first, as ``value:index:label``.

    Nine digits tell any two numbers of FP32 apart. Of equal ones the first counts.
    """
    ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [f"{scores[index]:.9g}:{index}:{labels[index]}" for index in ranked[:most]]


def _parameters(inferred: Inferred) -> Mapping[str, str | float | bool]:
    """What a reply of ``/v1/classify`` has beside its verdicts: flat, as the protocol wants it."""
    texts = inferred.prepared
    schedule = inferred.answer.schedule
    return {
        "architecture": inferred.folder.architecture,
        **({} if schedule is None else {"schedule": schedule}),
        "weights": inferred.folder.sha256["weights"][:12],
        "tokens": sum(text.tokens for text in texts),
        "unknown_tokens": sum(text.unknown_tokens for text in texts),
        "truncated": sum(text.truncated for text in texts),
        "segments": sum(len(text.windows) for text in texts),
        **inferred.timing(),
    }
