"""What a soak says of samples that grow and of samples that don't."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from bench.asking import Ask, BrokenError, Reply
from bench.soak import LONG_SHARE, LONG_TEXTS, TOLERANCES, Sample, Soak, asks, grown, growth, report


def samples(memory: float = 0, files: float = 0, latency: float = 0) -> list[Sample]:
    """Forty, each growing by so much from the first to the last, with some noise."""
    chance = random.Random(1)
    made = []
    for number in range(40):
        share = number / 39
        made.append(
            Sample(
                requests=100 * (number + 1),
                seconds=float(number),
                memory=(500 * (1 + memory * share) + chance.uniform(-1, 1), 100.0),
                files=round(80 * (1 + files * share)),
                latencies=(8 * (1 + latency * share) + chance.uniform(-0.3, 0.3), 30.0),
            )
        )
    return made


def test_growth_is_a_lines() -> None:
    assert growth([1, 2, 3, 4], [10, 11, 12, 13]) == pytest.approx(3 / 11.5)
    assert growth([1, 2, 3, 4], [5, 5, 5, 5]) == 0


def test_steady_service_passes() -> None:
    found = grown(samples())
    assert all(found[what] <= allowed for what, allowed in TOLERANCES.items())
    assert "GROWS" not in report(samples())


@pytest.mark.parametrize("what", TOLERANCES)
def test_growth_is_found(what: str) -> None:
    growing = samples(**{what: 4 * TOLERANCES[what]})
    found = grown(growing)
    assert {one for one, allowed in TOLERANCES.items() if found[one] > allowed} == {what}
    assert report(growing).count("GROWS") == 1


def test_start_is_left_out_of_the_fit() -> None:
    settled = samples()
    first = Sample(100, 0.0, (100.0, 50.0), 30, (80.0, 90.0))
    assert grown([first, *settled[1:]]) == grown(settled)


def test_table_has_the_first_and_the_last() -> None:
    lines = report(samples()).splitlines()
    assert lines[2].startswith("| 100 |")
    assert [line for line in lines if line.startswith("| ")][-1].startswith("| 4,000 |")


def test_one_text_in_a_hundred_is_long() -> None:
    sent = list(asks(["lstm", "cnn"], 20_000, seed=1))
    long = sum(ask.text in LONG_TEXTS for ask in sent)
    assert long / len(sent) == pytest.approx(LONG_SHARE, rel=0.3)
    assert len({ask.id for ask in sent}) == len(sent)
    models = Counter(ask.model for ask in sent)
    assert models["lstm"] == pytest.approx(models["cnn"], rel=0.1)


def test_wrong_answers_are_told_of() -> None:
    watched = Soak(leader=0, every=1000, last=5000)

    def reply(label: str, status: int = 200) -> Reply:
        return Reply(status, {}, {"results": [{"label": label}]}, 0.01)

    one, other = Ask("1", "lstm", "fine"), Ask("2", "cnn", "fine")
    watched.settle(one, reply("positive"))
    watched.settle(one, reply("positive"))
    watched.settle(other, reply("negative"))
    assert watched.wrong == []
    watched.settle(one, reply("negative"))
    watched.settle(other, reply("", status=503))
    watched.settle(other, BrokenError("no answer"))
    assert len(watched.wrong) == 3
    assert watched.answered == 6


def test_sample_sees_this_process_and_what_was_answered() -> None:
    watched = Soak(leader=os.getpgid(0), every=1, last=2)
    for number in range(4):
        reply = Reply(200, {}, {"results": [{"label": "positive"}]}, 0.01)
        watched.settle(Ask(str(number), "lstm", "fine"), reply)
    sample, second = watched.samples
    assert (sample.requests, second.requests) == (1, 2)  # and none later than the last
    assert sample.latencies == (10.0, 10.0)
    assert sum(sample.memory) > 5
    assert sample.files > 3
