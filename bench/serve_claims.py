"""Medians and ratios of what ``serve.py`` measured, and what they are held against."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.comparison import Comparison
from bench.contenders import name_of
from bench.turns import Turn

OURS = name_of("lockstep")
DEFAULTS = (name_of("fastapi"), name_of("litserve"))
BESTS = (name_of("fastapi", "best"), name_of("litserve", "best"))
BORROWED = (name_of("fastapi", "borrowed"), name_of("litserve", "borrowed"))
OFFLINE = "the offline limit"
SATURATED = 32  # clients: from here on more of them only wait

Value = Callable[[Turn], float | None]


def per_second(turn: Turn) -> float | None:
    """Requests answered a second; None where none was."""
    return turn.per_second or None


def p50(turn: Turn) -> float | None:
    """Of all answers, in seconds."""
    return turn.latency.p50


def p99(turn: Turn) -> float | None:
    """Of all answers, in seconds."""
    return turn.latency.p99


def short_p99(turn: Turn) -> float | None:
    """Of the answers to short texts, in seconds."""
    return turn.kinds["short"].p99 if "short" in turn.kinds else None


def median(one: Comparison, name: str, clients: int, value: Value) -> float | None:
    """Over the rounds; None where nothing was measured."""
    found = [value(turn) for turn in one.turns.get((name, clients), [])]
    known = [each for each in found if each is not None]
    return statistics.median(known) if known else None


def ratio(one: Comparison, against: str, clients: int, value: Value) -> float | None:
    """Median over the rounds of the service's value over another's in the same round."""
    ours = [value(turn) for turn in one.turns.get((OURS, clients), [])]
    theirs: Sequence[float | None] = (
        [rate / one.workload.texts for rate in one.offline]
        if against == OFFLINE
        else [value(turn) for turn in one.turns.get((against, clients), [])]
    )
    pairs = [a / b for a, b in zip(ours, theirs, strict=False) if a is not None and b]
    return statistics.median(pairs) if pairs else None


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a ratio of the service to another.

    Attributes:
        model, workload, clients: where.
        what: of the two, in words.
        value: of a turn.
        against: whose; each is held to it.
        bound: of the ratio.
        at_least: else it is an upper bound.
    """

    model: str
    workload: str
    clients: int
    what: str
    value: Value
    against: tuple[str, ...]
    bound: float
    at_least: bool = True


TARGETS = (
    Target("minilm", "mixed", 32, "requests/s", per_second, DEFAULTS, 7),
    Target("minilm", "mixed", 32, "requests/s", per_second, BESTS, 1),
    Target("minilm", "mixed", 32, "p99 of short texts", short_p99, BESTS, 0.5, at_least=False),
    Target("minilm", "mixed", 32, "requests/s", per_second, (OFFLINE,), 0.85),
    Target("minilm", "short", 32, "requests/s", per_second, DEFAULTS, 4),
    Target("minilm", "short", 32, "requests/s", per_second, BESTS, 1.5),
    Target("minilm", "short", 1, "p50", p50, DEFAULTS, 0.5, at_least=False),
    Target("minilm", "lists", 32, "requests/s", per_second, (OFFLINE,), 0.9),
    Target("lstm", "short", 32, "requests/s", per_second, DEFAULTS[1:], 4),
    Target("lstm", "short", 32, "requests/s", per_second, BESTS[:1], 1),
)
FREE_TARGETS = (Target("", "short", 32, "requests/s", per_second, DEFAULTS[1:], 4),)
FLAT = 0.9  # of the highest throughput, what is to be left with the most clients


@dataclass(frozen=True, slots=True)
class Beside:
    """The service over a baseline that runs its very forward: what of the gain is the server's.

    Attributes:
        where: model, workload and number of clients.
        against: the baseline.
        per_second, p50, p99, short_p99: ratios, the last of short texts; None where nothing was
            measured.
    """

    where: str
    against: str
    per_second: float | None
    p50: float | None
    p99: float | None
    short_p99: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What was aimed at, and what was measured."""

    what: str
    aim: str
    measured: float
    met: bool


def claims(comparisons: Sequence[Comparison]) -> list[Claim]:
    """Every target that the comparisons can be held to."""
    found = []
    for one in comparisons:
        targets = FREE_TARGETS if one.free else TARGETS
        for target in targets:
            if not one.free and (one.model, one.workload.name) != (target.model, target.workload):
                continue
            for name in target.against:
                measured = ratio(one, name, target.clients, target.value)
                if measured is None:
                    continue
                where = f"{one.title}, {in_words(target.clients)}"
                what = f"{where}: {target.what} over those of {name}"
                found.append(_claim(what, target.bound, measured, at_least=target.at_least))
        found += growth(one)
    return found


def with_its_forward(comparisons: Sequence[Comparison]) -> list[Beside]:
    """Everywhere that the service's own forward ran under another server."""
    return [
        Beside(
            f"{one.title}, {in_words(clients)}",
            name,
            *(ratio(one, name, clients, value) for value in (per_second, p50, p99, short_p99)),
        )
        for one in comparisons
        for name, clients in sorted(one.turns, key=lambda key: key[1])
        if name in BORROWED
    ]


def in_words(clients: int) -> str:
    """``1 client``."""
    return f"{clients} client{'s' if clients > 1 else ''}"


def growth(one: Comparison) -> list[Claim]:
    """How throughput and p99 fare from ``SATURATED`` clients to the most there were."""
    asked = sorted(clients for name, clients in one.turns if name == OURS)
    most = asked[-1] if asked else 0
    rates = {clients: median(one, OURS, clients, per_second) for clients in asked}
    tails = {clients: median(one, OURS, clients, p99) for clients in asked}
    best = max((rate for rate in rates.values() if rate), default=None)
    last, before, after = rates.get(most), tails.get(SATURATED), tails.get(most)
    if most <= 2 * SATURATED or not (best and last and before and after):
        return []
    grown = (after / before) / (most / SATURATED)
    return [
        _claim(
            f"{one.title}: requests/s at {most} clients over the most at any", FLAT, last / best
        ),
        _claim(
            f"{one.title}: growth of p99 from {SATURATED} to {most} clients over theirs",
            1.0,
            grown,
            at_least=False,
        ),
    ]


def _claim(what: str, bound: float, measured: float, *, at_least: bool = True) -> Claim:
    met = measured >= bound if at_least else measured <= bound
    return Claim(what, f"at {'least' if at_least else 'most'} {bound:g}", measured, met)
