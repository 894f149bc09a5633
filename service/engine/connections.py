"""A worker's end of its sockets, served by the thread that computes, between two forwards.

An idle worker waits at its sockets themselves, and whoever has the logits writes them: no thread
has to be woken on the way. Nothing here blocks: what an API process that is slow or stopped
doesn't take is kept for it.
"""

from __future__ import annotations

import contextlib
import logging
import select
import selectors
import socket
from pathlib import Path

import msgspec

from service.engine.inbox import Inbox
from service.engine.wire import (
    FrameBuffer,
    FrameError,
    FromWorker,
    Hello,
    WorkerState,
    decode_from_api,
    frame,
)
from service.observe.timing import now

logger = logging.getLogger("lockstep.worker")

RECEIVE_BYTES = 1 << 20  # more than a socket holds: all that came, at once
PATIENCE_MS = 2  # for the next part of a frame: its sender has only to wake
RETRY_SECONDS = 0.5
TELL_SECONDS = 0.05  # between states of a busy worker that leave by themselves


class Connection:
    """One API process, as the worker sees it.

    Args:
        sock: connected; it won't block from now on.
        inbox: where its work goes.
    """

    def __init__(self, sock: socket.socket, inbox: Inbox) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._inbox = inbox
        self._frames = FrameBuffer()
        self._outbox: list[FromWorker] = []
        self._state: WorkerState | None = None
        self._unsent = bytearray()

    @property
    def behind(self) -> bool:
        """Whether its socket didn't take all there was."""
        return bool(self._unsent)

    def send(self, message: FromWorker) -> None:
        """Leaves a message for the next ``flush``."""
        self._outbox.append(message)

    def tell(self, state: WorkerState) -> None:
        """Leaves a state, in place of an older one that is still there."""
        self._state = state

    def flush(self) -> None:
        """Sends what was left, as one frame, as far as the socket takes it. Raises OSError."""
        if self._state is not None and not self.behind:
            self._outbox.append(self._state)
            self._state = None
        if self._outbox:
            self._unsent += frame(self._outbox)
            self._outbox = []
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                del self._unsent[: self.socket.send(self._unsent)]

    def receive(self) -> bool:
        """Takes in what came; tells whether the connection goes on. Raises OSError, FrameError.

        A frame that a socket can't hold comes in parts: all are taken in now, as long as they come.
        """
        while data := self.socket.recv(RECEIVE_BYTES):
            for body in self._frames.feed(data):
                self._inbox.put(self, decode_from_api(body), self.send)
            if not (self._frames.partial and self._readable(PATIENCE_MS)):
                return True
        return False

    def _readable(self, timeout_ms: int) -> bool:
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(timeout_ms))


class Listener:
    """Takes in API processes on a Unix socket, and what they send.

    Args:
        path: of the socket; a stale one is replaced.
        inbox: where their work goes.
        hello: what each is told first; how many died before this worker, only the first of them.
    """

    def __init__(self, path: Path, inbox: Inbox, hello: Hello) -> None:
        self._connections: list[Connection] = []
        self._inbox, self._hello = inbox, hello
        self._state: WorkerState | None = None
        self._retry_at: float | None = None
        self._told_at = 0.0
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self._socket.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    @property
    def connections(self) -> int:
        """API processes connected now."""
        return len(self._connections)

    def tell_all(self, state: WorkerState) -> None:
        """Sends to every API process, and to each that connects later: this is how it is now.

        Where windows waited before as they do now, and another state left by itself a moment ago,
        it leaves with what is sent next: a batch's answers. By itself it would wake each API
        process in the middle of a forward.
        """
        goes_on = self._state is not None and bool(self._state.waiting and state.waiting)
        self._state = state
        for connection in self._connections:
            connection.tell(state)
        if not goes_on or now() - self._told_at >= TELL_SECONDS:
            self._told_at = now()
            self.flush()

    def close(self) -> None:
        """Ends every connection, and takes in nobody any more."""
        for connection in list(self._connections):
            self._end(connection)
        self._selector.close()
        self._socket.close()

    def flush(self) -> None:
        """Sends what was left for each API process."""
        for connection in list(self._connections):
            self._flush(connection)

    def serve(self, timeout: float) -> None:
        """Sends what was left, and takes in what comes: at once, or within ``timeout`` seconds."""
        self.flush()
        if self._retry_at is not None and now() >= self._retry_at:
            self._selector.register(self._socket, selectors.EVENT_READ)
            self._retry_at = None
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._socket:
                self._accept()
            elif events & selectors.EVENT_READ:
                self._receive(key.data)
            else:
                self._flush(key.data)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except BlockingIOError:  # it went away again
            return
        except OSError as error:  # too many open files: that may pass
            logger.error("can't take a connection: %s", error)
            self._selector.unregister(self._socket)
            self._retry_at = now() + RETRY_SECONDS
            return
        connection = Connection(sock, self._inbox)
        self._connections.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        connection.send(self._hello)
        if self._state is not None:
            connection.tell(self._state)
        self._hello = msgspec.structs.replace(self._hello, replaces=0)
        self._flush(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            if not connection.receive():
                self._end(connection)
        except (OSError, FrameError) as error:
            logger.warning("connection ended: %s", error)
            self._end(connection)

    def _flush(self, connection: Connection) -> None:
        was_behind = connection.behind
        try:
            connection.flush()
        except OSError:  # it is gone
            self._end(connection)
            return
        if connection.behind != was_behind:
            events = selectors.EVENT_READ | (connection.behind and selectors.EVENT_WRITE)
            self._selector.modify(connection.socket, events, connection)

    def _end(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._connections.remove(connection)
        self._inbox.forget(connection)
