"""Text to tokens: MiniLM's WordPiece, run by Hugging Face ``tokenizers`` (Rust). No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from models.errors import CheckpointError, TextError
from models.word_pieces import WordPieces

FILE_NAME = "tokenizer.json"
# Texts of so many characters, all together, are looked up word by word, in a millisecond or two;
# longer ones are the library's, which lets the interpreter's lock go meanwhile.
BY_WORD_CHARACTERS = 16_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as ids, the special tokens around it included.

    Attributes:
        ids: token ids; the first and the last are the special tokens.
        unknown: how many of them are the unknown token.
    """

    ids: list[int]
    unknown: int


class Tokenizer:
    """Reads ``tokenizer.json``, which also says what to clean (HTML breaks, case, accents).

    Plain texts of moderate length, which most are, are looked up word by word.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer, self._words = tokenizer, WordPieces.of(tokenizer)
        # A text that spells "[SEP]" means those five characters, not the special token.
        tokenizer.encode_special_tokens = True
        self.start_id = self._id("[CLS]")
        self.end_id = self._id("[SEP]")
        self.padding_id = self._id("[PAD]")
        self.unknown_id = self._id("[UNK]")
        self.mask_id = self._id("[MASK]")

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a ``wordpiece`` folder.

        Raises:
            CheckpointError: the file is missing or isn't a tokenizer.
        """
        path = folder / FILE_NAME
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"{path} can't be read as a tokenizer: {error}") from error

    @property
    def vocab_size(self) -> int:
        size: int = self._tokenizer.get_vocab_size()
        return size

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, uncut and unpadded.

        Raises:
            TextError: a text isn't Unicode (an unpaired surrogate), or has no token of its own.
        """
        for index, text in enumerate(texts):
            if not text.isascii() and not _is_unicode(text):
                raise TextError(index, "holds an unpaired surrogate: it isn't Unicode text")
        tokens = [Tokens(ids, ids.count(self.unknown_id)) for ids in self._ids(texts)]
        for index, encoded in enumerate(tokens):
            if len(encoded.ids) <= 2:
                raise TextError(
                    index, "is empty: it has nothing but white space or control characters"
                )
        return tokens

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        words = self._words
        few = sum(map(len, texts)) <= BY_WORD_CHARACTERS
        if words is not None and few and all(map(words.is_plain, texts)):
            return [[self.start_id, *words.ids(text), self.end_id] for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def known(self, tokens: Iterable[str]) -> set[int]:
        """Ids of those tokens that the vocabulary has."""
        ids = (self._tokenizer.token_to_id(token) for token in tokens)
        return {token_id for token_id in ids if token_id is not None}

    def _id(self, token: str) -> int:
        token_id: int | None = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise CheckpointError(f"the tokenizer has no {token} token")
        return token_id


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
