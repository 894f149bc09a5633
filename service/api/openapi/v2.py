"""The routes of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from service.api import errors as e
from service.api.inference_protocol import schema
from service.api.inference_protocol.metadata import VERSION
from service.api.inference_protocol.routes import MODEL, VERSIONED
from service.api.openapi.examples import (
    INFER_REPLY,
    INFER_REQUESTS,
    MODEL_METADATA,
    SERVER_METADATA,
)
from service.api.openapi.operation import INFERENCE_ERRORS, JSON, MODEL_NAME, Operation, Reply, one

TAG = "Open Inference Protocol"
BINARY = "application/octet-stream"
VERSION_PARAMETER: dict[str, Any] = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "of the model: there is one",
    "schema": {"const": VERSION},
}
SPLIT: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "bytes of the JSON, where binary tensors follow it",
    "schema": {"type": "integer", "minimum": 0},
}
SPLIT_REPLY = {"Inference-Header-Content-Length": "bytes of the JSON, where binary tensors follow"}


def _of_a_model(at: str, suffix: str, *more: dict[str, Any]) -> tuple[Operation, ...]:
    """The operations on a model: metadata, readiness, inference."""
    parameters = (MODEL_NAME, *more)
    return (
        Operation(
            path=at,
            method="get",
            name=f"modelMetadata{suffix}",
            tag=TAG,
            summary="Inputs and outputs of a model",
            parameters=parameters,
            replies=one(schema.ModelMetadata, "Its metadata.", examples={"lstm": MODEL_METADATA}),
            errors=(e.ModelNotFound,),
        ),
        Operation(
            path=f"{at}/ready",
            method="get",
            name=f"modelReady{suffix}",
            tag=TAG,
            summary="Whether a model may be asked",
            parameters=parameters,
            replies=one(
                schema.ModelReady, "It may.", examples={"lstm": {"name": "lstm", "ready": True}}
            ),
            errors=(e.ModelNotFound, e.NotReady),
        ),
        Operation(
            path=f"{at}/infer",
            method="post",
            name=f"infer{suffix}",
            tag=TAG,
            summary="Verdicts on texts, as tensors",
            description="One input, `text`, of BYTES; outputs `label`, `score` and `scores`.",
            parameters=(*parameters, SPLIT),
            request=schema.InferenceRequest,
            other_bodies={BINARY: "the JSON, and then binary tensors in its order"},
            examples=INFER_REQUESTS,
            replies={
                200: Reply(
                    description="The outputs, in JSON or behind it, as the request asks.",
                    content={JSON: schema.InferenceResponse, BINARY: {}},
                    examples={"all outputs": INFER_REPLY},
                    headers={
                        "Server-Timing": "milliseconds of each stage, as `parameters` has them",
                        **SPLIT_REPLY,
                    },
                )
            },
            errors=INFERENCE_ERRORS,
        ),
    )


OPERATIONS = (
    Operation(
        path="/v2",
        method="get",
        name="serverMetadata",
        tag=TAG,
        summary="The server and its extensions",
        replies=one(schema.ServerMetadata, "Its metadata.", examples={"server": SERVER_METADATA}),
    ),
    Operation(
        path="/v2/health/live",
        method="get",
        name="serverLive",
        tag=TAG,
        summary="Whether the process runs",
        replies=one(schema.Live, "It does.", examples={"live": {"live": True}}),
        who="anyone",
    ),
    Operation(
        path="/v2/health/ready",
        method="get",
        name="serverReady",
        tag=TAG,
        summary="Whether every model may be asked",
        replies=one(
            schema.ServerReady, "They may.", examples={"ready": {"live": True, "ready": True}}
        ),
        errors=(e.NotReady,),
        who="anyone",
    ),
    *_of_a_model(MODEL, ""),
    *_of_a_model(VERSIONED, "OfVersion", VERSION_PARAMETER),
)
