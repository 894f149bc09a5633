"""The contract that every architecture meets: one config, one encoder, one classifier around it.

    input_ids -> FrozenEmbedding -> Encoder -> pooling -> head -> logits
                 shared              differs   shared     shared

Only the encoder differs between two models, so a difference in latency or accuracy is a difference
of architecture.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from models.embedding import FrozenEmbedding
from models.errors import InputError
from models.packed import Packable
from models.pooling import POOLINGS, Pooling, pooled_size
from models.reader import Reader
from models.rows import usual
from models.shared_weights import Hold, own

Schedule = Literal["serial", "parallel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierConfig:
    """What every architecture's config holds; each adds its encoder's own sizes.

    Attributes:
        labels: names of the classes, in the order of the logits.
        input_size: E, the width of the shared embedding table.
        pooling: how hidden states become one vector.
        max_length: the encoder's window in tokens, special tokens included; None reads any length.
    """

    labels: tuple[str, ...] = ("negative", "positive")
    input_size: int = 384  # MiniLM's word table, which all models share
    pooling: Pooling = "mean_max"  # each beat the other alone on some data set; both cost little
    max_length: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``type(config)(**values)`` takes them back."""
        return asdict(self) | {"labels": list(self.labels)}


class Encoder(nn.Module, ABC):
    """Turns embeddings into hidden states; knows what that costs.

    Subclasses set ``output_size`` (D) in their constructor. ``schedules`` names the orders in which
    the same weights can be run; an architecture with only one leaves it empty. ``reach`` tells what
    ``stride`` is. ``exact_up_to`` are the tokens up to which padding costs more than a new length.
    ``share_rows`` lets a batch be laid out with hardly any padding (``attending.py``).
    """

    schedules: ClassVar[tuple[Schedule, ...]] = ()
    stride: ClassVar[int] = 0
    exact_up_to: int = 0
    share_rows: bool = False
    output_size: int

    @abstractmethod
    def forward(
        self, embeddings: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        """(B, T, E) and (B, T) -> (B, T, D). Hidden states at padding are unspecified."""

    @abstractmethod
    def flops(self, length: int) -> int:
        """Floating point operations (2 a multiply-add, matrix products only) for one text."""

    @abstractmethod
    def sequential_depth(self, length: int, schedule: Schedule | None = None) -> int:
        """Steps that must wait for one another, for a text of ``length`` tokens."""

    @abstractmethod
    def reach(self) -> tuple[int | None, ...]:
        """Words away that the state at a word has read after 1, 2, ... steps; None for all of them.

        A step is a layer over all words at once or, where states are handed along, one word of one
        layer. Each step after those told adds ``stride`` words: 1 where states are handed along.
        """

    def pack(self, hold: Hold = own) -> None:
        """Lays the weights out as this CPU reads them fastest, for good. Raises as a layer does.

        Args:
            hold: where those lie that no call of torch's reads; torch has the others itself.
        """
        for module in self.modules():
            if isinstance(module, Packable):
                module.pack()

    def reader(
        self, embedding: FrozenEmbedding, pooling: Pooling, head: nn.Linear, window: int | None
    ) -> Reader | None:
        """A native way from ids to logits; None where it has none, as before ``pack``.

        Args:
            embedding: the table.
            pooling: of the states.
            head: what it reads then.
            window: the most tokens of a text; None reads any length.
        """
        return None

    @property
    def pads(self) -> bool:
        """Whether on a CPU each text of a batch costs what the longest one does."""
        return True

    def computed_tokens(self, lengths: Sequence[int], T: int) -> int:
        """Tokens that a forward on a CPU computes for texts of these lengths, in a batch (B, T)."""
        return T * len(lengths)

    def path(self, distance: int) -> int | None:
        """Fewest steps until the state at a word has read one ``distance`` away; None: never."""
        reach = self.reach()
        for steps, words in enumerate(reach, start=1):
            if words is None or words >= distance:
                return steps
        beyond = distance - (reach[-1] or 0)
        return len(reach) + -(-beyond // self.stride) if self.stride else None

    def longest_path(self, length: int) -> int:
        """Steps between the two words furthest apart (arXiv 1706.03762, table 1).

        An encoder whose states don't read so far tells how many such layers it would take.
        """
        steps = self.path(length - 1)
        if steps is None:
            raise NotImplementedError(f"no state has read a word {length - 1} away")
        return steps


class Classifier(nn.Module):
    """One encoder between the shared embedding, a pooling and a linear head.

    Args:
        config: the architecture's config.
        encoder: built from that config.
        embedding: the table shared by all models of the process.

    Attributes:
        reader: a native way from ids to logits, where there is one once it is packed.
    """

    reader: Reader | None = None

    def __init__(
        self, config: ClassifierConfig, encoder: Encoder, embedding: FrozenEmbedding
    ) -> None:
        super().__init__()
        if embedding.width != config.input_size:
            raise InputError(
                f"the embedding is {embedding.width} wide; the config says {config.input_size}"
            )
        self.config = config
        self.embedding = embedding
        self.encoder = encoder
        self.pool = POOLINGS[config.pooling]
        width = pooled_size(config.pooling, encoder.output_size)
        self.head = nn.Linear(width, len(config.labels))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        """Logits of each row.

        Args:
            input_ids: (B, T) int64, padded on the right with any id of the vocabulary.
            attention_mask: (B, T) bool, True = a real token; True comes first in each row.
            schedule: one of the encoder's ``schedules``; None for its default.

        Returns:
            (B, C), in the dtype of the parameters, not yet calibrated.

        Raises:
            InputError: the tensors don't fit the contract. On a GPU only their shapes are looked
                at, since each look at a number there waits for all that came before it: what is
                copied to one has passed ``check`` on the host.
        """
        logits: Tensor = self.head(self.summarize(input_ids, attention_mask, schedule))  # (B, C)
        return logits

    def summarize(
        self, input_ids: Tensor, attention_mask: Tensor, schedule: Schedule | None = None
    ) -> Tensor:
        """What the head reads of each row: its hidden states, pooled. Args and raises as forward.

        Returns:
            (B, P), in the dtype of the parameters.
        """
        self.check(input_ids, attention_mask, schedule)
        embeddings = self.embedding(input_ids).to(self.head.weight.dtype)  # (B, T, E)
        hidden_states = self.encoder(embeddings, attention_mask, schedule)  # (B, T, D)
        return self.pool(hidden_states, attention_mask)  # (B, P)

    def cast(self, dtype: torch.dtype) -> Self:
        """Computes in ``dtype`` from now on. The shared table keeps its own: others read it too."""
        self.encoder.to(dtype)
        self.head.to(dtype)
        return self

    def usual_length(self, length: int) -> int:
        """T of a batch on a CPU whose longest text has ``length`` tokens: see ``rows.py``."""
        limit = self.config.max_length or math.inf
        longer = usual(length)
        return longer if self.encoder.exact_up_to < length and longer <= limit else length

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Tokens that a forward on a CPU computes for texts of these lengths, padding included."""
        return self.encoder.computed_tokens(lengths, self.usual_length(max(lengths)))

    def pack(self, hold: Hold = own) -> Self:
        """Lays the encoder's weights out as this CPU reads them fastest, for good.

        From then on it answers as before and does nothing else: it can't be trained, cast, moved,
        copied or saved.

        Args:
            hold: see ``Encoder.pack``.

        Raises:
            RuntimeError: this processor has no such layout in the dtype of the weights.
        """
        self.encoder.pack(hold)
        config = self.config
        self.reader = self.encoder.reader(
            self.embedding, config.pooling, self.head, config.max_length
        )
        return self

    def check_schedule(self, schedule: Schedule | None) -> None:
        """Raises InputError where the encoder can't be run so."""
        if schedule is not None and schedule not in self.encoder.schedules:
            known = ", ".join(self.encoder.schedules) or "none"
            raise InputError(f"this architecture has no schedule {schedule!r}; it has: {known}")

    def check(self, input_ids: Tensor, attention_mask: Tensor, schedule: Schedule | None) -> None:
        """Raises InputError where the tensors break the contract of ``forward``.

        What the tensors hold is looked at on the host alone.
        """
        if input_ids.ndim != 2 or input_ids.shape != attention_mask.shape:
            raise InputError(
                "input_ids and attention_mask must both be (B, T); got "
                f"{tuple(input_ids.shape)} and {tuple(attention_mask.shape)}"
            )
        if input_ids.dtype != torch.int64 or attention_mask.dtype != torch.bool:
            raise InputError(
                "input_ids must be int64 and attention_mask bool; got "
                f"{input_ids.dtype} and {attention_mask.dtype}"
            )
        self.check_schedule(schedule)
        limit = self.config.max_length
        if limit is not None and input_ids.shape[1] > limit:
            raise InputError(f"{input_ids.shape[1]} tokens; the encoder's window is {limit}")
        if input_ids.device.type != "cpu":
            return
        if input_ids.numel() == 0 or not bool(attention_mask[:, 0].all()):
            raise InputError(
                "a row has no real token at its start: its mask is empty, or padded left"
            )
        if bool((attention_mask[:, 1:] & ~attention_mask[:, :-1]).any()):
            raise InputError(
                "attention_mask must be True for the first tokens of a row, then False"
            )
        smallest, largest = input_ids.aminmax()
        if int(smallest) < 0 or int(largest) >= self.embedding.vocab_size:
            raise InputError(
                f"ids run from {int(smallest)} to {int(largest)}; "
                f"the vocabulary has {self.embedding.vocab_size}"
            )
