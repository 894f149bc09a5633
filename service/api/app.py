"""The application of an API process: its routes, its layers, and what lives as long as it does."""

from __future__ import annotations

import logging
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
from service.api.exchange import at_the_edge
from service.api.health import Health
from service.api.models import Models
from service.engine.client import Engine
from service.engine.wire import BatchFacts, Hello
from service.observe.metrics import Metrics
from service.settings import Settings

logger = logging.getLogger("lockstep.api")

Endpoint = Callable[[Request], Awaitable[Response]]

PATHS = (
    "/v1/classify",
    "/v1/models",
    "/v1/models/{name}",
    "/health/live",
    "/health/ready",
    "/metrics",
)


def create_app(settings: Settings, catalogue: Catalogue, sockets: list[Path]) -> Starlette:
    """The application.

    Args:
        settings: checked.
        catalogue: what is served.
        sockets: where the workers listen, one each.
    """
    metrics = Metrics({name: f.labels for name, f in catalogue.folders.items()}, PATHS)
    observer = WorkerObserver(metrics, catalogue)
    engine = Engine(sockets, observer.hello, observer.batch)
    admission = Admission(settings.max_in_flight, metrics)
    models, health = Models(catalogue), Health(engine, metrics)
    endpoints: dict[str, tuple[str, Endpoint]] = {
        "/v1/classify": ("POST", Classify(settings, catalogue, engine, metrics, admission)),
        "/v1/models": ("GET", models.list),
        "/v1/models/{name}": ("GET", models.one),
        "/health/live": ("GET", health.live),
        "/health/ready": ("GET", health.ready),
        "/metrics": ("GET", health.metrics),
    }

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with engine:
            yield

    routes = [
        Route(path, _labelled(path, endpoint), methods=[method])
        for path, (method, endpoint) in endpoints.items()
    ]
    return at_the_edge(routes, metrics, lifespan)


class WorkerObserver:
    """Turns what workers tell of themselves into metrics."""

    def __init__(self, metrics: Metrics, catalogue: Catalogue) -> None:
        self._metrics, self._catalogue = metrics, catalogue
        self._device = ""
        self._pids: set[int] = set()

    def hello(self, hello: Hello) -> None:
        """A worker is connected."""
        restarted = bool(self._pids) and hello.pid not in self._pids
        self._pids.add(hello.pid)
        self._device = hello.device
        self._metrics.worker(hello.device, restarted=restarted)
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
        """A batch ran."""
        self._metrics.batch(
            facts.model,
            self._device,
            rows=facts.rows,
            tokens=facts.tokens,
            padding=facts.padding_tokens,
            batch_seconds=facts.batch_seconds,
            forward_seconds=facts.forward_seconds,
            flops=facts.flops,
            steps=facts.sequential_steps,
        )


def _labelled(path: str, endpoint: Endpoint) -> Endpoint:
    """Notes which route a request took, as it is written here: a bounded label."""

    async def labelled(request: Request) -> Response:
        request.scope["exchange"].route = path
        return await endpoint(request)

    return labelled
