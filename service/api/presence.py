"""Whether a client still waits: work that nobody waits for is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from service.api.errors import ClientGone

WATCH_SECONDS = 0.01  # of work before anybody looks: most of it is over by then


@asynccontextmanager
async def present(request: Request) -> AsyncIterator[None]:
    """Goes on for as long as the client does; the request's body must have been read.

    Raises:
        ClientGone: it closed its connection. What was awaited inside is cancelled.
    """
    task = asyncio.current_task()
    assert task is not None, "a request is answered in a task"
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher: asyncio.Task[None] | None = None

    def begin() -> None:
        nonlocal watcher
        watcher = asyncio.create_task(watch())

    timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, begin)
    try:
        yield
    except asyncio.CancelledError:
        if gone and not task.uncancel():  # else somebody else cancelled it as well
            raise ClientGone("the client went away before its answer") from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()
