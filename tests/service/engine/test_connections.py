"""A worker's end of its sockets: what comes, what leaves, and that nobody can hold it up."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.engine import connections
from service.engine.batcher import BatchLimits
from service.engine.connections import Listener
from service.engine.inbox import Inbox, WaitingWindow
from service.engine.wire import (
    HEADER,
    Answer,
    Hello,
    Ride,
    Work,
    WorkerState,
    frame,
    pack,
)
from tests.service.engine.api_process import API, WAIT_SECONDS

HELLO = Hello(1, "cpu", "2.13.0", [], replaces=2)
STATE = WorkerState({"lstm": 3}, 1_000_000)
FAR = 1e12


Connect = Callable[[], API]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(BatchLimits(padded_tokens=64))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def listener(path: Path, inbox: Inbox) -> Iterator[Listener]:
    listener = Listener(path, inbox, HELLO)
    yield listener
    listener.close()


@pytest.fixture
def connect(listener: Listener, path: Path) -> Iterator[Connect]:
    """Connects API processes, and takes them in."""
    with contextlib.ExitStack() as stack:

        def one() -> API:
            api = stack.enter_context(API(path))
            before = listener.connections
            while listener.connections == before:
                listener.serve(WAIT_SECONDS)
            return api

        yield one


def work(work_id: int, *lengths: int) -> Work:
    return Work(work_id, "lstm", None, [pack([1] * length) for length in lengths], FAR)


def finish(inbox: Inbox, batch: list[WaitingWindow], labels: int = 2) -> None:
    logits = [[0.5] * labels for _ in batch]
    inbox.finish(
        batch, logits, Ride(0.5, len(batch), 4, 4 * len(batch)), 0.25, [1] * len(batch), 1.0
    )


def behind(listener: Listener, connect: Connect, inbox: Inbox) -> API:
    """An API process that hasn't read an answer larger than its socket."""
    api = connect()
    api.send(work(1, 4))
    listener.serve(WAIT_SECONDS)
    finish(inbox, inbox.take(), labels=100_000)
    listener.flush()
    return api


def test_first_words_count_the_dead_once(connect: Connect) -> None:
    first, second = connect(), connect()
    assert first.receive() == [HELLO]
    assert [m.replaces for m in second.receive() if isinstance(m, Hello)] == [0]


def test_work_is_taken_in_and_answered_in_one_frame(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = connect()
    api.receive()
    api.send(work(1, 4), work(2, 4))
    listener.serve(WAIT_SECONDS)
    finish(inbox, inbox.take())
    listener.serve(timeout=0)
    assert [m.id for m in api.receive() if isinstance(m, Answer)] == [1, 2]


def test_idle_worker_wakes_for_work(listener: Listener, connect: Connect, inbox: Inbox) -> None:
    api = connect()
    api.send(work(1, 4))
    listener.serve(WAIT_SECONDS)  # returns because of it, or the test takes that long
    assert len(inbox.take()) == 1


def test_frame_that_comes_in_parts_is_taken_in_once_it_is_whole(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = connect()
    sent = frame([work(1, 4)])
    for part in (sent[:2], sent[2:7], sent[7:-1]):
        api.socket.sendall(part)
        listener.serve(WAIT_SECONDS)
        assert inbox.take() == []
    api.socket.sendall(sent[-1:] + frame([work(2, 4)]))
    listener.serve(WAIT_SECONDS)
    assert len(inbox.take()) == 2


def test_frame_that_a_socket_cannot_hold_is_taken_in_at_once(
    listener: Listener, connect: Connect, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_MS", WAIT_SECONDS * 1000)
    api = connect()
    sender = threading.Thread(target=api.send, args=(work(1, *[500] * 1000),), daemon=True)
    sender.start()
    listener.serve(WAIT_SECONDS)
    sender.join(WAIT_SECONDS)
    assert len(inbox.take()) == 1
    assert inbox.waiting() == {"lstm": 999}


def test_api_process_that_does_not_read_holds_nobody_up(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    stopped, other = connect(), connect()
    other.receive()
    for number in range(20):  # with far more to say than a socket takes
        stopped.send(work(number, 4))
        listener.serve(WAIT_SECONDS)
        finish(inbox, inbox.take(), labels=10_000)
        listener.flush()
    other.send(work(7, 4))
    listener.serve(WAIT_SECONDS)
    finish(inbox, inbox.take())
    listener.flush()
    assert [m.id for m in other.receive() if isinstance(m, Answer)] == [7]
    answered: list[int] = []
    while len(answered) < 20:  # it goes on, and nothing is lost
        answered += [m.id for m in stopped.read() if isinstance(m, Answer)]
        listener.serve(timeout=0)
    assert answered == list(range(20))


def test_idle_worker_goes_on_sending_as_soon_as_it_is_read(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = behind(listener, connect, inbox)
    idle = threading.Thread(target=listener.serve, args=(10 * WAIT_SECONDS,), daemon=True)
    idle.start()
    for _ in range(2):  # once it may read before the other begins to wait
        api.read()
    idle.join(WAIT_SECONDS)
    assert not idle.is_alive()


def test_api_process_that_is_behind_is_told_the_newest_state_alone(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = behind(listener, connect, inbox)
    for waiting in range(50):
        listener.tell_all(WorkerState({"lstm": waiting}, 1))
    states: list[WorkerState] = []
    while not states:
        states += [m for m in api.read() if isinstance(m, WorkerState)]
        listener.serve(timeout=0)
    assert states == [WorkerState({"lstm": 49}, 1)]


def test_state_is_told_at_once_and_to_whoever_comes_later(
    listener: Listener, connect: Connect
) -> None:
    first = connect()
    first.receive()
    listener.tell_all(STATE)
    assert first.receive() == [STATE]
    second = connect()
    assert second.receive()[1:] == [STATE]


def test_states_of_a_busy_worker_leave_with_what_is_sent_next(
    listener: Listener, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TELL_SECONDS", FAR)
    api = connect()
    api.receive()
    states = [WorkerState({"lstm": waiting}, 1) for waiting in (3, 2, 1)]
    listener.tell_all(states[0])
    assert api.receive() == states[:1]
    listener.tell_all(states[1])
    listener.tell_all(states[2])
    assert select.select([api.socket], [], [], 0) == ([], [], [])
    listener.flush()
    assert api.receive() == states[2:]
    done = WorkerState({}, 1)
    listener.tell_all(done)  # nothing waits any more: that is told at once
    assert api.receive() == [done]
    listener.tell_all(states[0])
    assert api.receive() == states[:1]
    monkeypatch.setattr(connections, "TELL_SECONDS", 0.0)
    listener.tell_all(states[1])
    assert api.receive() == states[1:2]


def test_gone_api_process_is_forgotten_with_its_work(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = connect()
    api.send(work(1, 4))
    api.socket.close()
    while listener.connections:
        listener.serve(WAIT_SECONDS)
    assert inbox.take() == []


def test_api_process_that_is_gone_as_it_is_answered_harms_nobody(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    api = connect()
    api.send(work(1, 4))
    listener.serve(WAIT_SECONDS)
    batch = inbox.take()
    api.socket.close()
    finish(inbox, batch)
    listener.flush()
    assert listener.connections == 0


def test_noise_ends_its_connection_alone(
    listener: Listener, connect: Connect, inbox: Inbox
) -> None:
    noisy, other = connect(), connect()
    noisy.socket.sendall(HEADER.pack(2) + b"\xc1\xc1")
    other.send(work(1, 4))
    while listener.connections == 2:
        listener.serve(WAIT_SECONDS)
    listener.serve(timeout=0)
    assert len(inbox.take()) == 1


def test_connection_that_cannot_be_taken_is_taken_later(
    listener: Listener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[socket.socket] = []

    def full(sock: socket.socket) -> tuple[socket.socket, str]:
        tries.append(sock)
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(connections, "RETRY_SECONDS", 1.0)
    with monkeypatch.context() as during:
        during.setattr(socket.socket, "accept", full)
        api = API(path)
        for _ in range(3):
            listener.serve(timeout=0)
    assert (len(tries), listener.connections) == (1, 0)
    with api:
        while not listener.connections:
            listener.serve(timeout=0.02)
        assert api.receive() == [HELLO]
