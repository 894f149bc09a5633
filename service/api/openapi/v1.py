"""The API's own routes, and those that machines and browsers ask."""

from __future__ import annotations

from typing import Any

from service.api import errors as e
from service.api import model_replies, replies
from service.api.openapi.examples import (
    CLASSIFY_REPLIES,
    CLASSIFY_REQUESTS,
    COMPARE_REPLY,
    COMPARE_REQUESTS,
    GAP_REPLY,
    METRICS_REPLY,
    MODEL_REPLY,
)
from service.api.openapi.operation import INFERENCE_ERRORS, JSON, MODEL_NAME, Operation, Reply, one
from service.api.schema import ClassifyRequest, CompareRequest
from service.observe.metrics import CONTENT_TYPE

BASELINE: dict[str, Any] = {
    "name": "baseline",
    "in": "query",
    "description": "the model to which the ratios are; the default one unless given",
    "schema": {"$ref": "#/components/schemas/ModelName"},
}
FILE: dict[str, Any] = {
    "name": "path",
    "in": "path",
    "required": True,
    "description": "of a file of the page",
    "schema": {"type": "string"},
}
HTML = {"text/html; charset=utf-8": {"type": "string"}}
ETAG = {"ETag": "changes with what is answered"}
NOT_MODIFIED = Reply(description="The client has it, as its If-None-Match says.", headers=ETAG)


def _static(description: str, content: dict[str, Any]) -> dict[int, Reply]:
    """The replies of what never changes while the service runs."""
    return {
        200: Reply(description=description, content=content, headers=ETAG),
        304: NOT_MODIFIED,
    }


OPERATIONS = (
    Operation(
        path="/v1/classify",
        method="post",
        name="classify",
        tag="Classify",
        summary="Verdicts on one text or a list, and where their time went",
        description="A text that has nothing but white space or control characters is invalid.",
        request=ClassifyRequest,
        examples=CLASSIFY_REQUESTS,
        replies=one(
            replies.ClassifyReply,
            "A verdict a text, in order.",
            examples=CLASSIFY_REPLIES,
            headers={"Server-Timing": "milliseconds of each stage, as `timing` has them"},
        ),
        errors=INFERENCE_ERRORS,
    ),
    Operation(
        path="/v1/compare",
        method="post",
        name="compare",
        tag="Classify",
        summary="The same texts through several models, side by side",
        description="In three rounds, one model after another in each, each round beginning with "
        "another of them. Durations are medians of the rounds.",
        request=CompareRequest,
        examples=COMPARE_REQUESTS,
        replies=one(
            replies.CompareReply, "What each model said.", examples={"two models": COMPARE_REPLY}
        ),
        errors=INFERENCE_ERRORS,
    ),
    Operation(
        path="/v1/gap",
        method="get",
        name="gap",
        tag="Models",
        summary="What each model's forward has cost on this service's own traffic",
        parameters=(BASELINE,),
        replies=one(
            model_replies.GapReply,
            "Mean and quantiles of forwards.",
            examples={"two models": GAP_REPLY},
        ),
        errors=(e.ModelNotFound, e.Invalid),
    ),
    Operation(
        path="/v1/models",
        method="get",
        name="models",
        tag="Models",
        summary="The card of every served model",
        replies=one(
            model_replies.ModelsReply,
            "The cards.",
            examples={"one model": {"models": [MODEL_REPLY]}},
        ),
    ),
    Operation(
        path="/v1/models/{name}",
        method="get",
        name="model",
        tag="Models",
        summary="The card of one of them",
        parameters=(MODEL_NAME,),
        replies=one(model_replies.Model, "The card.", examples={"lstm": MODEL_REPLY}),
        errors=(e.ModelNotFound,),
    ),
    Operation(
        path="/health/live",
        method="get",
        name="live",
        tag="Operation",
        summary="Whether the process runs",
        replies=one(replies.LiveReply, "It does.", examples={"live": {"status": "live"}}),
        who="anyone",
    ),
    Operation(
        path="/health/ready",
        method="get",
        name="ready",
        tag="Operation",
        summary="Whether to send traffic here",
        replies=one(replies.ReadyReply, "Do.", examples={"ready": {"status": "ready"}}),
        errors=(e.NotReady,),
        who="anyone",
    ),
    Operation(
        path="/metrics",
        method="get",
        name="metrics",
        tag="Operation",
        summary="Metrics in Prometheus's text format",
        replies={
            200: Reply(
                description="A scrape.",
                content={CONTENT_TYPE: {"type": "string"}},
                examples={"part of a scrape": METRICS_REPLY},
            )
        },
        who="scrapers",
    ),
    Operation(
        path="/openapi.json",
        method="get",
        name="openapi",
        tag="Operation",
        summary="This document",
        replies=_static("OpenAPI 3.1.", {JSON: {"type": "object"}}),
        who="anyone",
    ),
    Operation(
        path="/",
        method="get",
        name="page",
        tag="Page",
        summary="The page: every model's verdict as one types, and how it got there",
        replies=_static("The page.", HTML),
        who="anyone",
    ),
    Operation(
        path="/docs",
        method="get",
        name="docs",
        tag="Page",
        summary="This document, to be read",
        replies=_static("The page.", HTML),
        who="anyone",
    ),
    Operation(
        path="/web/{path:path}",
        method="get",
        name="file",
        tag="Page",
        summary="A file that the pages are made of",
        parameters=(FILE,),
        replies=_static("The file.", {"*/*": {"type": "string"}}),
        errors=(e.NotFound,),
        who="anyone",
    ),
)
