"""The other end of a worker's socket."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from service.engine.wire import FrameBuffer, FromAPI, FromWorker, decode_from_worker, frame
from tests.launch import eventually

WAIT_SECONDS = 30  # tells an answer from a hang


class API:
    """An API process that blocks, as a test may."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_SECONDS)
        # The path is there a moment before anybody listens.
        eventually(lambda: self.socket.connect_ex(str(path)) == 0, WAIT_SECONDS)
        self._frames = FrameBuffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, *messages: FromAPI) -> None:
        self.socket.sendall(frame(messages))

    def receive(self) -> list[FromWorker]:
        """The messages of the next frame, and of those that came with it."""
        while not (messages := self.read()):
            pass
        return messages

    def read(self) -> list[FromWorker]:
        """What came, if that made a frame whole."""
        received = self.socket.recv(1 << 20)
        assert received, "the worker ended the connection"
        bodies = self._frames.feed(received)
        return [message for body in bodies for message in decode_from_worker(body)]
