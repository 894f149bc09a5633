"""Clients that each wait for their answer, in a process of their own.

    python -m bench.load < a load as JSON > its outcome as JSON

Raw HTTP/1.1 over kept connections on asyncio, and nothing imported that costs: the clients share
the machine with what they measure. Every client sends for the time given and then waits for its
last answer: all the work that was asked for lies between the first request and the last answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools

RETRY_SECONDS = 0.05  # after a failure, so that a server that is down isn't asked in a tight loop
EXAMPLE_BYTES = 300  # of the first answer that wasn't one


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What to send.

    Attributes:
        host, port, path: where to.
        requests: (kind, body) to draw from, every kind in equal shares.
        clients: each with a connection.
        seconds: how long new requests are sent.
        patience_seconds: how long after that answers are waited for.
        seed: of what is drawn; client n sends the same stream to every server.
    """

    host: str
    port: int
    path: str
    requests: Sequence[tuple[str, str]]
    clients: int
    seconds: float
    patience_seconds: float
    seed: str


@dataclass(slots=True)
class Outcome:
    """What came of a load.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: seconds of each answer by kind, but for the first of each client: those were sent
            at one moment.
        firsts: those, by kind.
        errors: by status, or by what happened to the connection.
        example: of them: how the first one read.
        cpu_seconds: what the clients themselves took.
    """

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    firsts: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    example: str = ""
    cpu_seconds: float = 0.0


class Run:
    """One load under way."""

    def __init__(self, load: Load) -> None:
        self.load, self.outcome = load, Outcome()
        self.began = self.ended = time.perf_counter()
        self.by_kind: dict[str, list[bytes]] = {}
        for kind, body in load.requests:
            self.by_kind.setdefault(kind, []).append(_encode(load, body))

    def over(self) -> bool:
        """No further request is sent."""
        return time.perf_counter() >= self.began + self.load.seconds

    def draw(self, client: int) -> Iterator[tuple[str, bytes]]:
        """What a client sends: blocks of one request of each kind, in an order of chance."""
        generator = random.Random(f"{self.load.seed}/{client}")
        while True:
            for kind in generator.sample(list(self.by_kind), len(self.by_kind)):
                yield kind, generator.choice(self.by_kind[kind])

    def error(self, what: str, example: str = "") -> None:
        """Counts a request that wasn't answered."""
        self.outcome.errors[what] = self.outcome.errors.get(what, 0) + 1
        self.outcome.example = self.outcome.example or example

    async def measure(self) -> Outcome:
        """Connects every client, then lets all begin at once."""
        clients = [Client(self, self.draw(number)) for number in range(self.load.clients)]
        await asyncio.gather(*(client.connect() for client in clients))
        cpu = time.process_time()
        self.began = self.ended = time.perf_counter()
        tasks = [asyncio.create_task(client.ask_on()) for client in clients]
        patience = self.load.seconds + self.load.patience_seconds
        done, waiting = await asyncio.wait(tasks, timeout=patience)
        for task in waiting:
            self.error("no answer in time")
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()  # a fault of ours is raised
        self.outcome.cpu_seconds = time.process_time() - cpu
        self.outcome.seconds = self.ended - self.began
        return self.outcome


class Client(asyncio.Protocol):
    """One client: asks again as soon as it has its answer, with no task switched between."""

    def __init__(self, run: Run, draw: Iterator[tuple[str, bytes]]) -> None:
        self._run, self._draw = run, draw
        self._transport: asyncio.Transport | None = None
        self._asking = self._asked_before = False
        self._kind, self._sent, self._body = "", 0.0, b""
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        """Opens a connection; one that can't be opened is an error."""
        self._done = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        load = self._run.load
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, load.host, load.port)
        except OSError as error:
            self._run.error("no connection", str(error))

    async def ask_on(self) -> None:
        """Until the load is over and the last answer is there."""
        try:
            while True:
                if self._transport is not None:
                    self._ask()
                    await self._done
                if self._run.over():
                    return
                await asyncio.sleep(RETRY_SECONDS)
                await self.connect()
        finally:
            self._asking = False  # whoever gave up on the answer has counted it
            self._close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is another class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asking:
            self._asking = False
            self._run.error("connection ended", str(exc or "by the server"))
        self._finish()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._asking = False
            self._run.error("not HTTP", str(error))
            self._close()

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._asking = False
        self._run.ended = now
        status = self._parser.get_status_code()
        if status != 200:
            self._run.error(str(status), self._body[:EXAMPLE_BYTES].decode(errors="replace"))
            self._close()
            return
        outcome = self._run.outcome
        kept = outcome.latencies if self._asked_before else outcome.firsts
        kept.setdefault(self._kind, []).append(now - self._sent)
        self._asked_before = True
        if self._run.over():
            self._finish()
        elif self._parser.should_keep_alive():
            self._ask()
        else:
            self._close()

    def _ask(self) -> None:
        assert self._transport is not None
        self._asking = True
        self._kind, request = next(self._draw)
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _encode(load: Load, body: str) -> bytes:
    content = body.encode()
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: {load.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def measure(load: Load) -> Outcome:
    """Runs a load in this process."""
    return await Run(load).measure()


def main() -> None:
    """One load from standard input, its outcome to standard output."""
    load = Load(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        outcome = asyncio.run(measure(load))
    else:
        outcome = uvloop.run(measure(load))
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
