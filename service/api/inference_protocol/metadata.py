"""What the server and its models say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import get_args

from models.folder import ModelFolder
from service.api.inference_protocol.schema import (
    InputName,
    MetadataTensor,
    ModelMetadata,
    OutputName,
    ServerMetadata,
)

NAME = "lockstep"
# No more than what is here whole: nothing of shared memory, sequences, statistics, repositories.
EXTENSIONS = ("binary_tensor_data", "classification")
# A folder of weights/ is one version of its model; other weights are another folder, and name.
VERSION = "1"
PLATFORM = "pytorch_safetensors"

(INPUT,) = get_args(InputName)
OUTPUTS: tuple[OutputName, ...] = get_args(OutputName)
CLASSES: OutputName = "scores"  # with an element a label: [n, C]


def server_metadata() -> ServerMetadata:
    """``GET /v2``."""
    return ServerMetadata(name=NAME, version=version("lockstep"), extensions=list(EXTENSIONS))


def model_metadata(folder: ModelFolder) -> ModelMetadata:
    """``GET /v2/models/{name}``."""
    return ModelMetadata(
        name=folder.name,
        versions=[VERSION],
        platform=PLATFORM,
        inputs=[MetadataTensor(name=INPUT, datatype="BYTES", shape=[-1])],
        outputs=output_tensors(folder.labels),
    )


def output_tensors(labels: Sequence[str]) -> list[MetadataTensor]:
    """The outputs, one for each of ``OUTPUTS``."""
    return [
        MetadataTensor(name="label", datatype="BYTES", shape=[-1]),
        MetadataTensor(name="score", datatype="FP32", shape=[-1]),
        MetadataTensor(name="scores", datatype="FP32", shape=[-1, len(labels)]),
    ]
