from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from cli.texts import Record, open_texts


def records(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with open_texts(path) as texts:
        return list(texts)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "great film", "label": 1}\n{"sentence": "dull, slow"}\n'),
        ("a.csv", b'\xef\xbb\xbflabel,text\r\n1,great film\r\n0,"dull, slow"\r\n'),
        ("a.tsv", b"sentence\tlabel\ngreat film\t1\ndull, slow\t0\n"),
        ("a.txt", b"great film\r\ndull, slow"),
        ("a.jsonl.gz", b'{"text": "great film"}\n{"text": "dull, slow"}\n'),
    ],
)
def test_texts_are_read_from_each_format(tmp_path: Path, name: str, content: bytes) -> None:
    assert records(tmp_path / name, content) == [Record(1, "great film"), Record(2, "dull, slow")]


def test_texts_of_standard_input_are_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "great"}\n')))
    with open_texts(Path("-")) as texts:
        assert (list(texts), texts.size, texts.read_bytes) == ([Record(1, "great")], None, 0)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"text": "great"', "Expecting ',' delimiter"),
        (b"[1]", "not an object with a field named text or sentence"),
        (b'{"label": 1}', "no text in a field named text or sentence"),
        (b'{"text": 3}', "no text in a field named text or sentence"),
        (b'{"text": "gr\xff"}', "not UTF-8"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_record_that_cannot_be_read_says_why_and_the_next_is_read(
    tmp_path: Path, line: bytes, error: str
) -> None:
    bad, good = records(tmp_path / "a.jsonl", line + b'\n{"text": "great"}\n')
    assert (bad.line, bad.text, bad.error[: len(error)]) == (1, None, error)
    assert good == Record(2, "great")


def test_row_that_csv_cannot_read_is_one_record(tmp_path: Path) -> None:
    row = b"text\n" + b"long " * 30_000 + b"\nshort\n"
    bad, good = records(tmp_path / "a.csv", row)
    assert (bad.text, bad.error) == (None, "field larger than field limit (131072)")
    assert good == Record(2, "short")


def test_file_cut_off_says_after_which_record(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"great\n" * 9)[:-9])
    with pytest.raises(OSError, match="after record 9"), open_texts(path) as texts:
        list(texts)


@pytest.mark.parametrize("name", ["a.pdf", "a.gz", "a"])
def test_file_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"is none of \.jsonl, \.csv"), open_texts(tmp_path / name):
        pass
