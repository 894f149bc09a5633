"""What an encoder's hidden state still depends on: its gradient with respect to earlier words.

A pooling over all hidden states can make up for an encoder that forgets, by reading each word from
the state beside it. The gradient of a single state can't be made up for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.base import Encoder
from models.errors import InputError
from models.predict import Predictor, collate
from models.tokenizer import Tokenizer
from training.data import Row

LENGTH = 256  # tokens of a text whose gradients are taken
TEXTS = 16
BATCH = 4  # texts at once: for the way back attention keeps T² numbers a head and text
DIRECTIONS = 4  # in which a hidden state's movement is measured
SENTENCE = ("The", "boy", "who", "loves", "playing", "in", "the", "yard", "is", "happy", ".")
SUBJECT, VERB = SENTENCE.index("boy"), SENTENCE.index("is")


@dataclass(frozen=True, slots=True)
class Influence:
    """How much the last hidden state depends on the token d before it.

    Attributes:
        texts: how many it is the mean of.
        norms: by d from 0, relative to that at d = 0; see ``gradient_norms``.
    """

    texts: int
    norms: tuple[float, ...]

    @property
    def half_within(self) -> int:
        """The smallest d up to which half of the norms' sum lies."""
        sums = list(itertools.accumulate(self.norms))
        return next(d for d, total in enumerate(sums) if total >= sums[-1] / 2)

    def to_dict(self) -> dict[str, Any]:
        return {
            "texts": self.texts,
            "half_within": self.half_within,
            "norms": [float(f"{norm:.4g}") for norm in self.norms],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Influence:
        """The inverse of ``to_dict``, but for what was rounded away."""
        return cls(values["texts"], tuple(values["norms"]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the hidden state at the verb of SENTENCE depends on.

    Attributes:
        words: those before the verb.
        shares: each word's share of the sum of their gradient norms.
        steps: the fewest after which the state at the verb has read the subject.
    """

    words: tuple[str, ...]
    shares: tuple[float, ...]
    steps: int

    @property
    def subject_share(self) -> float:
        return self.shares[SUBJECT]

    def to_dict(self) -> dict[str, Any]:
        shares = (round(share, 4) for share in self.shares)
        return {"words": list(self.words), "shares": list(shares), "steps": self.steps}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Agreement:
        """The inverse of ``to_dict``, but for what was rounded away."""
        return cls(tuple(values["words"]), tuple(values["shares"]), values["steps"])


def measure_influence(predictor: Predictor, rows: Sequence[Row], length: int = LENGTH) -> Influence:
    """Gradient norms of the last hidden state, averaged over texts made of ``rows``.

    The rows are run together and cut into texts of ``length`` tokens, or of the model's window if
    that is shorter: every distance is then seen equally often. At most TEXTS of them are taken.
    """
    length = min(length, predictor.classifier.config.max_length or length)
    texts = run_together(predictor.tokenizer, rows, length)[:TEXTS]
    position = len(texts[0]) - 1
    norms = [
        text_gradient_norms(predictor, texts[start : start + BATCH], position)
        for start in range(0, len(texts), BATCH)
    ]
    by_distance = torch.cat(norms).mean(dim=0).flip(0)  # (T,), d = 0 first
    if by_distance[0] > 0:
        by_distance = by_distance / by_distance[0]
    return Influence(len(texts), tuple(by_distance.tolist()))


def run_together(tokenizer: Tokenizer, rows: Sequence[Row], length: int) -> list[list[int]]:
    """The rows' tokens, one row after another, as texts of ``length`` tokens; the rest is left out.

    Rows that don't fill one text make a shorter one.
    """
    encoded = tokenizer.encode([row.text for row in rows])
    content = [token for tokens in encoded for token in tokens.ids[1:-1]]
    size = min(length - 2, len(content))  # what fits between the special tokens
    return [
        [tokenizer.start_id, *content[start : start + size], tokenizer.end_id]
        for start in range(0, len(content) - size + 1, size)
    ]


def measure_agreement(predictor: Predictor) -> Agreement:
    """What the state at the verb of SENTENCE takes from its subject and the words between.

    Raises:
        InputError: the model's window is shorter than the sentence.
    """
    tokenizer, classifier = predictor.tokenizer, predictor.classifier
    pieces = [tokens.ids[1:-1] for tokens in tokenizer.encode(SENTENCE)]
    ids = [tokenizer.start_id, *itertools.chain(*pieces), tokenizer.end_id]
    window = classifier.config.max_length
    if window is not None and len(ids) > window:
        raise InputError(f"the example has {len(ids)} tokens; the encoder's window is {window}")
    ends = list(itertools.accumulate(map(len, pieces)))  # position of each word's last piece
    squares = text_gradient_norms(predictor, [ids], ends[VERB])[0].square()  # (T,)
    norms = [
        float(squares[end - len(piece) + 1 : end + 1].sum().sqrt())
        for end, piece in zip(ends[:VERB], pieces[:VERB], strict=True)
    ]
    total = sum(norms) or 1.0
    return Agreement(
        words=SENTENCE[:VERB],
        shares=tuple(norm / total for norm in norms),
        steps=classifier.encoder.longest_path(ends[VERB] - ends[SUBJECT] + 1),
    )


def text_gradient_norms(
    predictor: Predictor, texts: Sequence[Sequence[int]], position: int
) -> Tensor:
    """``gradient_norms``, (B, T), of texts of one length."""
    classifier = predictor.classifier
    input_ids, attention_mask = collate(texts)
    embeddings = classifier.embedding(input_ids).to(classifier.head.weight.dtype)  # (B, T, E)
    return gradient_norms(classifier.encoder, embeddings, attention_mask, position)


def gradient_norms(
    encoder: Encoder,
    embeddings: Tensor,
    attention_mask: Tensor,
    position: int,
    directions: int = DIRECTIONS,
) -> Tensor:
    """How far the hidden state h at ``position`` moves with the embedding e_t of each token.

    With J_t = dh/de_t, (D, E), and u one of ``directions`` orthonormal vectors, drawn once and for
    all: the root of the mean of ||J_t^T u||². It estimates ||J_t||_F / sqrt(D), and is that with D
    directions (Hutchinson 1990, Communications in Statistics 19:433).

    Args:
        encoder: in evaluation mode, on the CPU.
        embeddings: (B, T, E).
        attention_mask: (B, T).
        position: of the hidden state, the same in each row.
        directions: a backward pass each.

    Returns:
        (B, T) float64: the square of a small gradient is below what float32 can hold.
    """
    embeddings = embeddings.detach().requires_grad_()
    hidden_state = encoder(embeddings, attention_mask)[:, position]  # (B, T, D) -> (B, D)
    squares = torch.zeros(embeddings.shape[:2], dtype=torch.float64)
    vectors = orthonormal(encoder.output_size, directions).to(hidden_state.dtype)  # (n, D)
    for vector in vectors:
        along = (hidden_state @ vector).sum()  # rows don't mix, so their sum keeps them apart
        (gradient,) = torch.autograd.grad(along, embeddings, retain_graph=True)  # (B, T, E)
        squares += gradient.double().square().sum(dim=-1)
    return (squares / len(vectors)).sqrt()


def orthonormal(width: int, count: int) -> Tensor:
    """``count`` vectors, at most ``width``, in random directions that are always the same."""
    noise = torch.randn(width, count, generator=torch.Generator().manual_seed(0))
    vectors: Tensor = torch.linalg.qr(noise).Q.T  # (width, count) -> (count, width)
    return vectors
