"""What a connection may do before there is a request: bounds on its headers and its patience, and
on how many there are.

uvicorn's own protocol neither bounds the headers nor the time they take, and answers what isn't
HTTP, or one too many, in plain text. Here each such end is a request that the application refuses,
so that it has an id, is counted and logged, and is told in the one form that errors have.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.corked import Corked
from service.api.errors import (
    HeadersTimeout,
    HeadersTooLarge,
    NotHTTP,
    ServiceError,
    TooManyConnections,
)
from service.api.exchange import REFUSAL, WHOLE
from service.api.loop import LOOP
from service.api.presence import CONNECTION, Connection
from service.settings import Settings

# A connection past the bound is told so if it asks for something soon, and so many may be told at
# once; more than those are closed without a word.
MOST_TOLD = 64
TELL_SECONDS = 1.0

OTHER_FILES = (
    192  # that a process has open beside its connections: libraries, logs, workers, metrics
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        settings: the bounds.
        arguments: uvicorn's own.
    """

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._max_bytes = settings.max_header_bytes
        self._most_connections = settings.max_connections
        self._one_too_many = False
        self._header_seconds = settings.header_timeout_ms / 1e3
        self._body_seconds = settings.body_timeout_ms / 1e3
        self._in_headers = self._in_body = self._refused = False
        self._began = False  # a message, in what came last
        self._steps = 0  # messages begun and pieces of bodies, ever
        self._bytes = 0  # that came since the last of them
        self._timer: asyncio.TimerHandle | None = None
        self._connection = Connection()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._corked = Corked(transport, self.loop)
        super().connection_made(self._corked)
        self._connection.listen = self.flow.resume_reading
        beyond = len(self.connections) - self._most_connections
        if beyond > MOST_TOLD:
            transport.abort()
            return
        self._one_too_many = beyond > 0
        self._arm(TELL_SECONDS if self._one_too_many else self._header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        self._connection.end()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refused:
            return
        steps = self._steps
        self._began = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing here speaks anything else; the request is answered as it is
        except httptools.HttpParserError as error:
            self._refuse(NotHTTP(f"it can't be parsed, or not in one way alone ({error})"))
        if self._in_headers or self._in_body:
            # The parser keeps a header, or a trailer, until it is whole.
            self._bytes = self._bytes + len(data) if steps == self._steps else 0
            if self._bytes > self._max_bytes:
                self._refuse_headers()
            elif self._in_headers and self._began and not self._one_too_many:
                self._arm(self._header_seconds)  # of one too many the time runs already
        elif not self._answering() and self._timer is None:  # empty lines
            self._arm(self._header_seconds)

    def _should_upgrade(self) -> bool:
        return False

    # The parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._steps += 1
        self._in_headers = self._began = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # else it is a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._disarm()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._max_bytes:
            self._refuse_headers()
        if self._one_too_many:
            self._refuse_connection()
        if not self._refused:
            found = {LOOP: self.loop, CONNECTION: self._connection}
            cast(dict[str, Any], self.scope).update(found)
            super().on_headers_complete()
            self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._steps += 1
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._in_body and not self._refused:
            cast(dict[str, Any], self.cycle.scope)[WHOLE] = True
            super().on_message_complete()
        self._in_body = False
        self._disarm()

    def on_response_complete(self) -> None:
        self._corked.flush()
        super().on_response_complete()
        if self._in_body:  # the rest of it, which nobody reads
            self._arm(self._body_seconds)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._in_headers and self._one_too_many:
            self._refuse_connection()
        elif self._in_headers:
            seconds = f"{self._header_seconds:g} s"
            self._refuse(HeadersTimeout(f"the headers took longer than {seconds}"))
        elif not self._answering():
            self.transport.close()

    def _answering(self) -> bool:
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None before the first
        return cycle is not None and not cycle.response_complete

    def _refuse_headers(self) -> None:
        limit = f"the limit is {self._max_bytes} bytes"
        self._refuse(HeadersTooLarge(f"the target and headers are too large; {limit}"))

    def _refuse_connection(self) -> None:
        limit = f"{self._most_connections} connections are open, the most allowed"
        self._refuse(TooManyConnections(f"{limit}; try again later"))

    def _refuse(self, problem: ServiceError) -> None:
        """Answers what was never a whole request, after which the connection ends."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._disarm()
        if self._answering():
            self.cycle.keep_alive = False
            if self._in_body:
                cast(dict[str, Any], self.cycle.scope)[REFUSAL] = problem
                self.cycle.message_event.set()
            return  # else an earlier request waits: this would pass for its answer
        if self._in_body:  # answered already
            self.transport.close()
            return
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.root_path,
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "headers": [],
            "state": {},
            REFUSAL: problem,
        }
        self.cycle = RequestResponseCycle(
            scope=cast(Any, scope),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)


def allow_open_files(connections: int) -> None:
    """Lets this process, and those it starts, have as many open files as its connections need.

    Raises:
        ValueError: the system allows fewer.
    """
    needed = connections + MOST_TOLD + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"--max-connections {connections} needs {needed} open files, and this process may have "
            f"{hard} (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
