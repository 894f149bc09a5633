"""What ``lockstep bench serve`` measured, as JSON and as a page of tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.comparison import Comparison, Plan
from bench.contenders import name_of
from bench.gap_report import NOTHING, figure, markdown
from bench.serve import ASKED_ALIKE, TUNING_CLIENTS
from bench.serve_claims import (
    OURS,
    Beside,
    Value,
    claims,
    median,
    p50,
    p99,
    per_second,
    ratio,
    with_its_forward,
)
from bench.turns import Turn


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run found.

    Attributes:
        command: as it was typed.
        hardware: of ``hardware.describe_hardware``.
        versions: of the programs compared.
        sources: of the texts.
        plan: how much was measured.
        comparisons: what was.
    """

    command: str
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    sources: Sequence[str]
    plan: Plan
    comparisons: Sequence[Comparison]

    def errors(self) -> list[str]:
        """A line for whoever left requests unanswered."""
        return [line for one in self.comparisons for line in one.errors()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, durations in seconds; no date: equal figures are equal files."""
        return {
            "command": self.command,
            "hardware": dict(self.hardware),
            "versions": dict(self.versions),
            "sources": list(self.sources),
            "plan": asdict(self.plan),
            "claims": [asdict(claim) for claim in claims(self.comparisons)],
            "with_its_forward": [asdict(one) for one in with_its_forward(self.comparisons)],
            "errors": self.errors(),
            "comparisons": [_plain(one) for one in self.comparisons],
        }


def _plain(one: Comparison) -> dict[str, Any]:
    return {
        "model": one.model,
        "free_forward": one.free,
        "dtype": one.dtype,
        "schedule": one.schedule,
        "workload": asdict(one.workload),
        "best_batch_sizes": {name_of(*rival): size for rival, size in one.best.items()},
        "sweep_requests_per_second": {
            name_of(*rival): dict(tried) for rival, tried in one.sweep.items()
        },
        "answered_alike": dict(one.alike),
        "offline": {
            "texts_per_second": one.offline,
            "texts": one.offline_batches[0],
            "padded_tokens": one.offline_batches[1],
        }
        if one.offline_batches
        else None,
        "turns": [
            {"server": name, "clients": clients, "rounds": [turn.to_dict() for turn in turns]}
            for (name, clients), turns in one.turns.items()
        ],
    }


def page(report: Report) -> str:
    """All of it in Markdown."""
    facts = [*report.hardware.items(), *report.versions.items()]
    parts = [
        "# The service beside other servers",
        f"Made by\n\n```sh\n{report.command}\n```",
        "on " + "; ".join(f"{name} {value}" for name, value in facts) + ".",
        f"Texts of {', '.join(report.sources) or 'made-up words'}. Medians of "
        f"{report.plan.rounds} rounds of {report.plan.seconds:g} s, in turn.",
    ]
    if errors := report.errors():
        parts.append("**Not every request was answered:**")
        parts.append("\n".join(f"- {line}" for line in errors))
    held = [
        [claim.what, claim.aim, figure(claim.measured), "yes" if claim.met else "no"]
        for claim in claims(report.comparisons)
    ]
    if held:
        parts += ["## What was aimed at", markdown([["", "aim", "measured", "met"], *held])]
    if beside := with_its_forward(report.comparisons):
        parts += [
            "## Over servers that run its forward",
            "Ratios of the service to each: what is left of its gain, or of its loss, is the "
            "server's.",
            markdown(beside_table(beside)),
        ]
    for one in report.comparisons:
        parts += _sections(one)
    return "\n\n".join(parts) + "\n"


def _sections(one: Comparison) -> list[str]:
    title = f"{one.model}, {one.workload.name}" + (", no forward" if one.free else "")
    parts = [f"## {title}"]
    how = f"{OURS} ran in {one.dtype}, the others by default in float32, in batches of at most 32"
    if one.best:
        sizes = "; ".join(f"{name_of(*rival)} {size}" for rival, size in one.best.items())
        how += f". Tuned, they ran in {one.dtype} too, in batches of at most: {sizes}"
        if one.workload.texts == 1:
            how += " (one at a time where one client asks)"
    parts.append(f"{how}.")
    if one.offline:
        texts, bound = one.offline_batches or (0, 0)
        rate = statistics.median(one.offline)
        parts.append(
            f"Offline limit: {figure(rate)} texts/s ({texts} texts, sorted, in batches of at most "
            f"{bound} padded tokens)."
        )
    parts.append(markdown(table(one)))
    if one.sweep:
        tried = list(next(iter(one.sweep.values())))
        rows = [
            [name_of(*rival), *(figure(rates[size]) for size in tried)]
            for rival, rates in one.sweep.items()
        ]
        headings = [
            f"requests/s, {TUNING_CLIENTS} clients",
            *(f"batches of {size}" for size in tried),
        ]
        parts.append(markdown([headings, *rows]))
    if one.alike and not one.free:
        alike = "; ".join(f"{name} {count}" for name, count in one.alike.items())
        parts.append(f"Of {ASKED_ALIKE} requests, answered with the same labels: {alike}.")
    return parts


def beside_table(beside: Sequence[Beside]) -> list[list[str]]:
    """A row for each place and baseline under a row of headings."""
    rows = [["", "over", "requests/s", "p50", "p99", "short texts' p99"]]
    for one in beside:
        ratios = (one.per_second, one.p50, one.p99, one.short_p99)
        told = (NOTHING if value is None else f"{value:.2f}" for value in ratios)
        rows.append([one.where, one.against, *told])
    return rows


def table(one: Comparison) -> list[list[str]]:
    """A row for each number of clients and contender under a row of headings; latencies in ms."""
    kinds = sorted({kind for turns in one.turns.values() for turn in turns for kind in turn.kinds})
    values: dict[str, Value] = {"p50": p50, "p99": p99}
    if len(kinds) > 1:
        for kind in kinds:
            values[f"{kind} p50"] = _of_kind(kind, 0.5)
            values[f"{kind} p99"] = _of_kind(kind, 0.99)
    rows = [["clients", "server", "requests/s", f"{OURS} over it", *values]]
    for name, clients in sorted(one.turns, key=lambda key: key[1]):
        rate = median(one, name, clients, per_second)
        against = None if name == OURS else ratio(one, name, clients, per_second)
        rows.append(
            [
                str(clients),
                name,
                NOTHING if rate is None else figure(rate),
                NOTHING if against is None else f"{against:.2f}",
                *(_ms(median(one, name, clients, value)) for value in values.values()),
            ]
        )
    return rows


def _of_kind(kind: str, share: float) -> Value:
    def value(turn: Turn) -> float | None:
        latency = turn.kinds.get(kind)
        if latency is None:
            return None
        return latency.p50 if share == 0.5 else latency.p99

    return value


def _ms(seconds: float | None) -> str:
    return NOTHING if seconds is None else figure(seconds * 1e3)
