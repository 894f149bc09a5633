"""The service beside its baselines: the same weights, texts, threads and clients, in turn.

    ours ─┐                                           ┌─▶ offline limit
    sweep ┼─▶ servers, one awake at a time ─▶ rounds ─┼─▶ turns ─▶ serve_claims.py, serve_report.py
    texts ┘                                           └─▶ clients (load.py)

Every server is started once and held still (SIGSTOP) while another is asked, so that one that polls
when idle costs the others nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.contenders import BASELINES, Kind, Setup, default, lockstep, tuned
from bench.offline import Offline
from bench.processes import Server, running
from bench.turns import Turn, drive
from bench.workloads import Request, Texts, Workload, body, flat, requests

TUNING_CLIENTS = 32
TUNING_SHARE = 0.5  # of the seconds of a turn: there are many, and only the order of them counts
WARM_UP_CLIENTS, WARM_UP_SECONDS = 8, 0.5  # at most
SLOW = 4  # times the seconds of a turn: one that took longer isn't done again
GROWING = ("short", "mixed")  # workloads that more clients ask of the service alone
ASKED_ALIKE = 8  # requests whose answers must be the same everywhere

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        clients: that ask each contender.
        growth: that ask the service alone, beyond those, under ``GROWING``.
        sizes: of the baselines' batches, of which the best is found; a single one isn't tried.
        seconds: how long requests are sent in a turn; about what a pass of the offline limit takes.
        rounds: turns of each contender.
        seed: of what is drawn.
    """

    clients: Sequence[int]
    growth: Sequence[int]
    sizes: Sequence[int]
    seconds: float
    rounds: int
    seed: int


@dataclass(slots=True)
class Comparison:
    """One model under one workload.

    Attributes:
        model, free, dtype, schedule: what ran, and how at best.
        workload: what was asked.
        turns: by contender and number of clients, one a round.
        offline: texts a second of the offline limit, one a round; none where there is no forward.
        offline_batches: its texts, and the padded tokens of a batch.
        sweep: requests a second of each baseline by size of batch.
        best: the size that was taken.
        alike: of ``ASKED_ALIKE`` requests, how many each baseline answered with the same labels.
    """

    model: str
    free: bool
    dtype: str
    schedule: str | None
    workload: Workload
    turns: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)
    offline: list[float] = field(default_factory=list)
    offline_batches: tuple[int, int] | None = None
    sweep: dict[Kind, dict[int, float]] = field(default_factory=dict)
    best: dict[Kind, int] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What was compared, in a few words."""
        return f"{self.model}{', free' if self.free else ''}, {self.workload.name}"

    def errors(self) -> list[str]:
        """A line for each contender and number of clients that had any."""
        return [
            f"{self.title}, {clients} clients: {name} left "
            f"{sum(turn.errors.values())} requests unanswered ({turn.errors}): {turn.example}"
            for (name, clients), turns in self.turns.items()
            for turn in turns
            if turn.errors
        ]


def compare(
    setup: Setup, workloads: Sequence[Workload], texts: Texts, plan: Plan, say: Say
) -> list[Comparison]:
    """One model under each workload.

    Args:
        setup: what runs.
        workloads: what is asked.
        texts: by kind.
        plan: how much.
        say: told of progress, a line at a time.

    Raises:
        ServerError: one ended, or answered one client's request with an error.
        ValueError: there are no texts of a kind that is asked for.
    """
    asked = {one.name: requests(one, texts, plan.seed) for one in workloads}
    ours = lockstep(setup)
    with running([ours]):
        answer = ours.ask(body(flat(asked[workloads[0].name])[:1]))
        setup = setup.like(answer["timing"]["dtype"], answer["schedule"])
        ours.pause()
        found = [
            Comparison(setup.model, setup.free, setup.dtype, setup.schedule, one)
            for one in workloads
        ]
        if not setup.free:
            tune(setup, found, asked, plan, say)
        defaults = [default(kind, setup) for kind in BASELINES]
        with paused(defaults):
            for one in found:
                bests = {kind: tuned(kind, setup, size) for kind, size in one.best.items()}
                # One client's single texts have no company to wait for.
                singly = {
                    kind: tuned(kind, setup, 1)
                    for kind, size in one.best.items()
                    if size > 1 and one.workload.texts == 1 and 1 in plan.clients
                }
                with paused([*bests.values(), *singly.values()]):
                    crowd = [ours, *defaults, *bests.values()]
                    alone = [ours, *defaults, *(bests | singly).values()]
                    measure(setup, one, crowd, alone, asked[one.workload.name], plan, say)
    return found


@contextmanager
def paused(servers: Sequence[Server]) -> Iterator[None]:
    """All of them, started and ready, and held still. Raises ServerError as ``running`` does."""
    with running(servers):
        for server in servers:
            server.pause()
        yield


def tune(
    setup: Setup,
    found: Sequence[Comparison],
    asked: Mapping[str, Sequence[Request]],
    plan: Plan,
    say: Say,
) -> None:
    """Finds the size of batch with which each baseline answers most, for each workload."""
    if len(plan.sizes) == 1:
        for one in found:
            one.best = dict.fromkeys(BASELINES, plan.sizes[0])
        return
    for size in plan.sizes:
        servers = {kind: tuned(kind, setup, size) for kind in BASELINES}
        with paused(list(servers.values())):
            for one in found:
                for kind, server in servers.items():
                    drawn = asked[one.workload.name]
                    with server.awake():
                        warm_up(server, drawn, plan)
                        seconds = TUNING_SHARE * plan.seconds
                        turn = drive(server, drawn, TUNING_CLIENTS, seconds, "tuning")
                    one.sweep.setdefault(kind, {})[size] = turn.per_second
                    say(f"{one.title}: {server.name}, batches of {size}: {told(turn)}")
    for one in found:
        one.best = {kind: max(tried, key=tried.__getitem__) for kind, tried in one.sweep.items()}


def measure(
    setup: Setup,
    one: Comparison,
    crowd: Sequence[Server],
    alone: Sequence[Server],
    asked: Sequence[Request],
    plan: Plan,
    say: Say,
) -> None:
    """All rounds of one workload.

    Args:
        crowd, alone: whom many clients ask, and one; held still, the service first.
    """
    ours = crowd[0]
    expected: list[list[str]] = []
    for server in dict.fromkeys((*crowd, *alone)):
        with server.awake():
            warm_up(server, asked, plan)
            given = [] if one.free else labels(server, asked)
        expected = expected or given
        if server is not ours and not one.free:
            one.alike[server.name] = sum(map(list.__eq__, expected, given))
    offline = None if one.free else _offline(setup, one, asked, plan)
    growing = one.workload.name in GROWING and not one.free
    counts = sorted({*plan.clients, *(plan.growth if growing else ())})
    for number in range(plan.rounds):
        if offline:
            one.offline.append(offline.texts_per_second())
        for clients in counts:
            turning = [ours]
            if clients in plan.clients:
                turning = list(alone if clients == 1 else crowd)
            first = number % len(turning)
            for server in [*turning[first:], *turning[:first]]:
                turns = one.turns.setdefault((server.name, clients), [])
                if turns and turns[-1].seconds > SLOW * plan.seconds:
                    continue
                with server.awake():
                    seed = f"{plan.seed}/{number}"
                    turns.append(drive(server, asked, clients, plan.seconds, seed))
                say(f"{one.title}, {clients} clients: {server.name}: {told(turns[-1])}")


def warm_up(server: Server, asked: Sequence[Request], plan: Plan) -> None:
    """A few requests that nobody counts: the first of a shape set things up."""
    drive(server, asked, WARM_UP_CLIENTS, min(WARM_UP_SECONDS, plan.seconds), "warm-up")


def labels(server: Server, asked: Sequence[Request]) -> list[list[str]]:
    """The verdicts on ``ASKED_ALIKE`` requests, spread over all."""
    some = asked[:: -(-len(asked) // ASKED_ALIKE)]
    answers = [server.ask(body(texts)) for _, texts in some]
    return [[result["label"] for result in answer["results"]] for answer in answers]


def told(turn: Turn) -> str:
    """A turn in a few words."""
    errors = f", unanswered: {turn.errors}" if turn.errors else ""
    return f"{turn.per_second:.1f} requests/s{errors}"


def _offline(setup: Setup, one: Comparison, asked: Sequence[Request], plan: Plan) -> Offline:
    offline = Offline(setup.weights, setup.model, setup.schedule, setup.dtype, setup.threads)
    offline.choose(flat(random.Random(plan.seed).sample(asked, len(asked))), plan.seconds)
    one.offline_batches = len(offline.texts), offline.padded_tokens
    return offline
