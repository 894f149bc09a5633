"""Writes that leave together, in order, and not after the end."""

from __future__ import annotations

import asyncio
from typing import cast

from service.api.corked import Corked


class Wire:
    """Stands for a loop's own transport: what left by it, and in which pieces."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


def corked(wire: Wire) -> Corked:
    return Corked(cast(asyncio.Transport, wire), asyncio.get_running_loop())


def test_pieces_leave_together_when_told() -> None:
    async def play() -> None:
        wire = Wire()
        transport = corked(wire)
        transport.write(b"head, ")
        transport.writelines([b"body", b"."])
        assert transport.get_write_buffer_size() == 11
        assert wire.sent == []
        transport.flush()
        assert wire.sent == [b"head, body."]
        transport.flush()
        await asyncio.sleep(0)
        assert wire.sent == [b"head, body."]
        assert transport.get_write_buffer_size() == 0

    asyncio.run(play())


def test_pieces_that_nobody_sends_leave_in_the_next_turn() -> None:
    async def play() -> None:
        wire = Wire()
        transport = corked(wire)
        transport.write(b"of a stream ")
        transport.write(b"that goes on")
        await asyncio.sleep(0)
        assert wire.sent == [b"of a stream that goes on"]

    asyncio.run(play())


def test_what_is_held_leaves_before_a_close_and_not_after_an_abort() -> None:
    async def play() -> None:
        wire = Wire()
        transport = corked(wire)
        transport.write(b"last words")
        transport.close()
        assert (wire.sent, wire.closed) == ([b"last words"], True)
        cut_off = Wire()
        transport = corked(cut_off)
        transport.write(b"never heard")
        transport.abort()
        transport.write(b"nor this: the client has gone")
        await asyncio.sleep(0)
        assert (cut_off.sent, transport.is_closing()) == ([], True)

    asyncio.run(play())
