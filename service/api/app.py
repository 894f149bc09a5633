"""The application of an API process: its routes, its layers, and what lives as long as it does."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.admission import Admission
from service.api.catalogue import Catalogue
from service.api.classify import Classify
from service.api.compare import Compare
from service.api.exchange import at_the_edge
from service.api.gap import Gap
from service.api.health import Health
from service.api.inference import Inference
from service.api.models import Models
from service.api.shadowing import Shadowing
from service.engine.client import Engine
from service.engine.wire import BatchFacts, Hello, WorkerState
from service.observe import logs
from service.observe.metrics import Metrics
from service.observe.request_log import RequestLog
from service.observe.tracing import Tracing
from service.settings import Settings

logger = logging.getLogger("lockstep.api")

Endpoint = Callable[[Request], Awaitable[Response]]

PATHS = (
    "/v1/classify",
    "/v1/compare",
    "/v1/gap",
    "/v1/models",
    "/v1/models/{name}",
    "/health/live",
    "/health/ready",
    "/metrics",
)


def create_app(
    settings: Settings, catalogue: Catalogue, sockets: list[Path], folder: Path
) -> Starlette:
    """The application.

    Args:
        settings: checked.
        catalogue: what is served.
        sockets: where the workers listen, one each.
        folder: private, for what several API processes share.
    """
    metrics = Metrics(
        {name: model.labels for name, model in catalogue.folders.items()},
        PATHS,
        [(rule.primary, rule.shadow) for rule in settings.shadow],
        folder / "metrics" if settings.api_processes > 1 else None,
    )
    engine = Engine(sockets, WorkerObserver(metrics, catalogue))
    inference = Inference(settings, catalogue, engine)
    admission = Admission(settings, metrics)
    shadowing = Shadowing(
        settings.shadow, catalogue, inference, metrics, lambda: admission.in_flight
    )
    classify = Classify(settings, catalogue, inference, metrics, admission, shadowing)
    models, health = Models(catalogue), Health(engine, metrics)
    endpoints: dict[str, tuple[str, Endpoint]] = {
        "/v1/classify": ("POST", classify),
        "/v1/compare": ("POST", Compare(settings, catalogue, inference, admission)),
        "/v1/gap": ("GET", Gap(catalogue, metrics)),
        "/v1/models": ("GET", models.list),
        "/v1/models/{name}": ("GET", models.one),
        "/health/live": ("GET", health.live),
        "/health/ready": ("GET", health.ready),
        "/metrics": ("GET", health.metrics),
    }

    tracing = Tracing(os.environ)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with tracing, engine:
            yield
            shadowing.close()
        logs.flush()

    routes = [
        Route(path, _labelled(path, endpoint), methods=[method])
        for path, (method, endpoint) in endpoints.items()
    ]
    return at_the_edge(routes, metrics, lifespan, [tracing, RequestLog(settings.log_requests)])


class WorkerObserver:
    """Turns what workers tell of themselves into metrics."""

    def __init__(self, metrics: Metrics, catalogue: Catalogue) -> None:
        self._metrics, self._catalogue = metrics, catalogue
        self._device = ""

    def hello(self, hello: Hello) -> None:
        """A worker is connected."""
        self._device = hello.device
        self._metrics.worker(hello.device, restarted=hello.replaces)
        self._metrics.build(version("lockstep"), version("litserve"), hello.torch)
        for model in hello.models:
            folder = self._catalogue.folders[model.name]
            self._metrics.model(
                model.name,
                folder.architecture,
                hello.device,
                model.dtype,
                folder.sha256["weights"][:12],
                model.load_seconds,
            )

    def batch(self, facts: BatchFacts) -> None:
        """A batch ran. What isn't clients' traffic shows as the worker's time alone."""
        self._metrics.busy(self._device, facts.batch_seconds + facts.forward_seconds)
        if facts.traffic != "client":
            return
        self._metrics.batch(
            facts.model,
            rows=facts.rows,
            tokens=facts.tokens,
            padding=facts.padding_tokens,
            forward_seconds=facts.forward_seconds,
            flops=facts.flops,
            steps=facts.sequential_steps,
        )

    def state(self, state: WorkerState) -> None:
        """More or less waits than before."""
        self._metrics.state(self._device, state.waiting, state.memory_bytes)


def _labelled(path: str, endpoint: Endpoint) -> Endpoint:
    """Notes which route a request took, as it is written here: a bounded label."""

    async def labelled(request: Request) -> Response:
        request.scope["exchange"].route = path
        return await endpoint(request)

    return labelled
