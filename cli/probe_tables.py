"""The probe's tables: what was measured, a row a model, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.gradients import Influence
from training.probe import Forgetting, Probe

DISTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 255)  # of the gradient's table

Table = tuple[str, list[list[str]]]  # a title, and rows of cells under a row of headings


def all_tables(probes: Sequence[Probe], data: str, filler: str) -> list[Table]:
    """What was measured, a row a model."""
    forgetting = probes[0].forgetting
    influence = max((probe.influence for probe in probes), key=lambda one: len(one.norms))
    counts = [f"{k:,}" for k in forgetting.counts]
    longest = len(influence.norms)
    distances = [d for d in DISTANCES if d < longest]
    texts = f"{forgetting.rows} texts of {data}, chance {forgetting.chance:.1%}"

    def rows(headings: Sequence[str], cells: Callable[[Probe], list[str]]) -> list[list[str]]:
        body = ([probe.model, probe.pooling, *cells(probe)] for probe in probes)
        return [["model", "pooling", *headings], *body]

    return [
        (
            f"Accuracy with k tokens of filler, {filler}, appended ({texts})",
            rows(
                [*counts, "memory horizon"],
                lambda p: [*_percents(p.forgetting.appended), _horizon(p.forgetting)],
            ),
        ),
        (
            f"Accuracy with k tokens of filler, {filler}, prepended ({texts})",
            rows(counts, lambda p: _percents(p.forgetting.prepended)),
        ),
        (
            f"Verdict on k tokens of filler, {filler}, alone",
            rows(
                counts[1:],
                lambda p: [f"{v.label} {v.score:.2f}" for v in p.forgetting.filler_alone],
            ),
        ),
        (
            "Gradient of the last hidden state, d tokens back, relative to d = 0 "
            f"(mean of {influence.texts} times {longest} tokens)",
            rows(
                [*map(str, distances), "half within"],
                lambda p: [*_norms(p.influence, distances), str(p.influence.half_within)],
            ),
        ),
        (
            "Share of each earlier word in the gradient of the state at the verb",
            rows(
                [*probes[0].agreement.words, "steps from the subject"],
                lambda p: [*_percents(p.agreement.shares), str(p.agreement.steps)],
            ),
        ),
    ]


def markdown(tables: Sequence[Table], command: str) -> str:
    """The tables as a page that says how it was made."""
    parts = [f"# How far back each model remembers\n\nMade by\n\n```sh\n{command}\n```\n"]
    for title, (headings, *rows) in tables:
        lines = [headings, ["---"] * 2 + ["---:"] * (len(headings) - 2), *rows]
        cells = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"{title}\n\n{cells}\n")
    return "\n".join(parts)


def _percents(shares: Sequence[float]) -> list[str]:
    return [f"{share:.1%}" for share in shares]


def _horizon(forgetting: Forgetting) -> str:
    horizon = forgetting.horizon
    return f"> {forgetting.counts[-1]:,}" if horizon is None else f"{horizon:,}"


def _norms(influence: Influence, distances: Sequence[int]) -> list[str]:
    norms = influence.norms
    return [f"{norms[d]:.2g}" if d < len(norms) else "-" for d in distances]
