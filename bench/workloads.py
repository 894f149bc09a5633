"""What clients send: real or made-up texts by kind, as the bodies of requests. No torch.

short         one text of at most LONGEST_SHORT tokens a request
long          one longer text
mixed         one text, half of them short and half long
lists         32 short texts
mixed-lists   32 texts, half of them short and half long
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.batching import LONGEST_SHORT
from bench.traffic import made_texts
from models.tokenizer import Tokenizer
from training.data import read

LIST_LENGTH = 32
REQUESTS = 512  # different ones of each kind; what is drawn beyond them comes again
MOST_TEXTS = 1000  # of a file, drawn from all: telling a kind takes its tokens
LONGEST_MADE = 512  # tokens
# Each a token of its own in the shipped vocabulary.
WORDS = [
    *("the", "film", "is", "great", "and", "story", "was", "dull", "not", "slow", "but", "fast"),
    *("with", "fine", "acting", "awful"),
]

Texts = Mapping[str, Sequence[str]]  # by kind, "short" or "long"
Request = tuple[str, Sequence[str]]  # its kind, and its texts


@dataclass(frozen=True, slots=True)
class Workload:
    """A way to ask.

    Attributes:
        name: of it.
        kinds: of texts, each as likely as another.
        texts: of a request.
    """

    name: str
    kinds: tuple[str, ...]
    texts: int = 1


WORKLOADS = {
    one.name: one
    for one in (
        Workload("short", ("short",)),
        Workload("mixed", ("short", "long")),
        Workload("long", ("long",)),
        Workload("lists", ("short",), LIST_LENGTH),
        Workload("mixed-lists", ("short", "long"), LIST_LENGTH),
    )
}


def read_texts(sources: Sequence[str], tokenizer: Tokenizer, seed: int) -> dict[str, list[str]]:
    """Up to ``MOST_TEXTS`` texts of each file by kind; a kind that they hold none of is missing.

    Raises:
        DataError: a file can't be read as texts.
    """
    generator = random.Random(seed)
    found: dict[str, list[str]] = {}
    for source in sources:
        texts = [row.text for row in read(source).rows]
        texts = generator.sample(texts, min(MOST_TEXTS, len(texts)))
        for text, tokens in zip(texts, tokenizer.encode(texts), strict=True):
            kind = "short" if len(tokens.ids) <= LONGEST_SHORT else "long"
            found.setdefault(kind, []).append(text)
    return found


def make_texts(seed: int) -> dict[str, list[str]]:
    """Texts about as long as SST-2's sentences and IMDB's reviews, of words drawn by chance."""
    generator = random.Random(seed)
    lengths = made_texts(MOST_TEXTS, LONGEST_MADE, seed).sources
    made: dict[str, list[str]] = {}
    for length in (length for source in lengths.values() for length in source):
        kind = "short" if length <= LONGEST_SHORT else "long"
        made.setdefault(kind, []).append(" ".join(generator.choices(WORDS, k=length - 2)))
    return made


def requests(workload: Workload, texts: Texts, seed: int) -> list[Request]:
    """``REQUESTS`` of each kind that the client is to tell apart: the kind, and its texts.

    A list's kind is "list". Of a list in two kinds every other text is of the one.

    Raises:
        ValueError: there is no text of a kind.
    """
    missing = [kind for kind in workload.kinds if not texts.get(kind)]
    if missing:
        raise ValueError(
            f"the data hold no {' or '.join(missing)} texts (short is at most {LONGEST_SHORT} "
            f"tokens), which the workload {workload.name} needs"
        )
    generator = random.Random(seed)
    if workload.texts == 1:
        return [
            (kind, [text])
            for kind in workload.kinds
            for text in generator.choices(texts[kind], k=REQUESTS)
        ]
    kinds = [workload.kinds[at % len(workload.kinds)] for at in range(workload.texts)]
    return [("list", [generator.choice(texts[kind]) for kind in kinds]) for _ in range(REQUESTS)]


def body(texts: Sequence[str]) -> str:
    """The JSON that every server here takes."""
    return json.dumps({"inputs": texts[0] if len(texts) == 1 else list(texts)})


def flat(asked: Sequence[Request]) -> list[str]:
    """All texts of some requests, in order."""
    return [text for _, texts in asked for text in texts]
