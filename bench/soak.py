"""Many requests to a running service, and whether anything grows with them. Linux alone.

Short texts over all models by chance, one in a hundred long. Every answer must have the label that
its text had before. Memory is proportional (PSS): a page that several processes share counts once
between them. What is fitted is what comes after the first half: until then allocators and
oneDNN's caches fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.asking import Ask, BrokenError, Reply, ask_all

HOST = "127.0.0.1"
SAMPLES = 40
SETTLED = 0.5  # of the samples come before the fit
LONG_SHARE = 0.01
# Each far from the middle for every model: which batch it rides in can't turn its label.
SHORT_TEXTS = (
    "a gorgeous , witty , seductive movie .",
    "the plot is nothing but boilerplate cliches from start to finish .",
    "an utterly compelling portrait that never once loses its nerve",
    "it 's slow -- very , very slow , and dull .",
    "One of the best films of the year, moving and beautifully acted.",
    "A complete waste of time: badly written, badly acted and boring.",
)
# Some 130, 400 and 700 tokens: the last is past every window.
LONG_TEXTS = tuple(
    " ".join([text] * times) for text, times in zip(SHORT_TEXTS[:3], (13, 30, 55), strict=True)
)
# Of what is fitted: by how much it may grow from the fit's first sample to its last.
TOLERANCES = {"memory": 0.05, "files": 0.02, "latency": 0.25}


@dataclass(frozen=True, slots=True)
class Sample:
    """What was found after so many requests.

    Attributes:
        requests: answered until then.
        seconds: since the first one.
        memory: MB (PSS) of the workers, of the other processes.
        files: open in all processes.
        latencies: median and 99th percentile, in ms, of the answers since the sample before.
    """

    requests: int
    seconds: float
    memory: tuple[float, float]
    files: int
    latencies: tuple[float, float]


@dataclass
class Soak:
    """A service under watch.

    Attributes:
        leader: its process, and the id of its group.
        every: requests from one sample to the next.
        last: no sample comes after so many: clients that are done close their connections.
        samples: so far.
        wrong: answers that weren't, in words.
    """

    leader: int
    every: int
    last: int
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    labels: dict[tuple[str, str], str | None] = field(default_factory=dict)
    answered: int = 0
    began: float = field(default_factory=time.perf_counter)
    _latencies: list[float] = field(default_factory=list)

    def settle(self, ask: Ask, came: Reply | BrokenError) -> None:
        """Takes note of what came of a request."""
        self.answered += 1
        if isinstance(came, BrokenError):
            self.wrong.append(str(came))
        elif came.status != 200:
            self.wrong.append(f"{ask.id}: {came.status} {came.body}")
        else:
            self._latencies.append(came.seconds)
            if self.labels.setdefault((ask.model, ask.text), came.label) != came.label:
                self.wrong.append(f"{ask.id}: {ask.model} says {came.label} now: {ask.text[:60]}")
        if self.answered % self.every == 0 and self.answered <= self.last:
            self.sample()

    def sample(self) -> None:
        """Looks at every process."""
        worker, others, files = 0.0, 0.0, 0
        for pid in _group(self.leader):
            process = Path(f"/proc/{pid}")
            files += len(list((process / "fd").iterdir()))
            if "libtorch" in (process / "maps").read_text():
                worker += _megabytes(pid)
            else:
                others += _megabytes(pid)
        ordered = sorted(self._latencies) or [float("nan")]
        median, high = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        self._latencies = []
        self.samples.append(
            Sample(
                self.answered,
                time.perf_counter() - self.began,
                (worker, others),
                files,
                (median * 1e3, high * 1e3),
            )
        )


def asks(models: Sequence[str], count: int, seed: int) -> Iterator[Ask]:
    """What is sent: a model and a text by chance, one text in a hundred long."""
    chance = random.Random(seed)
    for number in range(count):
        texts = LONG_TEXTS if chance.random() < LONG_SHARE else SHORT_TEXTS
        yield Ask(f"soak-{seed}-{number}", chance.choice(models), chance.choice(texts))


def soak(
    port: int, leader: int, models: Sequence[str], requests: int, clients: int, seed: int = 1
) -> Soak:
    """Sends them all, from so many clients, and looks every so often.

    Args:
        port: of the service on this machine.
        leader: its process, and the id of its group.
        models: asked, each as often as another.
        requests: to send; at least as many as samples.
        clients: that each wait for their answer.
        seed: of what is drawn.
    """
    watched = Soak(leader, every=max(1, requests // SAMPLES), last=requests - clients)
    sent = asks(models, requests, seed)
    asyncio.run(ask_all((HOST, port), sent, clients, watched.settle))
    return watched


def growth(counts: Sequence[float], values: Sequence[float]) -> float:
    """From the first to the last by a least-squares line, as a share of the line's mean."""
    slope, _ = statistics.linear_regression(counts, values)
    return slope * (counts[-1] - counts[0]) / statistics.fmean(values)


def grown(samples: Sequence[Sample]) -> dict[str, float]:
    """By how much each of TOLERANCES grew, once settled."""
    settled = samples[int(len(samples) * SETTLED) :]
    counts = [sample.requests for sample in settled]
    return {
        "memory": growth(counts, [sum(sample.memory) for sample in settled]),
        "files": growth(counts, [sample.files for sample in settled]),
        "latency": growth(counts, [sample.latencies[0] for sample in settled]),
    }


def report(samples: Sequence[Sample], rows: int = 10) -> str:
    """A table over time, and what the fits say."""
    lines = [
        "| requests | s | workers MB | others MB | open files | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    step = max(1, len(samples) // rows)
    for sample in [samples[0], *samples[step - 1 :: step]]:
        worker, others = sample.memory
        median, high = sample.latencies
        lines.append(
            f"| {sample.requests:,} | {sample.seconds:.0f} | {worker:.1f} | {others:.1f} "
            f"| {sample.files} | {median:.1f} | {high:.1f} |"
        )
    lines.append("")
    for what, share in grown(samples).items():
        verdict = "holds" if share <= TOLERANCES[what] else "GROWS"
        lines.append(
            f"{what}: {share:+.1%} by a linear fit, {TOLERANCES[what]:.0%} let pass: {verdict}"
        )
    return "\n".join(lines)


def _group(leader: int) -> list[int]:
    """Processes of a process group."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            if os.getpgid(pid) == leader:
                found.append(pid)
    return found


def _megabytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0
