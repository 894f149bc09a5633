"""What can be wrong with a model's input or its files.

ModelError
├── InputError                the caller's: what was asked can't be computed
│   └── TextError             one text of a list, named by its index
│       ├── TextTooLongError  more tokens than the limit set for one text
│       └── WindowError       longer than the encoder's window, and cutting was declined
└── CheckpointError           the operator's: a folder of weights/ that must not be served
"""

from __future__ import annotations


class ModelError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(ModelError, ValueError):
    """An input that the model can't take."""


class TextError(InputError):
    """One text of a list can't be read. The text itself is never part of the message.

    Attributes:
        index: position of the text in the list it came in.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"text {index} {reason}")
        self.index = index


class TextTooLongError(TextError):
    """A text has more tokens than the limit for one text.

    Attributes:
        tokens: its length in tokens, special tokens included.
        limit: the most tokens allowed.
    """

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(index, f"has {tokens} tokens; the limit is {limit}")
        self.tokens, self.limit = tokens, limit


class WindowError(TextError):
    """A text is longer than the encoder's window and ``long_input`` is ``error``.

    Attributes:
        tokens: its length in tokens, special tokens included.
        window: the encoder's window in tokens.
    """

    def __init__(self, index: int, tokens: int, window: int) -> None:
        super().__init__(index, f"has {tokens} tokens; the model's window is {window}")
        self.tokens, self.window = tokens, window


class CheckpointError(ModelError):
    """A checkpoint folder is incomplete, damaged, or doesn't belong to its tokenizer."""
