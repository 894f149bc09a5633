"""Which of several workers is asked, against workers of the test's own making."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.engine import client
from service.engine.activity import Activity
from service.engine.client import Engine
from service.engine.errors import WorkerLostError
from service.engine.wire import (
    FromAPI,
    Hello,
    ServedModel,
    Traffic,
    Work,
)
from service.observe.timing import now
from tests.service.engine.fake_worker import HELLO, Listener, echo, fake_worker


def among(
    folder: Path,
    workers: list[Held],
    test: Callable[[Engine], Awaitable[None]],
    activity: Activity | None = None,
    hello: Hello = HELLO,
) -> None:
    """Runs ``test`` on an engine connected to several fake workers, which say ``hello``."""

    async def main() -> None:
        paths = [folder / f"worker-{number}" for number in range(len(workers))]
        listener = Listener()
        for worker, path in zip(workers, paths, strict=True):
            worker.server = await fake_worker(path, worker, hello)
        async with Engine(paths, listener, activity) as engine, asyncio.timeout(30):
            while len(listener.hellos) < len(workers):
                await asyncio.sleep(0.01)
            await test(engine)
        for worker in workers:
            worker.server.close()

    asyncio.run(main())


class Held:
    """A worker that answers when told to.

    Attributes:
        lengths: of what it was asked about, in tokens, as it came.
        given_up: ids of what was cancelled.
        server: where it listens.
        writer: of its connection, once it was asked.
    """

    server: asyncio.AbstractServer
    writer: asyncio.StreamWriter

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.given_up: list[int] = []
        self.go = asyncio.Event()

    async def __call__(self, messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        for message in messages:
            if isinstance(message, Work):
                self.lengths.append(sum(map(len, message.windows)) // 4)
            else:
                self.given_up.append(message.id)
        self.writer = writer
        self.answering = asyncio.create_task(self._answer(messages, writer))

    async def _answer(self, messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        await self.go.wait()
        await echo(messages, writer)


async def asked(
    engine: Engine, length: int, model: str = "lstm", traffic: Traffic = "client"
) -> asyncio.Task[object]:
    """A request of so many tokens, on its way."""
    task = asyncio.create_task(engine.infer(model, None, [[1] * length], now() + 20, traffic))
    await asyncio.sleep(0.05)
    return task


def test_worker_with_the_fewest_tokens_to_read_is_asked(tmp_path: Path) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        tasks = [await asked(engine, length) for length in (100, 10, 20, 30, 50)]
        assert (first.lengths, second.lengths) == ([100], [10, 20, 30, 50])
        first.go.set()
        await tasks[0]
        await asked(engine, 5)
        assert first.lengths == [100, 5]
        second.go.set()
        await asyncio.gather(*tasks)

    among(tmp_path, [first, second], ask)


def test_one_client_is_answered_by_one_worker(tmp_path: Path) -> None:
    workers = [Held(), Held()]
    for worker in workers:
        worker.go.set()

    async def ask(engine: Engine) -> None:
        for _ in range(6):
            await (await asked(engine, 3))

    among(tmp_path, workers, ask)
    assert sorted(len(worker.lengths) for worker in workers) == [0, 6]


def test_worker_that_computes_for_others_is_passed_over(tmp_path: Path) -> None:
    workers = [Held(), Held()]
    for worker in workers:
        worker.go.set()
    activity = Activity(tmp_path, 2)

    async def ask(engine: Engine) -> None:
        for busy in (0, 1, 1, 0):
            activity.begin(busy)
            await (await asked(engine, 10 + busy))
            activity.end(busy)

    among(tmp_path, workers, ask, activity)
    assert [worker.lengths for worker in workers] == [[11, 11], [10, 10]]


@pytest.fixture
def undivided() -> Hello:
    """Of a worker that does forwards of ``lstm`` best one by one, and of ``gru`` side by side."""
    lstm = ServedModel("lstm", "bfloat16", 0.5, undivided=True)
    return replace(HELLO, models=[lstm, ServedModel("gru", "bfloat16", 0.5)])


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than three windows are kept together."""
    monkeypatch.setattr(client, "UNDIVIDED_WINDOWS", 3)


def test_undivided_model_stays_with_the_worker_that_has_it(
    tmp_path: Path, undivided: Hello, three: None
) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        tasks = [await asked(engine, length) for length in (10, 100, 5)]
        assert (first.lengths, second.lengths) == ([10, 100, 5], [])
        first.go.set()
        await asyncio.gather(*tasks)

    among(tmp_path, [first, second], ask, hello=undivided)


def test_many_windows_are_divided(tmp_path: Path, undivided: Hello, three: None) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        tasks = [await asked(engine, length) for length in (10, 11, 12, 13, 14)]
        assert (first.lengths, second.lengths) == ([10, 11, 12], [13, 14])
        first.go.set()
        second.go.set()
        await asyncio.gather(*tasks)

    among(tmp_path, [first, second], ask, hello=undivided)


def test_list_of_many_texts_is_many_windows(tmp_path: Path, undivided: Hello, three: None) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        await asked(engine, 10)
        task = asyncio.create_task(engine.infer("lstm", None, [[1]] * 3, now() + 20))
        await asyncio.sleep(0.05)
        assert (first.lengths, second.lengths) == ([10], [3])
        task.cancel()

    among(tmp_path, [first, second], ask, hello=undivided)


def test_what_was_answered_or_given_up_is_in_hand_no_more(
    tmp_path: Path, undivided: Hello, three: None
) -> None:
    first, second = Held(), Held()
    first.go.set()

    async def ask(engine: Engine) -> None:
        await (await asked(engine, 10))
        first.go.clear()
        gone = await asked(engine, 11)
        gone.cancel()
        await asyncio.sleep(0.05)
        for length in (100, 5, 6):
            await asked(engine, length)
        assert (first.lengths, second.lengths) == ([10, 11, 100, 5, 6], [])
        await asked(engine, 7)
        assert second.lengths == [7], "more than three"

    among(tmp_path, [first, second], ask, hello=undivided)


def test_lost_worker_has_nothing_in_hand(tmp_path: Path, undivided: Hello, three: None) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        held = await asked(engine, 100)
        first.writer.close()
        with pytest.raises(WorkerLostError):
            await held
        await asyncio.sleep(0.2)  # it is there again
        for length in (3, 4, 5):
            await asked(engine, length)
        assert (first.lengths, second.lengths) in (([100], [3, 4, 5]), ([100, 3, 4, 5], []))

    among(tmp_path, [first, second], ask, hello=undivided)


def test_undivided_model_doesnt_wait_behind_another(
    tmp_path: Path, undivided: Hello, three: None
) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        await asked(engine, 3)
        await asked(engine, 100, "gru")  # where less is to be read
        await asked(engine, 4)
        assert (first.lengths, second.lengths) == ([3, 4], [100])
        await asked(engine, 120, "gru")
        await asked(engine, 5)
        assert (first.lengths, second.lengths) == ([3, 4, 120], [100, 5])

    among(tmp_path, [first, second], ask, hello=undivided)


def test_undivided_model_doesnt_wait_for_a_worker_that_is_silent(
    tmp_path: Path, undivided: Hello, three: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENT_SECONDS", 0.0)
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        for length in (10, 5, 4):
            await asked(engine, length)
        assert (first.lengths, second.lengths) == ([10], [5, 4])

    among(tmp_path, [first, second], ask, hello=undivided)


def test_shadow_keeps_no_client_waiting(tmp_path: Path, undivided: Hello, three: None) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        await asked(engine, 10, traffic="shadow")
        await asked(engine, 5)
        assert (first.lengths, second.lengths) == ([10], [5])

    among(tmp_path, [first, second], ask, hello=undivided)


def test_request_that_nobody_waits_for_counts_no_more(tmp_path: Path) -> None:
    first, second = Held(), Held()

    async def ask(engine: Engine) -> None:
        gone = await asked(engine, 100)
        gone.cancel()
        await asyncio.sleep(0.05)
        assert len(first.given_up) == 1
        await asked(engine, 50)
        await asked(engine, 10)
        await asked(engine, 10)
        assert (first.lengths, second.lengths) == ([100, 50], [10, 10])

    among(tmp_path, [first, second], ask)


def test_lost_worker_fails_what_it_held_alone_and_is_passed_over(tmp_path: Path) -> None:
    first, second = Held(), Held()
    second.go.set()

    async def ask(engine: Engine) -> None:
        held = await asked(engine, 100)
        first.server.close()
        first.writer.close()
        with pytest.raises(WorkerLostError):
            await held
        for _ in range(3):
            await (await asked(engine, 3))
        assert (first.lengths, second.lengths) == ([100], [3, 3, 3])
        assert engine.ready

    among(tmp_path, [first, second], ask)
