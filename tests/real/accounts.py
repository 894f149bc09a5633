"""Every request that a test sends, what was to come of it, and what did."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.asking import Ask, BrokenError, Reply
from tests.launch import LOCKSTEP, ROOT

REFUSED = {429: {"busy"}, 503: {"not_ready", "worker_lost"}, 504: {"deadline_exceeded"}}


def classified(models: Sequence[str], texts: Sequence[str]) -> dict[tuple[str, str], str]:
    """The label of each (model, text), as ``lockstep classify`` says it."""
    labels = {}
    for model in models:
        command = [*LOCKSTEP, "classify", "--json", "--model", model, *texts]
        printed = subprocess.check_output(command, cwd=ROOT, text=True, stderr=sys.stderr)
        for text, line in zip(texts, printed.splitlines(), strict=True):
            labels[model, text] = json.loads(line)["label"]
    return labels


@dataclass
class Accounts:
    """What was asked and what came.

    Attributes:
        labels: of each (model, text) there is to ask about.
        asked: requests that were drawn to be sent.
        answered: how many came back right.
        refused: how many were refused in form, by status.
        wrong: what else came of a request, in words.
    """

    labels: dict[tuple[str, str], str]
    asked: int = 0
    answered: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """How many something came of."""
        return self.answered + self.refused.total() + len(self.wrong)

    def draw(
        self,
        prefix: str,
        chance: random.Random,
        pause_seconds: float = 0.0,
        timeouts_ms: Sequence[int | None] = (None,),
    ) -> Iterator[Ask]:
        """Requests without end, each under an id of its own.

        Args:
            prefix: of their ids.
            chance: draws the model, the text and the time they are given.
            pause_seconds: half-way through each.
            timeouts_ms: to draw from; None is the service's default.
        """
        pairs = list(self.labels)
        for number in itertools.count():
            self.asked += 1
            model, text = chance.choice(pairs)
            timeout_ms = chance.choice(timeouts_ms)
            yield Ask(f"{prefix}-{number}", model, text, timeout_ms, pause_seconds)

    def settle(self, ask: Ask, came: Reply | BrokenError) -> None:
        """Writes down what came of a request."""
        if isinstance(came, BrokenError):
            self.wrong.append(str(came))
        elif came.status == 200 and came.label == self.labels[ask.model, ask.text]:
            self.answered += 1
        elif is_refusal(came, ask.id):
            self.refused[came.status] += 1
        else:
            self.wrong.append(f"{ask.id}: {came.status} {came.headers} {came.body}")


def is_refusal(reply: Reply, request_id: str) -> bool:
    """Whether it is a problem document that a client may be given for load or a fault of ours."""
    return (
        reply.body.get("code") in REFUSED.get(reply.status, ())
        and reply.headers["content-type"] == "application/problem+json"
        and reply.body["status"] == reply.status
        and reply.body["request_id"] == request_id
        and (reply.status == 504 or int(reply.headers["retry-after"]) >= 1)
    )
