"""Whether requests are traced, and the tracing while it runs.

Off unless the standard variables ask for it (OpenTelemetry's specification, "Environment Variable
Specification"): then each request becomes a span with a span a stage below it, made by spans.py,
the only module that needs OpenTelemetry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from service.observe.exchange import Exchange

if TYPE_CHECKING:
    from service.observe.spans import Spans

FLUSH_SECONDS = 5.0  # what a drain waits for the collector
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HOW_TO_INSTALL = "pip install --constraint requirements.lock --editable '.[tracing]'"


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for spans: an endpoint is named, or the exporter is.

    Raises:
        ValueError: they ask for what can't be done here.
    """
    exporter = _value(environ, "OTEL_TRACES_EXPORTER")
    endpoint = next((name for name in ENDPOINTS if _value(environ, name)), None)
    if _value(environ, "OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return False
    if not endpoint and not exporter:
        return False
    if exporter not in ("", "otlp"):
        raise ValueError(f"OTEL_TRACES_EXPORTER={exporter}: spans leave by otlp alone, or by none")
    for name in PROTOCOLS:
        if _value(environ, name) not in ("", "http/protobuf"):
            raise ValueError(f"{name}={environ[name]}: spans leave by http/protobuf alone")
    if endpoint and not _is_http(environ[endpoint].strip()):
        raise ValueError(f"{endpoint}={environ[endpoint]}: must be http://… or https://…")
    return True


def check(environ: Mapping[str, str]) -> None:
    """Refuses a start that asks for spans and can't have them.

    Raises:
        ValueError: with what to do.
    """
    if not wanted(environ):
        return
    try:
        import service.observe.spans  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the OTEL_… variables ask for traces, and {error.name} isn't installed: "
            f"{HOW_TO_INSTALL}, or set OTEL_SDK_DISABLED=true"
        ) from None


class Tracing:
    """Tells of requests as spans, from entered until left; does nothing where nobody asked.

    Entered in the process that answers: the thread that sends wouldn't survive a fork.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._wanted = wanted(environ)
        self._spans: Spans | None = None

    def __call__(self, exchange: Exchange) -> None:
        """A request is over. Takes the time of making the spans; they are sent by a thread."""
        if self._spans is not None:
            self._spans.record(exchange)

    async def __aenter__(self) -> Self:
        if self._wanted:
            from service.observe.spans import Spans

            self._spans = Spans()
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close, FLUSH_SECONDS)


def _value(environ: Mapping[str, str], name: str) -> str:
    """An empty variable is as good as none (the specification, "Parsing empty value")."""
    return environ.get(name, "").strip()


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
