"""The client against a worker of the test's own making, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.engine import client
from service.engine.activity import Activity
from service.engine.client import Engine
from service.engine.errors import DeadlineError, ForwardError, NotReadyError, WorkerLostError
from service.engine.wire import (
    HEADER,
    Answer,
    BatchFacts,
    Failure,
    FromAPI,
    Hello,
    Ride,
    ServedModel,
    Traffic,
    Work,
    WorkerState,
    decode_from_api,
    frame,
    frame_length,
)
from service.observe.timing import now

HELLO = Hello(1, "cpu", "2.13.0", [])
HANG_SECONDS = 30
Handler = Callable[[list[FromAPI], asyncio.StreamWriter], Awaitable[None]]


async def fake_worker(path: Path, handle: Handler, hello: Hello = HELLO) -> asyncio.AbstractServer:
    """Listens on ``path`` and hands each frame of messages to ``handle``."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame([hello]))
        try:
            while True:
                length = frame_length(await reader.readexactly(HEADER.size))
                await handle(decode_from_api(await reader.readexactly(length)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return await asyncio.start_unix_server(connected, path)


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.facts: list[BatchFacts] = []
        self.states: list[WorkerState] = []
        self.losses: list[int] = []

    def hello(self, worker: int, hello: Hello) -> None:
        self.hellos.append(hello)

    def batch(self, worker: int, facts: BatchFacts) -> None:
        self.facts.append(facts)

    def state(self, worker: int, state: WorkerState) -> None:
        self.states.append(state)

    def lost(self, worker: int) -> None:
        self.losses.append(worker)


async def ready(engine: Engine) -> None:
    async with asyncio.timeout(10):
        while engine.hello is None:
            await asyncio.sleep(0.01)


def run(path: Path, handle: Handler, test: Callable[[Engine], Awaitable[None]]) -> Listener:
    """Runs ``test`` on an engine connected to a fake worker; returns what its listener heard."""
    listener = Listener()

    async def main() -> None:
        server = await fake_worker(path, handle)
        async with Engine([path], listener) as engine:
            await ready(engine)
            async with asyncio.timeout(HANG_SECONDS):
                await test(engine)
        server.close()

    asyncio.run(main())
    return listener


async def echo(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
    for message in messages:
        if isinstance(message, Work):
            row = [[float(len(window))] for window in message.windows]
            answer = Answer(message.id, row, 0.0, now(), [Ride(0.0, 1, 1)], 1)
            writer.write(frame([answer]))


def test_answers_find_their_questions(tmp_path: Path) -> None:
    async def ask_many(engine: Engine) -> None:
        asked = [engine.infer("lstm", None, [[1] * n], now() + 10) for n in range(1, 30)]
        answers = await asyncio.gather(*asked)
        assert [answer.logits for answer, _ in answers] == [[[4.0 * n]] for n in range(1, 30)]

    run(tmp_path / "socket", echo, ask_many)


def test_work_of_one_turn_leaves_as_one_frame(tmp_path: Path) -> None:
    sizes: list[int] = []

    async def count(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        sizes.append(sum(isinstance(message, Work) for message in messages))
        await echo(messages, writer)

    async def ask_many(engine: Engine) -> None:
        await asyncio.gather(*(engine.infer("m", None, [[1]], now() + 10) for _ in range(8)))

    run(tmp_path / "socket", count, ask_many)
    assert sizes == [8]


def test_lost_worker_fails_what_it_held_and_is_found_again(tmp_path: Path) -> None:
    async def drop_the_first(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        if any(isinstance(m, Work) and m.model == "fatal" for m in messages):
            writer.close()
        else:
            await echo(messages, writer)

    async def ask(engine: Engine) -> None:
        with pytest.raises(WorkerLostError):
            await engine.infer("fatal", None, [[1]], now() + 10)
        await ready(engine)
        answer, _ = await engine.infer("lstm", None, [[1, 2]], now() + 10)
        assert answer.logits == [[8.0]]

    assert len(run(tmp_path / "socket", drop_the_first, ask).hellos) == 2


@pytest.mark.parametrize(
    ("reason", "error"), [("deadline", DeadlineError), ("internal", ForwardError)]
)
def test_failure_is_raised_as_what_it_is(
    tmp_path: Path, reason: str, error: type[Exception]
) -> None:
    async def fail(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        failures = [Failure(m.id, reason, "detail") for m in messages if isinstance(m, Work)]
        writer.write(frame(failures))

    async def ask(engine: Engine) -> None:
        with pytest.raises(error):
            await engine.infer("lstm", None, [[1]], now() + 10)

    run(tmp_path / "socket", fail, ask)


def test_silent_worker_is_a_deadline(tmp_path: Path) -> None:
    async def nothing(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    async def ask(engine: Engine) -> None:
        with pytest.raises(DeadlineError):
            await engine.infer("lstm", None, [[1]], now() + 0.05)

    run(tmp_path / "socket", nothing, ask)


def test_batch_facts_are_passed_on(tmp_path: Path) -> None:
    facts = BatchFacts("lstm", None, 1, 4, 0, 0.1, 0.2, 100, 8, "compare")
    state = WorkerState({"lstm": 3}, 1_000_000)

    async def tell(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        writer.write(frame([facts, state]))
        await echo(messages, writer)

    async def ask(engine: Engine) -> None:
        await engine.infer("lstm", None, [[1]], now() + 10)

    listener = run(tmp_path / "socket", tell, ask)
    assert (listener.facts, listener.states) == ([facts], [state])


def test_whoever_is_answered_goes_before_the_facts_of_the_batch(tmp_path: Path) -> None:
    facts = BatchFacts("lstm", None, 1, 4, 0, 0.1, 0.2, 100, 8)
    listener = Listener()

    async def answer(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        works = [message for message in messages if isinstance(message, Work)]
        answers = [Answer(work.id, [[1.0]], 0.0, now(), [Ride(0.0, 1, 1)], 1) for work in works]
        writer.write(frame([*answers, facts]))

    async def main() -> None:
        server = await fake_worker(tmp_path / "socket", answer)
        async with Engine([tmp_path / "socket"], listener) as engine:
            await ready(engine)
            await engine.infer("lstm", None, [[1]], now() + 10)
            assert listener.facts == []
            await asyncio.sleep(0.01)
            assert listener.facts == [facts]
        server.close()

    asyncio.run(main())


def test_nobody_to_ask_is_not_ready(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine([tmp_path / "nobody"], Listener()) as engine:
            with pytest.raises(NotReadyError):
                await engine.infer("lstm", None, [[1]], now() + 10)

    asyncio.run(main())


def test_engine_is_met_once_a_worker_is_connected_or_time_is_up(tmp_path: Path) -> None:
    async def silent(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None: ...

    async def main() -> None:
        async with Engine([tmp_path / "socket"], Listener()) as engine:
            began = now()
            await engine.meet(0.05)
            assert now() - began >= 0.05
            assert engine.hello is None
            server = await fake_worker(tmp_path / "socket", silent)
            await engine.meet(30)
            assert engine.hello is not None
        server.close()

    asyncio.run(main())


def test_noise_from_a_worker_ends_the_connection(tmp_path: Path) -> None:
    async def noise(messages: list[FromAPI], writer: asyncio.StreamWriter) -> None:
        writer.write(HEADER.pack(2) + b"\xc1\xc1")

    async def ask(engine: Engine) -> None:
        with pytest.raises(WorkerLostError):
            await engine.infer("lstm", None, [[1]], now() + 10)

    run(tmp_path / "socket", noise, ask)


def test_instance_that_is_about_to_end_is_not_ready_and_answers(tmp_path: Path) -> None:
    async def ask(engine: Engine) -> None:
        assert engine.ready
        engine.close()
        assert not engine.ready
        answer, _ = await engine.infer("lstm", None, [[1]], now() + 10)
        assert answer.logits == [[4.0]]

    run(tmp_path / "socket", echo, ask)


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
