"""The application of an API process: its routes, its layers, and what lives as long as it does."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api import page
from service.api.access import layers
from service.api.admission import Admission
from service.api.answering import Answering
from service.api.catalogue import Catalogue
from service.api.classify import Classify
from service.api.compare import Compare
from service.api.exchange import at_the_edge
from service.api.gap import Gap
from service.api.health import Health
from service.api.inference import Inference
from service.api.inference_protocol import routes as inference_protocol
from service.api.inference_protocol.routes import InferenceProtocol
from service.api.lifetime import beating, draining
from service.api.models import Models
from service.api.openapi.endpoint import OpenAPI
from service.api.page import Page
from service.api.shadowing import Shadowing
from service.api.workers import WorkerObserver
from service.engine.activity import Activity
from service.engine.client import Engine
from service.heap import keep_what_is_loaded
from service.observe import logs
from service.observe.exchange import Observer
from service.observe.metrics import Metrics
from service.observe.request_log import RequestLog
from service.observe.tracing import Tracing
from service.settings import Settings

logger = logging.getLogger("lockstep.api")

MEET_SECONDS = 1.0  # that a new API process waits for a worker before it takes connections
METRICS_FOLDER = "metrics"  # in the private folder, where there are several API processes

Endpoint = Callable[[Request], Awaitable[Response]]

PATHS = (
    "/v1/classify",
    "/v1/compare",
    "/v1/gap",
    "/v1/models",
    "/v1/models/{name}",
    *inference_protocol.PATHS,
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    *page.PATHS,
)


def create_app(
    settings: Settings,
    catalogue: Catalogue,
    sockets: list[Path],
    folder: Path,
    activity: Activity | None = None,
) -> Starlette:
    """The application.

    Args:
        settings: checked.
        catalogue: what is served.
        sockets: where the workers listen, one each.
        folder: private, for what several API processes share.
        activity: of the workers.
    """
    metrics = Metrics(
        {name: model.labels for name, model in catalogue.folders.items()},
        PATHS,
        [(rule.primary, rule.shadow) for rule in settings.shadow],
        folder / METRICS_FOLDER if settings.api_processes > 1 else None,
    )
    engine = Engine(sockets, WorkerObserver(metrics, catalogue), activity)
    inference = Inference(settings, catalogue, engine)
    admission = Admission(settings, metrics)
    shadowing = Shadowing(
        settings.shadow, catalogue, inference, metrics, lambda: admission.in_flight
    )
    answering = Answering(catalogue, inference, metrics, admission)
    classify = Classify(settings, admission, answering, shadowing)
    models, health = Models(catalogue), Health(engine, metrics)
    protocol = InferenceProtocol(settings, catalogue, engine, admission, answering, shadowing)
    endpoints: dict[str, tuple[str, Endpoint]] = {
        "/v1/classify": ("POST", classify),
        "/v1/compare": ("POST", Compare(settings, catalogue, inference, admission)),
        "/v1/gap": ("GET", Gap(catalogue, metrics)),
        "/v1/models": ("GET", models.list),
        "/v1/models/{name}": ("GET", models.one),
        **protocol.endpoints(),
        "/health/live": ("GET", health.live),
        "/health/ready": ("GET", health.ready),
        "/metrics": ("GET", health.metrics),
        "/openapi.json": ("GET", OpenAPI(settings, catalogue)),
        **Page().endpoints(),
    }

    tracing = Tracing(os.environ)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        drain_delay_seconds = settings.drain_delay_ms / 1e3
        if settings.api_processes == 1:  # else others show what this one counts, at any moment
            metrics.gather(asyncio.get_running_loop())
        try:
            async with tracing, engine, beating(getattr(app.state, "heartbeat", None)):
                # Whoever connects before waits for it, rather than being refused.
                await engine.meet(MEET_SECONDS)
                keep_what_is_loaded()
                with draining(drain_delay_seconds, engine.close):
                    yield
                shadowing.close()
        finally:
            metrics.close()
        logs.flush()

    routes = [
        Route(path, _labelled(path, endpoint), methods=[method])
        for path, (method, endpoint) in endpoints.items()
    ]
    observers: list[Observer] = [tracing, RequestLog(settings.log_requests)]
    return at_the_edge(routes, metrics, lifespan, observers, **layers(settings))


def _labelled(path: str, endpoint: Endpoint) -> Endpoint:
    """Notes which route a request took, as it is written here: a bounded label."""

    async def labelled(request: Request) -> Response:
        request.scope["exchange"].route = path
        return await endpoint(request)

    return labelled
