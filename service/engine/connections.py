"""A worker's end of its sockets: a thread that accepts, and two threads a connection.

The reader decodes frames into the inbox. The writer sends what the loop left for it, everything
that gathered in one frame, so that a slow or stopped API process never blocks a forward.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from pathlib import Path

import msgspec

from service.engine.inbox import Inbox
from service.engine.wire import (
    HEADER,
    FrameError,
    FromWorker,
    Hello,
    decode_from_api,
    frame,
    frame_length,
)

logger = logging.getLogger("lockstep.worker")


class Connection:
    """One API process, as the worker sees it."""

    def __init__(self, sock: socket.socket, inbox: Inbox, hello: Hello) -> None:
        self._socket = sock
        self._inbox = inbox
        self._outbox: queue.SimpleQueue[FromWorker | None] = queue.SimpleQueue()
        self.send(hello)
        for target in (self._read, self._write):
            threading.Thread(
                target=target, name=f"connection{target.__name__}", daemon=True
            ).start()

    def send(self, message: FromWorker) -> None:
        """Leaves a message for the writer; never blocks."""
        self._outbox.put(message)

    @property
    def open(self) -> bool:
        return self._socket.fileno() != -1

    def _read(self) -> None:
        try:
            with self._socket.makefile("rb") as stream:
                while header := stream.read(HEADER.size):
                    body = stream.read(frame_length(header))
                    self._inbox.put(self, decode_from_api(body), self.send)
        except (OSError, FrameError, ValueError) as error:
            logger.warning("connection ended: %s", error)
        finally:
            self._inbox.forget(self)
            self._outbox.put(None)

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._socket:
            while True:
                messages = [self._outbox.get()]
                while not self._outbox.empty():
                    messages.append(self._outbox.get())
                self._socket.sendall(frame([m for m in messages if m is not None]))
                if None in messages:
                    return


class Listener:
    """Accepts API processes on a Unix socket.

    Args:
        path: of the socket; a stale one is replaced.
        inbox: where their work goes.
        hello: what each is told first; that this worker replaces another, only the first of them.
    """

    def __init__(self, path: Path, inbox: Inbox, hello: Hello) -> None:
        self._connections: list[Connection] = []
        self._inbox, self._hello = inbox, hello
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    @property
    def connections(self) -> int:
        """API processes connected now."""
        self._connections = [c for c in self._connections if c.open]
        return len(self._connections)

    def tell_one(self, message: FromWorker) -> bool:
        """Sends to one API process, whichever; tells whether there was one."""
        connection = next((c for c in self._connections if c.open), None)
        if connection is not None:
            connection.send(message)
        return connection is not None

    def _accept(self) -> None:
        while True:
            sock, _ = self._socket.accept()
            self._connections.append(Connection(sock, self._inbox, self._hello))
            self._hello = msgspec.structs.replace(self._hello, replaces=False)
