"""One contender asked once: clients in a process of their own, and what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.batching import Latency
from bench.load import Load, Outcome
from bench.processes import HOST, ROOT, Server
from bench.workloads import Request, body

PATIENCE_SECONDS = 600.0  # for the last answers: 128 lists may take a slow server minutes


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender asked once.

    Attributes:
        requests: answered.
        seconds: from the first request to the last answer.
        latency: of all answers, in seconds; the first of each client isn't in it.
        kinds: the same, by kind of text.
        errors: requests without an answer, by what came instead.
        example: of those.
        client_share: of one core, that the clients took.
    """

    requests: int
    seconds: float
    latency: Latency
    kinds: dict[str, Latency]
    errors: dict[str, int]
    example: str
    client_share: float

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @classmethod
    def of(cls, outcome: Outcome) -> Turn:
        """What came of a load."""
        answered = sum(
            len(some) for kept in (outcome.latencies, outcome.firsts) for some in kept.values()
        )
        kinds = outcome.latencies or outcome.firsts  # where nobody was answered twice
        return cls(
            answered,
            outcome.seconds,
            Latency.of([one for some in kinds.values() for one in some]),
            {kind: Latency.of(some) for kind, some in sorted(kinds.items())},
            dict(outcome.errors),
            outcome.example,
            outcome.cpu_seconds / outcome.seconds if outcome.seconds else 0.0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"per_second": self.per_second}


def drive(
    server: Server, asked: Sequence[Request], clients: int, seconds: float, seed: str
) -> Turn:
    """One turn, by clients in a process of their own."""
    load = Load(
        host=HOST,
        port=server.port,
        path=server.path,
        requests=[(kind, body(texts)) for kind, texts in asked],
        clients=clients,
        seconds=seconds,
        patience_seconds=PATIENCE_SECONDS,
        seed=seed,
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        input=json.dumps(asdict(load)).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Turn.of(Outcome(**json.loads(done.stdout)))
