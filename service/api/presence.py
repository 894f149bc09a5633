"""Whether a client still waits: work that nobody waits for is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.requests import Request

from service.api.errors import ClientGone
from service.api.loop import loop_of

CONNECTION = "lockstep.connection"  # in a scope: the ``Connection`` it came by


class Connection:
    """Whose end is told to the requests that came by it and aren't answered.

    Attributes:
        ended: whether it is no more.
        waiting: those requests.
        listen: goes on reading, which uvicorn stops while it holds much of a body: who doesn't read
            hears of no end.
    """

    def __init__(self) -> None:
        self.ended = False
        self.waiting: set[Present] = set()
        self.listen: Callable[[], None] = lambda: None

    def end(self) -> None:
        """It is no more."""
        self.ended = True
        for present in self.waiting:
            present.end()


class Present:
    """Goes on for as long as the client does; the request's body must have been read.

    ASGI tells that a client has gone when it is asked for more of a body, which takes a task a
    request: a tenth of what an API process did. So the connection tells; under a server that has
    none of ours, work is never dropped.

    Raises:
        ClientGone: it closed its connection. What was awaited inside is cancelled.
    """

    def __init__(self, request: Request) -> None:
        self._loop, self._gone = loop_of(request.scope), False
        self._connection = cast(Connection, request.scope.get(CONNECTION) or Connection())

    async def __aenter__(self) -> None:
        if self._connection.ended:
            raise ClientGone("the client went away before there was work for it")
        task = asyncio.current_task(self._loop)
        assert task is not None, "a request is answered in a task"
        self._task = task
        self._connection.waiting.add(self)
        self._connection.listen()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self._connection.waiting.discard(self)
        if not self._gone or not isinstance(error, asyncio.CancelledError):
            return
        if not self._task.uncancel():  # else somebody else cancelled it as well
            raise ClientGone("the client went away before its answer") from None

    def end(self) -> None:
        """The client has gone. What it waited for hears of it in the loop's next turn."""
        self._gone = True
        self._task.cancel()
