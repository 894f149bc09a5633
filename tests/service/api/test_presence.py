"""A client that goes away: its work is cancelled, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.requests import Request

from service.api.errors import ClientGone
from service.api.presence import WATCH_SECONDS, Present

HANG_SECONDS = 20


def request(disconnected: asyncio.Event) -> Request:
    """One whose body was read; its client goes away with the event."""
    late = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(late, None)) is None:
            await disconnected.wait()
        return message or {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def run(test: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        task = asyncio.create_task(test(asyncio.Event()))
        done, _ = await asyncio.wait(
            [task], timeout=HANG_SECONDS
        )  # to cancel it would be an answer
        assert done, "it hangs"
        await task

    asyncio.run(bounded())


def test_work_is_cancelled_when_the_client_goes() -> None:
    async def test(disconnected: asyncio.Event) -> None:
        asyncio.get_running_loop().call_later(0.01, disconnected.set)
        with pytest.raises(ClientGone):
            async with Present(request(disconnected)):
                await asyncio.Event().wait()
        await asyncio.sleep(0)  # the task itself goes on: it has to tell of it

    run(test)


def test_work_of_a_client_that_waits_is_done() -> None:
    async def test(disconnected: asyncio.Event) -> None:
        async with Present(request(disconnected)):
            await asyncio.sleep(0.01)
        disconnected.set()  # after its answer, as every client does
        await asyncio.sleep(0.01)

    run(test)


def test_client_of_what_is_soon_over_is_not_looked_for() -> None:
    looked: list[float] = []

    async def receive() -> dict[str, Any]:
        looked.append(asyncio.get_running_loop().time())
        return {"type": "http.disconnect"}

    async def test(disconnected: asyncio.Event) -> None:
        async with Present(Request({"type": "http", "method": "POST", "headers": []}, receive)):
            await asyncio.sleep(0)
        await asyncio.sleep(3 * WATCH_SECONDS)

    run(test)
    assert looked == []


def test_errors_pass_through() -> None:
    async def test(disconnected: asyncio.Event) -> None:
        with pytest.raises(ZeroDivisionError):
            async with Present(request(disconnected)):
                raise ZeroDivisionError

    run(test)


def test_cancelling_for_another_reason_is_left_alone() -> None:
    async def test(disconnected: asyncio.Event) -> None:
        async def work() -> None:
            async with Present(request(disconnected)):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)
