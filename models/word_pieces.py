"""Pieces of words that were read before: most of a text's are, so most is looked up. No torch."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

import tokenizers

HTML_BREAK = {"type": "Replace", "pattern": {"Regex": r"<br\s*/?>"}, "content": " "}
CLEANING = {
    "type": "Sequence",
    "normalizers": [
        HTML_BREAK,
        {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
    ],
}
WORDS = {"type": "BertPreTokenizer"}
AROUND = [  # of the text's own, A
    {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
]
MOST_WORDS = 1 << 15  # that are remembered: 8 MB of English, 30 of what somebody made up
LONGEST_WORD = 24  # in characters: a longer one is hardly seen again

_PLAIN = re.compile(r"[\t\n\r\x20-\x7e\x80-\x9f\xadÀ-ÖØ-öø-ÿ]*")
_BREAK = re.compile(HTML_BREAK["pattern"]["Regex"])  # type: ignore[index]
# As BertPreTokenizer parts plain text that was cleaned.
_WORD = re.compile(r"[a-z0-9ßæðøþ]+|[^a-z0-9ßæðøþ\s]")


def _cleaned(character: str) -> str:
    """What cleaning leaves of one that isn't ASCII: no accent, and nothing of the invisible."""
    if unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    parts = unicodedata.normalize("NFD", character)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


_CLEANED = {code: _cleaned(chr(code)) for code in range(0x80, 0x100)}


class WordPieces:
    """The ids of plain texts, word by word.

    Plain are ASCII, but for its control characters, and the accented letters and the invisible
    characters of Latin-1: nearly all English texts. How a word is cut depends on that word alone,
    so the library is asked once for each: a fifth of the time that asking for each text takes. It
    lets the interpreter's lock go meanwhile; looking up keeps it.

    Args:
        tokenizer: the library's, that takes texts as they are.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer) -> WordPieces | None:
        """Those of a tokenizer; None where it doesn't do to texts exactly what is done here."""
        description = json.loads(tokenizer.to_str())
        ours = (
            description["normalizer"] == CLEANING
            and description["pre_tokenizer"] == WORDS
            and (description["post_processor"] or {}).get("single") == AROUND
            and description["truncation"] is None
            and description["padding"] is None
            and all(token["special"] for token in description["added_tokens"])
        )
        if not ours:
            return None
        uncleaned = tokenizers.Tokenizer.from_str(json.dumps(description | {"normalizer": None}))
        uncleaned.encode_special_tokens = True
        return cls(uncleaned)

    @staticmethod
    def is_plain(text: str) -> bool:
        """Whether ``ids`` may be asked for it."""
        return _PLAIN.fullmatch(text) is not None

    def ids(self, text: str) -> list[int]:
        """Token ids of a plain text, special tokens left out."""
        if "<" in text:
            text = _BREAK.sub(" ", text)
        text = text.lower()
        if not text.isascii():
            text = text.translate(_CLEANED)
        words = _WORD.findall(text)
        try:
            pieces = list(map(self._known.__getitem__, words))
        except KeyError:
            pieces = self._learn(words)
        return list(chain.from_iterable(pieces))

    def _learn(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Pieces of each word; the library is asked for those that are new, all at once."""
        known = self._known  # whatever another thread does: what is in it stays in it
        new = list(dict.fromkeys(word for word in words if word not in known))
        (encoding,) = self._tokenizer.encode_batch([" ".join(new)], add_special_tokens=False)
        cuts: dict[int | None, list[int]] = {number: [] for number in range(len(new))}
        for token_id, number in zip(encoding.ids, encoding.word_ids, strict=True):
            cuts[number].append(token_id)
        learnt = {word: tuple(cuts[number]) for number, word in enumerate(new)}
        pieces = [learnt.get(word) or known[word] for word in words]
        if len(known) + len(learnt) > MOST_WORDS:
            known = self._known = {}  # what is used is soon there again
        known.update((word, cut) for word, cut in learnt.items() if len(word) <= LONGEST_WORD)
        return pieces
