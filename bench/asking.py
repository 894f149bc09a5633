"""A client that accounts for all it sends and costs little: HTTP/1.1 by hand on asyncio.

Every request carries an id of its own, which its answer must carry too: an answer that came twice,
or to another's request, is found out by the next one on that connection.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

HEAD_BYTES = 65_536  # most of an answer's headers
REFUSED_SECONDS = 0.05  # that a client waits who was refused, or it would ask in a tight loop


class BrokenError(Exception):
    """A request without a whole answer to it: the connection ended, or what came wasn't one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for the verdict on one text.

    Attributes:
        id: of the request.
        model: asked for it.
        text: asked about.
        timeout_ms: given to the service; None: its default.
        pause_seconds: half-way through it, as over a slow network.
    """

    id: str
    model: str
    text: str
    timeout_ms: int | None = None
    pause_seconds: float = 0.0

    def encode(self, host: str) -> bytes:
        """Headers and body, as they are sent."""
        body: dict[str, Any] = {"inputs": self.text, "model": self.model}
        if self.timeout_ms is not None:
            body["timeout_ms"] = self.timeout_ms
        content = json.dumps(body).encode()
        head = (
            f"POST /v1/classify HTTP/1.1\r\nHost: {host}\r\nX-Request-ID: {self.id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: by their names in small letters.
        body: parsed.
        seconds: from the first byte sent until the last one came.
    """

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    seconds: float

    @property
    def label(self) -> str | None:
        """The verdict on the text; None where there is none."""
        return self.body["results"][0]["label"] if self.status == 200 else None


class Connection:
    """One connection, one request at a time; it connects when first asked, and again once ended."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, ask: Ask, seconds: float) -> Reply:
        """The answer to one request.

        Raises:
            BrokenError: there was none within ``seconds``, or not a whole one, or another's.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(ask)
        except TimeoutError:
            self.drop()
            raise BrokenError(f"{ask.id}: no answer within {seconds:g} s") from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.drop()
            raise BrokenError(f"{ask.id}: {error!r}") from error

    def drop(self) -> None:
        """Ends the connection, whatever is on its way."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def finish(self, seconds: float = 10) -> bytes:
        """Says that nothing more is asked; returns what still came, of which there must be none."""
        if self._reader is None or self._writer is None:
            return b""
        try:
            self._writer.write_eof()
            async with asyncio.timeout(seconds):
                return await self._reader.read()
        except OSError:  # it was ended from there
            return b""
        finally:
            self.drop()

    async def _ask(self, ask: Ask) -> Reply:
        began = time.perf_counter()
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.drop()
            opened = await asyncio.open_connection(self.host, self.port, limit=HEAD_BYTES)
            self._reader, self._writer = opened
        sent = ask.encode(self.host)
        if ask.pause_seconds:
            self._writer.write(sent[: len(sent) // 2])
            await self._writer.drain()
            await asyncio.sleep(ask.pause_seconds)
            sent = sent[len(sent) // 2 :]
        self._writer.write(sent)
        status, headers = parse_head(await self._reader.readuntil(b"\r\n\r\n"))
        content = await self._reader.readexactly(int(headers["content-length"]))
        taken = time.perf_counter() - began
        if headers.get("x-request-id") != ask.id:
            raise ValueError(f"the answer is to {headers.get('x-request-id')}")
        if headers.get("connection", "").lower() == "close":
            self.drop()
        return Reply(status, headers, json.loads(content), taken)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    try:
        return int(line.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
    except IndexError:
        raise ValueError(f"not an answer of HTTP: {line!r}") from None


async def ask_all(
    address: tuple[str, int],
    asks: Iterable[Ask],
    clients: int,
    answered: Callable[[Ask, Reply | BrokenError], None],
    *,
    seconds: float = 60,
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Sends every request once, from so many clients that each wait for their answer.

    Args:
        address: host and port.
        asks: may be endless where ``over`` ends it.
        clients: connections, each kept alive.
        answered: told what came of each.
        seconds: what tells an answer from a hang.
        over: nothing more is sent once it says so.
    """
    waiting: Iterator[Ask] = iter(asks)

    async def client() -> None:
        connection = Connection(*address)
        try:
            for ask in waiting:
                try:
                    reply = await connection.ask(ask, seconds)
                except BrokenError as error:
                    answered(ask, error)
                else:
                    answered(ask, reply)
                    if reply.status != 200:
                        await asyncio.sleep(REFUSED_SECONDS)
                if over():
                    break
            if left := await connection.finish():
                raise ValueError(f"more came than was asked for: {left[:200]!r}")
        finally:
            connection.drop()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


def numbered(prefix: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Ask]:
    """A request for each (model, text), under ids that no other has."""
    for number, (model, text) in zip(itertools.count(), pairs, strict=False):
        yield Ask(f"{prefix}-{number}", model, text)
