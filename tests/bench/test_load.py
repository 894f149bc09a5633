"""The clients: every request is accounted for, and the last answer is waited for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench.load import Load, Outcome, Run, measure
from bench.processes import free_port
from tests.launch import ROOT

REQUESTS = [(kind, f'{{"inputs": "{kind} {n}"}}') for kind in ("short", "long") for n in range(8)]
HEAD = "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{more}\r\n"

Answer = Callable[[int, bytes], Awaitable[bytes | None]]


def load(port: int, **values: Any) -> Load:
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "path": "/predict",
        "requests": REQUESTS,
        "clients": 3,
        "seconds": 0.2,
        "patience_seconds": 20.0,
        "seed": "1",
    }
    return Load(port=port, **usual | values)


def reply(status: int = 200, body: str = "{}", more: str = "") -> bytes:
    return HEAD.format(status=status, length=len(body), more=more).encode() + body.encode()


class Served:
    """What a server saw."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.connections = 0


def ask(answer: Answer, **values: Any) -> tuple[Outcome, Served]:
    """The outcome of a load on a server that answers the nth request with ``answer(n, body)``."""
    served = Served()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                served.bodies.append(await reader.readexactly(length))
                found = await answer(len(served.bodies), served.bodies[-1])
                if found is None:
                    break
                writer.write(found)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> Outcome:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            return await measure(load(server.sockets[0].getsockname()[1], **values))

    return asyncio.run(run()), served


def answered(outcome: Outcome) -> int:
    kept = (outcome.latencies, outcome.firsts)
    return sum(len(some) for kinds in kept for some in kinds.values())


async def always(number: int, body: bytes) -> bytes:
    return reply()


def test_every_request_is_counted_once_over_kept_connections() -> None:
    outcome, served = ask(always)
    assert served.connections == 3
    assert answered(outcome) == len(served.bodies) > 3
    assert sum(map(len, outcome.firsts.values())) == 3
    assert not outcome.errors
    assert outcome.cpu_seconds > 0


def test_kinds_are_sent_in_equal_shares() -> None:
    _, served = ask(always)
    long = sum(b"long" in body for body in served.bodies)
    assert abs(2 * long - len(served.bodies)) <= 3  # each client may be between the two of a block
    draw = Run(load(1)).draw(0)
    kinds = [next(draw)[0] for _ in range(40)]
    assert all({*pair} == {"short", "long"} for pair in zip(kinds[::2], kinds[1::2], strict=True))
    assert len({*kinds[::2]}) == 2  # in an order of chance


def test_a_client_sends_the_same_stream_again_and_no_other_does() -> None:
    run, again = Run(load(1)), Run(load(1))
    first, second, other = (
        [next(draw) for draw in [source] * 10]
        for source in (run.draw(0), again.draw(0), run.draw(1))
    )
    assert first == second != other


def test_last_answer_is_waited_for() -> None:
    async def slow(number: int, body: bytes) -> bytes:
        await asyncio.sleep(0.4)
        return reply()

    outcome, _ = ask(slow, seconds=0.1)
    assert answered(outcome) == 3
    assert outcome.seconds >= 0.4
    assert min(one for some in outcome.firsts.values() for one in some) >= 0.4


def test_answers_that_are_none_are_counted_and_shown() -> None:
    async def failing(number: int, body: bytes) -> bytes:
        return reply(503, "full") if number % 3 == 0 else reply()

    outcome, served = ask(failing)
    assert outcome.errors["503"] == len(served.bodies) // 3
    assert outcome.example == "full"
    assert answered(outcome) == len(served.bodies) - outcome.errors["503"]


def test_connection_that_ends_is_an_error_and_is_opened_again() -> None:
    async def breaking(number: int, body: bytes) -> bytes | None:
        return None if number == 2 else reply()

    outcome, served = ask(breaking, clients=1)
    assert outcome.errors == {"connection ended": 1}
    assert served.connections == 2
    assert answered(outcome) == len(served.bodies) - 1


def test_connection_closed_after_its_answer_is_no_error() -> None:
    async def closing(number: int, body: bytes) -> bytes:
        return reply(more="Connection: close\r\n")

    outcome, served = ask(closing, clients=1)
    assert not outcome.errors
    assert answered(outcome) == len(served.bodies) == served.connections > 1


def test_silence_is_told_from_an_answer() -> None:
    async def silent(number: int, body: bytes) -> bytes:
        await asyncio.sleep(30)
        return reply()

    outcome, _ = ask(silent, seconds=0.1, patience_seconds=0.1)
    assert outcome.errors == {"no answer in time": 3}
    assert answered(outcome) == 0


def test_server_that_is_not_there_is_told() -> None:
    outcome = asyncio.run(measure(load(free_port(), seconds=0.1)))
    assert outcome.errors["no connection"] >= 3
    assert answered(outcome) == 0


@pytest.mark.parametrize("module", ["torch", "pydantic", "httpx"])
def test_clients_load_nothing_that_costs(module: str) -> None:
    code = f"import sys, bench.load; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
