"""The protocol's endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from models.folder import ModelFolder
from service.api.admission import Admission
from service.api.answering import Answering
from service.api.body import json_body
from service.api.catalogue import Catalogue
from service.api.errors import Invalid, ModelNotFound, NotReady
from service.api.exchange import Exchange
from service.api.inference_protocol.binary import HEADER
from service.api.inference_protocol.metadata import VERSION, model_metadata, server_metadata
from service.api.inference_protocol.request import read_call
from service.api.inference_protocol.response import write_answer
from service.api.inference_protocol.schema import Live, ModelReady, ServerReady
from service.api.schema import invalid
from service.api.shadowing import Shadowing
from service.engine.client import Engine
from service.observe.timing import Stamps, now, server_timing
from service.settings import Settings

MODEL = "/v2/models/{name}"
VERSIONED = "/v2/models/{name}/versions/{version}"
PATHS = (
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    *(f"{path}{verb}" for path in (MODEL, VERSIONED) for verb in ("", "/ready", "/infer")),
)
# Clients of other servers send binary data, and their JSON too, as bytes or without a type.
OTHER_TYPES = ("application/octet-stream", "")

Endpoint = Callable[[Request], Awaitable[Response]]


class InferenceProtocol:
    """The endpoints, with what they need; metadata never changes, so it is encoded once."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        engine: Engine,
        admission: Admission,
        answering: Answering,
        shadowing: Shadowing,
    ) -> None:
        self._settings, self._catalogue, self._engine = settings, catalogue, engine
        self._admission, self._answering = admission, answering
        self._shadowing = shadowing
        self._server = _json(server_metadata())
        self._models = {
            name: _json(model_metadata(folder)) for name, folder in catalogue.folders.items()
        }

    def endpoints(self) -> dict[str, tuple[str, Endpoint]]:
        """Method and endpoint of each of ``PATHS``."""
        one = {"": self.metadata, "/ready": self.model_ready}
        return {
            "/v2": ("GET", self.server),
            "/v2/health/live": ("GET", self.live),
            "/v2/health/ready": ("GET", self.ready),
            **{f"{at}{verb}": ("GET", one[verb]) for at in (MODEL, VERSIONED) for verb in one},
            **{f"{at}/infer": ("POST", self.infer) for at in (MODEL, VERSIONED)},
        }

    async def server(self, request: Request) -> Response:
        return _answer(self._server)

    async def live(self, request: Request) -> Response:
        return _answer(_json(Live(live=True)))

    async def ready(self, request: Request) -> Response:
        self._check_ready()
        return _answer(_json(ServerReady(live=True, ready=True)))

    async def metadata(self, request: Request) -> Response:
        return _answer(self._models[self._find(request).name])

    async def model_ready(self, request: Request) -> Response:
        folder = self._find(request)
        self._check_ready()
        return _answer(_json(ModelReady(name=folder.name, ready=True)))

    async def infer(self, request: Request) -> Response:
        folder = self._find(request)
        with self._admission.hold() as room:
            body = await json_body(request, self._settings, room, OTHER_TYPES)
            return await self._infer(request, folder, body)

    async def _infer(self, request: Request, folder: ModelFolder, body: bytes) -> Response:
        exchange: Exchange = request.scope["exchange"]
        stamps = Stamps(received=now())
        exchange.began = stamps.received
        header = request.headers.getlist(HEADER)
        call = read_call(body, header, folder.name, self._settings.max_inputs)
        try:
            inferred = await self._answering.answer(request, call.asked, stamps)
        except Invalid as error:
            raise _placed(error) from None
        answer, size = write_answer(inferred, call)
        return _answer(
            answer,
            "application/json" if size is None else "application/octet-stream",
            {"Server-Timing": server_timing(inferred.stages)}
            | ({} if size is None else {"Inference-Header-Content-Length": str(size)}),
            background=self._shadowing.after(inferred, call.asked),
        )

    def _find(self, request: Request) -> ModelFolder:
        """The path's model. Raises ModelNotFound where it, or that version of it, isn't served."""
        folder = self._catalogue.find(request.path_params["name"])
        if request.path_params.get("version", VERSION) != VERSION:
            raise ModelNotFound(f"{folder.name} has one version, {VERSION}")
        request.scope["exchange"].model = folder.name
        return folder

    def _check_ready(self) -> None:
        if not self._engine.ready:  # a worker that is serves every model
            raise NotReady(
                "no worker is ready, or this instance is about to end; try again shortly"
            )


def _placed(error: Invalid) -> Invalid:
    """What ``/v1/classify`` has against a field, by its place in the protocol's JSON."""
    places = {"inputs": ("inputs", 0, "data"), "schedule": ("parameters", "schedule")}
    problems = []
    for problem in error.errors or []:
        first, *rest = problem["loc"]
        problems.append(((*places.get(first, (first,)), *rest), problem["message"]))
    return invalid(problems)


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json().encode()


def _answer(
    body: bytes,
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    return Response(body, media_type=media_type, headers=headers, **more)
