"""How far back a model remembers: three measures on texts it hasn't seen.

    forgetting   accuracy with k tokens of filler after each text, and before it
    influence    the gradient of the last hidden state with respect to each earlier word
    agreement    the same gradient in one sentence, from its verb back to its subject

The first judges the whole model, its pooling included. The others, in ``gradients.py``, judge the
encoder alone.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.pooling import Pooling
from models.predict import Predictor
from models.verdict import Verdict, judge
from models.windows import truncate
from training.data import Row, label_index
from training.gradients import Agreement, Influence

FILLER_COUNTS = (0, 4, 16, 64, 128, 256, 512, 1024)  # k


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Accuracy on the same texts amid more and more filler.

    Attributes:
        rows: texts.
        chance: the share of the commonest label among them.
        counts: k, tokens of filler, from 0 up.
        appended: accuracy at each k with the filler after the text, which then lies far back.
        prepended: the same with the filler before the text.
        filler_alone: at each k but 0, the verdict on the filler without any text; its score is
            1 / C if the filler is neutral.
    """

    rows: int
    chance: float
    counts: tuple[int, ...]
    appended: tuple[float, ...]
    prepended: tuple[float, ...]
    filler_alone: tuple[Verdict, ...]

    @property
    def horizon(self) -> int | None:
        """``memory_horizon``: where half of the margin is gone, the filler appended."""
        return horizon(self.counts, self.appended, self.chance)

    def to_dict(self) -> dict[str, Any]:
        """For a card: by k, rounded to what the number of rows supports."""
        keys = [str(count) for count in self.counts]
        alone = [{"label": v.label, "score": round(v.score, 3)} for v in self.filler_alone]
        return {
            "rows": self.rows,
            "chance": round(self.chance, 4),
            "appended": dict(zip(keys, (round(a, 4) for a in self.appended), strict=True)),
            "prepended": dict(zip(keys, (round(a, 4) for a in self.prepended), strict=True)),
            "filler_alone": dict(zip(keys[1:], alone, strict=True)),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Forgetting:
        """The inverse of ``to_dict``, but for what was rounded away."""
        return cls(
            rows=values["rows"],
            chance=values["chance"],
            counts=tuple(map(int, values["appended"])),
            appended=tuple(values["appended"].values()),
            prepended=tuple(values["prepended"].values()),
            filler_alone=tuple(
                Verdict(one["label"], one["score"], {}) for one in values["filler_alone"].values()
            ),
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """All that was measured of one model.

    Attributes:
        model: its name.
        sha256: of its weights.
        architecture: a key of the registry.
        pooling: how it makes one vector of its hidden states.
        variant: whether that isn't its architecture's own way.
    """

    model: str
    sha256: str
    architecture: str
    pooling: Pooling
    variant: bool
    forgetting: Forgetting
    influence: Influence
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "sha256": self.sha256,
            "architecture": self.architecture,
            "pooling": self.pooling,
            "variant": self.variant,
            "memory_horizon": self.forgetting.horizon,
            "forgetting": self.forgetting.to_dict(),
            "influence": self.influence.to_dict(),
            "agreement": self.agreement.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Probe:
        """The inverse of ``to_dict``, but for what was rounded away."""
        return cls(
            model=values["model"],
            sha256=values["sha256"],
            architecture=values["architecture"],
            pooling=values["pooling"],
            variant=values["variant"],
            forgetting=Forgetting.from_dict(values["forgetting"]),
            influence=Influence.from_dict(values["influence"]),
            agreement=Agreement.from_dict(values["agreement"]),
        )


def draw(rows: Sequence[Row], count: int) -> list[Row]:
    """``count`` rows by a hash of each text: the same ones whatever their order in the file.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"can't draw {count} rows: at least 1 is needed")
    return sorted(rows, key=lambda row: hashlib.sha256(row.text.encode()).digest())[:count]


def measure_forgetting(
    predictor: Predictor,
    rows: Sequence[Row],
    filler: Sequence[int],
    counts: Sequence[int] = FILLER_COUNTS,
) -> Forgetting:
    """Accuracy with filler appended and prepended, each text read as the service would read it.

    Args:
        predictor: the model.
        rows: at least one.
        filler: token ids, repeated and cut to k.
        counts: k, rising from 0.

    Raises:
        DataError: a row's label isn't one of the model's.
    """
    config, tokenizer = predictor.classifier.config, predictor.tokenizer
    truth = [label_index(row.label, config.labels) for row in rows]
    texts = [tokens.ids for tokens in tokenizer.encode([row.text for row in rows])]

    known: dict[tuple[int, ...], list[float]] = {}  # past its window a model reads the same again

    def logits(long: list[list[int]]) -> list[list[float]]:
        window = config.max_length
        read = [tuple(t if window is None else truncate(t, window)) for t in long]
        unread = [ids for ids in dict.fromkeys(read) if ids not in known]
        known.update(zip(unread, predictor.logits(unread), strict=True))
        return [known[ids] for ids in read]

    def accuracy(long: list[list[int]]) -> float:
        right = [row.index(max(row)) == t for row, t in zip(logits(long), truth, strict=True)]
        return sum(right) / len(right)

    # The filler stands between the special tokens, as if it were typed.
    appended = [accuracy(texts)]
    prepended = appended.copy()
    for k in counts[1:]:
        after, before = repeat(filler, k), repeat(filler, k, whole_at_end=True)
        appended.append(accuracy([[*ids[:-1], *after, ids[-1]] for ids in texts]))
        prepended.append(accuracy([[ids[0], *before, *ids[1:]] for ids in texts]))
    start, end = tokenizer.start_id, tokenizer.end_id
    alone = logits([[start, *repeat(filler, k), end] for k in counts[1:]])
    return Forgetting(
        rows=len(rows),
        chance=max(map(truth.count, truth)) / len(truth),
        counts=tuple(counts),
        appended=tuple(appended),
        prepended=tuple(prepended),
        filler_alone=tuple(
            judge([row], [1], config.labels, predictor.temperature) for row in alone
        ),
    )


def repeat(filler: Sequence[int], count: int, *, whole_at_end: bool = False) -> list[int]:
    """``count`` tokens of the filler, over and over, from its start on or up to its end."""
    shift = -count if whole_at_end else 0
    return [filler[(shift + index) % len(filler)] for index in range(count)]


def horizon(counts: Sequence[int], accuracies: Sequence[float], chance: float) -> int | None:
    """The k at which accuracy has lost half of its margin over chance.

    The first crossing, on a straight line over log2(1 + k) between the two k measured around it. 0
    if there is no margin to lose; None if more than half of it is left at the largest k.
    """
    if accuracies[0] <= chance:
        return 0
    half = (accuracies[0] + chance) / 2
    points = zip(counts, accuracies, strict=True)
    for (before, above), (after, below) in itertools.pairwise(points):
        if below <= half:
            left, right = math.log2(1 + before), math.log2(1 + after)
            crossing = left + (right - left) * (above - half) / (above - below)
            return round(2**crossing - 1)
    return None
