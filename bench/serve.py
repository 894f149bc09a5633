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
from contextlib import ExitStack, contextmanager

from bench.comparison import Comparison, Plan
from bench.contenders import BASELINES, SETTLED, TUNED, Rival, Setup, default, lockstep, tuned
from bench.offline import Offline
from bench.processes import Server, running
from bench.turns import Turn, drive
from bench.workloads import Request, Texts, Workload, body, flat, requests

TUNING_CLIENTS = 32
TUNING_SHARE = 0.5  # of the seconds of a turn: there are many, and only the order of them counts
WARM_UP_CLIENTS, WARM_UP_SECONDS = 8, 0.5  # at most
SLOW = 4  # times the seconds of a turn: one that took longer isn't done again
GROWING = ("short", "mixed")  # workloads that more clients ask of the service alone
ANSWERS_EACH = 3  # of each client where there are many: of the first answers latencies have none
ASKED_ALIKE = 8  # requests whose answers must be the same everywhere

Say = Callable[[str], None]


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
        wanted = {
            (rival, size)
            for one in found
            for at in (False, True)
            for rival, size in sizes(one, plan, alone=at).items()
        }
        others = {(rival, size): tuned(rival, setup, size) for rival, size in sorted(wanted)}
        with paused([*defaults, *others.values()]):
            for one in found:
                crowd, alone = (
                    [
                        ours,
                        *defaults,
                        *(others[which] for which in sizes(one, plan, alone=at).items()),
                    ]
                    for at in (False, True)
                )
                measure(setup, one, crowd, alone, asked[one.workload.name], plan, say)
    return found


def sizes(one: Comparison, plan: Plan, *, alone: bool) -> dict[Rival, int]:
    """Batches of each tuned baseline where many clients ask, or one ``alone``.

    One client's single texts have no company to wait for.
    """
    if alone and one.workload.texts == 1 and 1 in plan.clients:
        return dict.fromkeys(one.best, 1)
    return one.best


@contextmanager
def paused(servers: Sequence[Server]) -> Iterator[None]:
    """All of them, started and ready, and held still.

    Those that choose a forward by trying are started alone: beside others they'd choose by chance.

    Raises:
        ServerError: as ``running`` does.
    """
    choosing = [server for server in servers if SETTLED in server.command]
    others = [server for server in servers if server not in choosing]
    with ExitStack() as stack:
        for group in (others, *([server] for server in choosing)):
            stack.enter_context(running(group))
            for server in group:
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
            one.best = dict.fromkeys(TUNED, plan.sizes[0])
        return
    for size in plan.sizes:
        servers = {rival: tuned(rival, setup, size) for rival in TUNED}
        with paused(list(servers.values())):
            for one in found:
                for rival, server in servers.items():
                    drawn = asked[one.workload.name]
                    with server.awake():
                        warm_up(server, drawn, plan)
                        seconds = TUNING_SHARE * plan.seconds
                        turn = drive(server, drawn, TUNING_CLIENTS, seconds, "tuning")
                    one.sweep.setdefault(rival, {})[size] = turn.per_second
                    say(f"{one.title}: {server.name}, batches of {size}: {told(turn)}")
    for one in found:
        one.best = {rival: max(tried, key=tried.__getitem__) for rival, tried in one.sweep.items()}


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
    rate = 0.0
    beside_limit = TUNING_CLIENTS if TUNING_CLIENTS in counts else counts[-1]
    for number in range(plan.rounds):
        for clients in counts:
            turning = [ours]
            if clients in plan.clients:
                turning = list(alone if clients == 1 else crowd)
            first = number % len(turning)
            for server in [*turning[first:], *turning[:first]]:
                turns = one.turns.setdefault((server.name, clients), [])
                if turns and turns[-1].seconds > SLOW * plan.seconds:
                    continue
                seconds = plan.seconds
                if turning == [ours] and rate:
                    seconds = max(seconds, ANSWERS_EACH * clients / rate)
                if offline and server is ours and clients == beside_limit:
                    # Next to it: what a shared host has to give is another after a minute.
                    one.offline.append(offline.texts_per_second())
                with server.awake():
                    turns.append(drive(server, asked, clients, seconds, f"{plan.seed}/{number}"))
                if server is ours:
                    rate = turns[-1].per_second
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
    offline = Offline(
        setup.weights, setup.model, setup.schedule, setup.device, setup.dtype, setup.threads
    )
    offline.choose(flat(random.Random(plan.seed).sample(asked, len(asked))), plan.seconds)
    one.offline_batches = len(offline.texts), offline.padded_tokens
    return offline
