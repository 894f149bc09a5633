"""What crosses the socket between an API process and a worker, and how it is framed.

A frame is four bytes of length, big endian, and a MessagePack list of messages. An API process
sends ``Work`` and ``Cancel``; a worker sends ``Hello`` once, then ``Answer`` and ``Failure`` to
whoever asked, ``WorkerState`` to every API process, and ``BatchFacts``, which must count once, to
one of them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 256 * 1024 * 1024  # far above any legal request: a larger one is a bug or noise

# Whom a forward is for. Only a client's feeds the metrics of client traffic; a shadow's gives way.
Traffic = Literal["client", "compare", "shadow"]


class Work(msgspec.Struct, array_like=True, tag="work", frozen=True):
    """One request's windows.

    Attributes:
        id: unique on its connection.
        model: a served name.
        schedule: one of the model's, or None.
        windows: token ids, each packed by ``pack``.
        deadline: after which it must not be computed, in seconds of ``timing.now``.
        traffic: whom it is for.
    """

    id: int
    model: str
    schedule: str | None
    windows: list[bytes]
    deadline: float
    traffic: Traffic = "client"


class Cancel(msgspec.Struct, array_like=True, tag="cancel", frozen=True):
    """Nobody waits for this work any more."""

    id: int


class Ride(msgspec.Struct, array_like=True, frozen=True):
    """A batch that a request rode in.

    Attributes:
        forward_seconds: the batch's.
        rows: windows in it, other requests' included.
        length: of the longest of them, in tokens.
        computed_tokens: of all of them, padding included.
    """

    forward_seconds: float
    rows: int
    length: int
    computed_tokens: int


class Answer(msgspec.Struct, array_like=True, tag="answer", frozen=True):
    """The logits of one request's windows, and where the worker's time went.

    Attributes:
        id: of the ``Work``.
        logits: a row a window, in order.
        batch_seconds: making and moving tensors, summed over the rides.
        finished: when the last logits were on the host, in seconds of ``timing.now``.
        rides: the batches it rode in.
        sequential_depth: steps its longest window had to wait for.
        schedule: what its windows ran under.
    """

    id: int
    logits: list[list[float]]
    batch_seconds: float
    finished: float
    rides: list[Ride]
    sequential_depth: int
    schedule: str | None = None


class Failure(msgspec.Struct, array_like=True, tag="failure", frozen=True):
    """Why there is no answer; the detail is for the log.

    Attributes:
        id: of the ``Work``.
        reason: ``deadline``, ``internal``, or a shadow's ``gave_way``: a client wanted the worker.
    """

    id: int
    reason: str
    detail: str


class BatchFacts(msgspec.Struct, array_like=True, tag="batch", frozen=True):
    """One batch's own facts, told to exactly one API process.

    Attributes:
        model, schedule: what ran.
        rows: windows in it.
        tokens: real ones.
        padding_tokens: the others.
        batch_seconds: making and moving its tensors.
        forward_seconds: until its logits were on the host.
        flops: of its real tokens.
        sequential_steps: steps that had to wait for one another, padding included.
        traffic: whom it was for.
    """

    model: str
    schedule: str | None
    rows: int
    tokens: int
    padding_tokens: int
    batch_seconds: float
    forward_seconds: float
    flops: int
    sequential_steps: int
    traffic: Traffic = "client"


class WorkerState(msgspec.Struct, array_like=True, tag="state", frozen=True):
    """How a worker is doing; told to every API process as it changes, or a moment or batch later.

    Attributes:
        waiting: windows that wait for a batch, by model; clients' alone.
        memory_bytes: of its device that it holds; of the process, where that is the CPU.
    """

    waiting: dict[str, int]
    memory_bytes: int


class ServedModel(msgspec.Struct, array_like=True, frozen=True):
    """A model as the worker runs it.

    Attributes:
        name: by which it is asked for.
        dtype: of its forward.
        load_seconds: reading it and choosing how to run it.
        schedule: what a request that names none runs under; None where there is one order alone.
        undivided: whether its forwards get more done one by one, with every core.
    """

    name: str
    dtype: str
    load_seconds: float
    schedule: str | None = None
    undivided: bool = False


class Hello(msgspec.Struct, array_like=True, tag="hello", frozen=True):
    """A worker's first words on a connection.

    Attributes:
        pid: of its process.
        device: that it computes on.
        torch: its version.
        models: what it serves.
        replaces: so many died before it; told to one API process alone, which counts them.
    """

    pid: int
    device: str
    torch: str
    models: list[ServedModel]
    replaces: int = 0

    def fastest_schedule(self, model: str) -> str | None:
        """What this worker runs a model under unless told otherwise."""
        return next((served.schedule for served in self.models if served.name == model), None)

    def dtype(self, model: str) -> str:
        """The number format this worker runs a model in."""
        return next(served.dtype for served in self.models if served.name == model)


FromAPI = Work | Cancel
FromWorker = Hello | Answer | Failure | BatchFacts | WorkerState

_encoder = msgspec.msgpack.Encoder()
_from_api = msgspec.msgpack.Decoder(list[FromAPI])
_from_worker = msgspec.msgpack.Decoder(list[FromWorker])


class FrameError(ValueError):
    """The other side sent something that isn't a frame of ours."""


def frame(messages: Sequence[FromAPI | FromWorker]) -> bytes:
    """Messages as one frame."""
    body = _encoder.encode(messages)
    return HEADER.pack(len(body)) + body


def decode_from_api(body: bytes) -> list[FromAPI]:
    """What an API process said. Raises FrameError."""
    try:
        return _from_api.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error


def decode_from_worker(body: bytes) -> list[FromWorker]:
    """What a worker said. Raises FrameError."""
    try:
        return _from_worker.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error


def frame_length(header: bytes | bytearray) -> int:
    """Bytes that follow a header. Raises FrameError if no frame of ours is so long."""
    if len(header) < HEADER.size:
        raise FrameError("a header was cut off")
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes")
    return int(length)


class FrameBuffer:
    """Bytes as they arrive, to whole frames' bodies."""

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and isn't whole."""
        return bool(self._pending)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Adds bytes; gives the bodies of the frames that are now whole. Raises FrameError."""
        header, body = data[: HEADER.size], data[HEADER.size :]
        if not self._pending and header == HEADER.pack(len(body)):
            yield body  # one frame and no more, as nearly always
            return
        self._pending += data
        while len(self._pending) >= HEADER.size:
            end = HEADER.size + frame_length(self._pending[: HEADER.size])
            if len(self._pending) < end:
                return
            body = bytes(self._pending[HEADER.size : end])
            del self._pending[:end]
            yield body


BYTES_OF_A_TOKEN = array("i").itemsize


def pack(window: Sequence[int]) -> bytes:
    """Token ids as int32, native order: both sides are on one machine."""
    return array("i", window).tobytes()


def unpack(packed: bytes) -> array[int]:
    """The inverse of ``pack``."""
    ids = array("i")
    ids.frombytes(packed)
    return ids
