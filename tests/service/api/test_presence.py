"""A client that goes away: its work is cancelled, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.requests import Request

from service.api.errors import ClientGone
from service.api.presence import CONNECTION, Connection, Present

HANG_SECONDS = 20


def request(connection: Connection) -> Request:
    """One whose body was read, that came by this connection."""
    return Request({"type": "http", "method": "POST", "headers": [], CONNECTION: connection})


async def wait(connection: Connection) -> None:
    """For as long as the client does."""
    async with Present(request(connection)):
        await asyncio.Event().wait()


def run(test: Callable[[Connection], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        task = asyncio.create_task(test(Connection()))
        done, _ = await asyncio.wait(
            [task], timeout=HANG_SECONDS
        )  # to cancel it would be an answer
        assert done, "it hangs"
        await task

    asyncio.run(bounded())


def test_work_is_cancelled_when_the_client_goes() -> None:
    async def test(connection: Connection) -> None:
        asyncio.get_running_loop().call_later(0.01, connection.end)
        with pytest.raises(ClientGone):
            await wait(connection)
        await asyncio.sleep(0)  # the task itself goes on: it has to tell of it

    run(test)


def test_work_of_a_client_that_waits_is_done() -> None:
    async def test(connection: Connection) -> None:
        async with Present(request(connection)):
            await asyncio.sleep(0.01)
        connection.end()  # after its answer, as every client does
        await asyncio.sleep(0.01)

    run(test)


def test_work_that_nobody_waits_for_is_not_begun() -> None:
    async def test(connection: Connection) -> None:
        connection.end()
        with pytest.raises(ClientGone):
            async with Present(request(connection)):
                raise AssertionError("it was begun")

    run(test)


def test_every_request_of_a_connection_hears_of_its_end() -> None:
    async def test(connection: Connection) -> None:
        tasks = [asyncio.create_task(wait(connection)) for _ in range(3)]
        await asyncio.sleep(0)
        connection.end()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [ClientGone] * 3
        assert not connection.waiting

    run(test)


def test_under_another_server_work_is_done() -> None:
    async def test(connection: Connection) -> None:
        async with Present(Request({"type": "http", "method": "POST", "headers": []})):
            await asyncio.sleep(0)

    run(test)


def test_errors_pass_through() -> None:
    async def test(connection: Connection) -> None:
        with pytest.raises(ZeroDivisionError):
            async with Present(request(connection)):
                raise ZeroDivisionError

    run(test)


def test_cancelling_for_another_reason_is_left_alone() -> None:
    async def test(connection: Connection) -> None:
        task = asyncio.create_task(wait(connection))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)
