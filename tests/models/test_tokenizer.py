"""The shipped tokenizer: what reaches a model from what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from cli.common import WEIGHTS
from models.errors import CheckpointError, TextError
from models.tokenizer import BY_WORD_CHARACTERS, Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(WEIGHTS / "wordpiece")


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode([text])[0].ids


def test_tokens_stand_between_the_special_ones(tokenizer: Tokenizer) -> None:
    read = ids(tokenizer, "a film")
    assert (read[0], read[-1]) == (tokenizer.start_id, tokenizer.end_id) == (101, 102)
    assert read[1:-1] == [1037, 2143]  # a, film: MiniLM's own numbers


@pytest.mark.parametrize("html", ["<br>", "<br/>", "<br />", "<br /><br />", "\n", "\t \n"])
def test_tokens_are_clean_of_breaks(tokenizer: Tokenizer, html: str) -> None:
    assert ids(tokenizer, f"Good.{html}Film") == ids(tokenizer, "Good. Film")


def test_tokens_ignore_case_and_accents(tokenizer: Tokenizer) -> None:
    assert ids(tokenizer, "CAFÉ Noir") == ids(tokenizer, "cafe noir")


def test_unknown_tokens_are_counted(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(["fine", "fine \U0001f9a4 film \u1681\u1682"])
    assert [one.unknown for one in tokens] == [0, 2]
    assert tokens[1].ids.count(tokenizer.unknown_id) == 2


def test_special_tokens_cant_be_written_by_hand(tokenizer: Tokenizer) -> None:
    read = ids(tokenizer, "a [SEP] b [PAD] c [MASK] d [CLS] [UNK]")
    special = {tokenizer.start_id, tokenizer.end_id, tokenizer.padding_id, tokenizer.mask_id}
    assert not special & set(read[1:-1])
    assert tokenizer.unknown_id not in read


def test_long_text_is_neither_cut_nor_padded(tokenizer: Tokenizer) -> None:
    lengths = [len(tokens.ids) for tokens in tokenizer.encode(["film " * 10_000, "film"])]
    assert lengths == [10_002, 3]


@pytest.mark.parametrize(
    "text", ["مرحبا بالعالم", "שלום", "おもしろい", "fine\x00film", "ﬁne 👍🏽"]
)
def test_other_scripts_and_control_characters_are_read(tokenizer: Tokenizer, text: str) -> None:
    assert len(ids(tokenizer, text)) > 2


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x01", "<br />", "\u200b"])
def test_blank_text_is_refused_by_its_index(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(TextError, match="text 1 is empty") as caught:
        tokenizer.encode(["fine", text])
    assert caught.value.index == 1


@pytest.mark.parametrize("text", ["\ud800", "fine \udfff film"])
def test_unpaired_surrogate_is_refused_by_its_index(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(TextError, match="text 2 holds an unpaired surrogate") as caught:
        tokenizer.encode(["fine", "film", text])
    assert caught.value.index == 2


def test_no_texts_are_no_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode([]) == []


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json can't be read"):
        Tokenizer.load(tmp_path)


def test_tokenizer_without_special_tokens_is_refused(tmp_path: Path) -> None:
    text = '{"version":"1.0","model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}'
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"no \[CLS\] token"):
        Tokenizer.load(tmp_path)


PLAIN = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"])
    | st.characters(min_codepoint=0x80, max_codepoint=0xFF)
    | st.sampled_from("\t\n\r<b r/>")
)


@example("[SEP] A [MASK]")
@example("CAPS, don't-stop... 3.5/10 (sic) <br/>")
@example("  two  spaces, snake_case\r\n<BR> <br\n/>")
@example("Café\xad ÅNGSTRÖM, straße\x85\x96 \xa310")
@example("w" * 101 + " " + "w" * 100)  # the first is too long for the library: unknown
@given(PLAIN.filter(str.strip))
def test_plain_text_gives_the_same_tokens_word_by_word(text: str) -> None:
    try:
        given = BY_WORD.encode([text])
    except TextError:
        with pytest.raises(TextError):
            AT_ONCE.encode([text])
        return
    assert given == BY_WORD.encode([text]) == AT_ONCE.encode([text])
    assert BY_WORD.encode([text, "日本"]) == AT_ONCE.encode([text, "日本"])


def test_long_texts_are_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.load(WEIGHTS / "wordpiece")
    assert tokenizer._words is not None
    monkeypatch.setattr(tokenizer._words, "ids", lambda text: [7])
    short, long = "a " * (BY_WORD_CHARACTERS // 2), "a " * (BY_WORD_CHARACTERS // 2) + "a"
    assert [ids(tokenizer, text)[1] for text in (short, long)] == [7, 1037]
    assert [tokens.ids[1] for tokens in tokenizer.encode([short, "a"])] == [1037, 1037]


def test_other_cleaning_than_ours_is_always_done(tokenizer: Tokenizer) -> None:
    other = the_librarys()
    other.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Replace("a", "b"), tokenizers.normalizers.Lowercase()]
    )
    assert ids(Tokenizer(other), "A cat") == ids(tokenizer, "a cbt")


def test_other_words_than_ours_are_the_librarys(tokenizer: Tokenizer) -> None:
    other = the_librarys()
    other.pre_tokenizer = tokenizers.pre_tokenizers.Split("x", "removed")
    assert ids(Tokenizer(other), "axfilm") == ids(tokenizer, "a film")
    added = the_librarys()
    added.add_tokens(["x-ray"])
    assert ids(Tokenizer(added), "x-ray")[1:-1] == [30522]


def test_tokenizer_that_cuts_or_pads_is_the_librarys() -> None:
    cutting, padding, bare = the_librarys(), the_librarys(), the_librarys()
    cutting.enable_truncation(4)
    padding.enable_padding(length=9)
    bare.post_processor = tokenizers.processors.TemplateProcessing(single="$A", pair="$A $B")
    assert len(ids(Tokenizer(cutting), "a good long film")) == 4
    assert len(ids(Tokenizer(padding), "a film")) == 9
    assert ids(Tokenizer(bare), "a good film") == [1037, 2204, 2143]


def the_librarys() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(WEIGHTS / "wordpiece" / "tokenizer.json"))


def all_at_once() -> Tokenizer:
    """The shipped one, whose texts all go to the library."""
    tokenizer = Tokenizer.load(WEIGHTS / "wordpiece")
    assert tokenizer._words is not None, "plain texts are read word by word"
    tokenizer._words = None
    return tokenizer


BY_WORD, AT_ONCE = Tokenizer.load(WEIGHTS / "wordpiece"), all_at_once()
