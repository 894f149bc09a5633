"""The accounting client against servers that misbehave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from bench.asking import Ask, BrokenError, Reply, ask_all, parse_head

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ASKS = [Ask(f"id-{number}", "lstm", "fine", timeout_ms=1000) for number in range(6)]


def answer(request_id: str, more: str = "") -> bytes:
    body = '{"results": [{"label": "positive"}]}'
    head = f"HTTP/1.1 200 OK\r\nX-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}\r\n{body}".encode()


async def read(reader: asyncio.StreamReader) -> str:
    """The id of the next request; empty at the end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""
    (length,) = re.findall(r"Content-Length: (\d+)", head)
    assert b'"timeout_ms": 1000' in await reader.readexactly(int(length))
    (request_id,) = re.findall(r"X-Request-ID: (\S+)", head)
    return str(request_id)


def outcomes(peer: Peer, asks: Sequence[Ask] = ASKS, clients: int = 1) -> list[str]:
    """What came of each request to such a server: a label, or what broke."""
    came: dict[str, str] = {}

    def settle(ask: Ask, one: Reply | BrokenError) -> None:
        assert ask.id not in came
        came[ask.id] = str(one) if isinstance(one, BrokenError) else str(one.label)

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await peer(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            await ask_all(address, asks, clients, settle, seconds=0.5)

    asyncio.run(run())
    return [came[ask.id] for ask in asks]


async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while request_id := await read(reader):
        writer.write(answer(request_id))


@pytest.mark.parametrize("clients", [1, 3, 9])
def test_every_request_is_sent_once(clients: int) -> None:
    assert outcomes(honest, clients=clients) == ["positive"] * len(ASKS)


def test_request_with_a_pause_is_whole() -> None:
    paused = [replace(ask, pause_seconds=0.01) for ask in ASKS]
    assert outcomes(honest, paused) == ["positive"] * len(ASKS)


def test_closed_connection_is_opened_again() -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read(reader), "Connection: close\r\n"))

    assert outcomes(closing) == ["positive"] * len(ASKS)


def test_answer_that_comes_twice_is_found_out() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request_id := await read(reader):
            writer.write(answer(request_id) * 2)

    came = outcomes(twice)
    assert came[0] == "positive"
    assert "the answer is to id-0" in came[1]


def test_last_answer_that_comes_twice_is_found_out() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read(reader)) * 2)

    with pytest.raises(ExceptionGroup) as raised:
        outcomes(twice, ASKS[:1])
    assert "more came than was asked for" in str(raised.value.exceptions[0])


def test_half_an_answer_is_none() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read(reader))[:-5])

    assert all("IncompleteReadError" in one for one in outcomes(half))


def test_silence_is_bounded() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read(reader)
        await asyncio.sleep(0.8)

    assert outcomes(silent, ASKS[:1]) == ["id-0: no answer within 0.5 s"]


def test_head_is_parsed() -> None:
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n\r\n"
    assert parse_head(head) == (429, {"retry-after": "3"})
    with pytest.raises(ValueError, match="not an answer"):
        parse_head(b"\r\n")
