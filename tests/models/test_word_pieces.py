"""Words that are remembered: few at a time, whoever asks for them, and asked for once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import tokenizers

from cli.common import WEIGHTS
from models import word_pieces
from models.word_pieces import WordPieces

LIBRARY = tokenizers.Tokenizer.from_file(str(WEIGHTS / "wordpiece" / "tokenizer.json"))


class Asked:
    """The library, and what it is asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[tokenizers.Encoding]:
        self.texts.extend(texts)
        return LIBRARY.encode_batch(texts, add_special_tokens=add_special_tokens)


def ids(text: str) -> list[int]:
    return LIBRARY.encode(text, add_special_tokens=False).ids


def test_library_is_asked_once_for_a_word() -> None:
    asked = Asked()
    words = WordPieces(asked)  # type: ignore[arg-type]
    assert words.ids("An unfathomably good, good film") == ids("an unfathomably good, good film")
    assert words.ids("A film: unfathomably good!") == ids("a film: unfathomably good!")
    assert words.ids("good good") == ids("good good")
    assert asked.texts == ["an unfathomably good , film", "a : !"]


def test_no_more_words_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "MOST_WORDS", 3)
    asked = Asked()
    words = WordPieces(asked)  # type: ignore[arg-type]
    for text in ("a good film", "a bad film", "a b c d e f"):
        assert words.ids(text) == ids(text)
        assert len(words._known) <= 6  # of one text there may be more
    assert asked.texts == ["a good film", "bad", "a b c d e f"]


def test_words_that_nobody_writes_twice_are_not_kept() -> None:
    words = WordPieces(LIBRARY)
    text = f"a {'good' * 7} film {'w' * 5000}"
    assert words.ids(text) == words.ids(text) == ids(text)
    assert set(words._known) == {"a", "film"}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("fine\t\r\n <br/>~", True),
        ("", True),
        ("Caf\u00e9 \u00c0\u00ff \x96 \x85\xad", True),
        ("\xa310", False),
        ("\xd7", False),
        ("caf\u0117", False),
        ("a\x7f", False),
        ("\x0b", False),
    ],
)
def test_plain_is_what_is_cleaned_alike(text: str, plain: bool) -> None:
    assert WordPieces.is_plain(text) is plain


def test_each_plain_character_is_cleaned_as_the_library_does() -> None:
    words = WordPieces(LIBRARY)
    for character in map(chr, range(0x100)):
        for text in (f"a{character}b", f"A {character} b", f"{character}{character}n"):
            if WordPieces.is_plain(text):
                assert words.ids(text) == ids(text), text


def test_threads_may_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "MOST_WORDS", 40)
    words = WordPieces(LIBRARY)
    texts = [f"film {number} of {number % 7} {number % 11}" for number in range(200)] * 5
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(words.ids, texts)) == [ids(text) for text in texts]
