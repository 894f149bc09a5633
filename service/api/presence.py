"""Whether a client still waits: work that nobody waits for is dropped."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from service.api.errors import ClientGone
from service.api.loop import loop_of

WATCH_SECONDS = 0.01  # of work before anybody looks: most of it is over by then


class Present:
    """Goes on for as long as the client does; the request's body must have been read.

    Raises:
        ClientGone: it closed its connection. What was awaited inside is cancelled.
    """

    def __init__(self, request: Request) -> None:
        self._request, self._gone = request, False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        loop = loop_of(self._request.scope)
        task = asyncio.current_task(loop)
        assert task is not None, "a request is answered in a task"
        self._task = task
        self._timer = loop.call_later(WATCH_SECONDS, self._begin)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self._gone or not isinstance(error, asyncio.CancelledError):
            return
        if not self._task.uncancel():  # else somebody else cancelled it as well
            raise ClientGone("the client went away before its answer") from None

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
