"""Labelled texts from every kind of file; a bad row is named."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import ModuleType

import pytest

from training.data import (
    DataError,
    Row,
    distinct,
    fingerprint,
    hold_back,
    label_index,
    label_names,
    parts_of_wholes,
    read,
)

ROWS = [Row('He said "no', "0"), Row("Fine, really", "1")]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_tsv_takes_quotes_as_they_stand(tmp_path: Path) -> None:
    source = write(
        tmp_path / "sst2" / "dev.tsv", 'sentence\tlabel\nHe said "no\t0\nFine, really\t1\n'
    )
    data = read(source)
    assert (data.name, data.rows) == ("sst2/dev", ROWS)


def test_csv_takes_quotes_as_quotes(tmp_path: Path) -> None:
    text = 'text,label\n"He said ""no",0\n"Fine, really",1\n'
    assert read(write(tmp_path / "mine.csv", text)).rows == ROWS


def test_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "\ufefflabel,text\r\n1,two\r\n"
    assert read(write(tmp_path / "mine.csv", text)).rows == [Row("two", "1")]


def test_jsonl_takes_either_name_of_a_text(tmp_path: Path) -> None:
    text = '{"sentence": "He said \\"no", "label": 0}\n\n{"text": "Fine, really", "label": "1"}\n'
    assert read(write(tmp_path / "a.jsonl", text)).rows == ROWS


def test_zipped_jsonl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "imdb" / "train.jsonl.gz"
    path.parent.mkdir()
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write('{"text": "schön", "label": "gut"}\n')
    data = read(str(path))
    assert (data.name, data.rows) == ("imdb/train", [Row("schön", "gut")])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "text,label\nfine,1\n,0\n", "row 2: no text"),
        ("a.csv", "text,label\nfine,1\nbad,\n", "row 2: no label"),
        ("a.csv", "text,label\nfine,1\nbad\n", "row 2: no label"),
        ("a.csv", "fine,1\nbad,0\n", r"row 1: no text \(a field named text or sentence\)"),
        ("a.tsv", "sentence\tlabel\nfine\t1\ta\n", "row 1: more fields than the header"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', "row 2: Expecting"),
        ("a.jsonl", '["a", 1]\n', "row 1: not an object"),
        ("a.jsonl", '{"text": 3, "label": 1}\n', "row 1: no text"),
        ("a.jsonl", '{"text": "\\u200b", "label": 1}\n', "row 1: no text"),
        ("a.jsonl", '{"text": "a \\ud800", "label": 1}\n', "row 1: .*surrogates"),
        ("a.jsonl", '{"text": "a"}\n', "row 1: no label"),
        ("a.jsonl", "\n", "no rows"),
        ("a.tsv", "sentence\tlabel\n", "no rows"),
        ("a.xlsx", "", "none of .tsv, .csv, .jsonl"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"{name}.* {message}"):
        read(write(tmp_path / name, text))


def test_half_a_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a", "label": 1}\n' * 99)[:-9])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz, row \d+: .*end-of-stream"):
        read(str(path))


def test_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.tsv doesn't exist .*owner/name:split"):
        read("nowhere.tsv")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module in the place of ``datasets``: one set of two rows."""
    module = ModuleType("datasets")

    def load_dataset(name: str, split: str) -> list[dict[str, object]]:
        sets: dict[tuple[str, str], list[dict[str, object]]] = {
            ("stanfordnlp/sst2", "train"): [
                {"idx": 0, "sentence": 'He said "no', "label": 0},
                {"idx": 1, "sentence": "Fine, really", "label": 1},
            ],
            ("owner/torn", "test"): [{"text": "fine", "label": None}],
        }
        return sets[name, split]

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


@pytest.mark.usefixtures("hub")
def test_hub_is_read_by_name_and_split() -> None:
    data = read("stanfordnlp/sst2:train")
    assert (data.name, data.rows) == ("stanfordnlp/sst2:train", ROWS)


@pytest.mark.usefixtures("hub")
def test_hub_row_without_a_label_is_named() -> None:
    with pytest.raises(DataError, match="owner/torn:test, row 1: no label"):
        read("owner/torn:test")


def test_hub_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="pip install datasets"):
        read("stanfordnlp/sst2:train")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("1", "0"), ("negative", "positive")),
        (("positive", "negative"), ("negative", "positive")),
        (("good", "bad", "fair"), ("bad", "fair", "good")),
        (("10", "9", "0"), ("0", "9", "10")),
        (("1", "2", "3", "4", "5"), ("1", "2", "3", "4", "5")),
    ],
)
def test_labels_are_named_from_the_data(labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert label_names(Row("a", label) for label in labels) == names


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(DataError, match="two labels at least"):
        label_names([Row("a", "spam")])


def test_label_is_found_by_name_then_by_number() -> None:
    assert label_index("positive", ("negative", "positive")) == 1
    assert label_index("1", ("negative", "positive")) == 1
    assert label_index("1", ("0", "9", "1")) == 2
    for unknown in ("2", "-1", "neutral"):
        with pytest.raises(DataError, match=f"'{unknown}'; .* negative, positive"):
            label_index(unknown, ("negative", "positive"))


def test_distinct_drops_repeats_and_contradictions() -> None:
    rows = [Row("a", "0"), Row("b", "0"), Row("a", "0"), Row("b", "1"), Row("c", "1")]
    assert distinct(rows) == [Row("a", "0"), Row("c", "1")]


def test_held_back_rows_are_apart_and_always_the_same() -> None:
    rows = [Row(f"text {number}", str(number % 2)) for number in range(50)]
    train, held = hold_back(rows, 5)
    assert (len(train), len(held)) == (45, 5)
    assert {row.text for row in train} | {row.text for row in held} == {r.text for r in rows}
    assert hold_back(rows[::-1], 5)[1] == held


def test_held_back_rows_are_a_tenth_at_most() -> None:
    rows = [Row(f"text {number}", "0") for number in range(40)]
    assert len(hold_back(rows, 1500)[1]) == 4
    assert len(hold_back(rows[:5], 1500)[1]) == 1
    assert hold_back(rows[:4], 1500)[1] == []


def test_a_part_of_a_held_back_text_is_no_training_row() -> None:
    rows = [Row(f"{n} is a good film", "1") for n in range(20)]
    rows += [Row(f"{n} is", "1") for n in range(20)] + [Row("a good film", "1")]
    train, held = hold_back(rows, 1)
    (whole,) = (row.text for row in held)
    assert whole.endswith("is a good film")
    lost = {row.text for row in rows} - {row.text for row in train}
    assert lost == {whole, whole.removesuffix(" a good film")}


def test_parts_are_runs_of_whole_words() -> None:
    texts = ["a b c d", "b c", "b", "b d", "bc", "b c e", "x " * 65 + "y", "x y"]
    assert parts_of_wholes(texts) == {
        "b c": {"a b c d", "b c e"},
        "b": {"a b c d", "b d", "b c e"},
    }


def test_fingerprint_tells_rows_apart() -> None:
    seen = [[], ROWS, ROWS[::-1], ROWS[:1], [Row("a", "11")], [Row("a1", "1")]]
    assert len({fingerprint(rows) for rows in seen}) == len(seen)
    assert fingerprint(ROWS) == fingerprint(list(ROWS))
