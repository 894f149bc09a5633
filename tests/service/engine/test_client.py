"""The client against a worker of the test's own making, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.engine.client import Engine
from service.engine.errors import DeadlineError, ForwardError, NotReadyError, WorkerLostError
from service.engine.wire import (
    HEADER,
    Answer,
    BatchFacts,
    Failure,
    FromAPI,
    Ride,
    Work,
    WorkerState,
    frame,
)
from service.observe.timing import now
from tests.service.engine.fake_worker import Handler, Listener, echo, fake_worker

HANG_SECONDS = 30


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
        answers = [Answer(work.id, [[1.0]], 0.0, now(), [Ride(0.0, 1, 1, 1)], 1) for work in works]
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
