"""Texts from a file of any size, one at a time; what can't be read is told and passed over.

    reviews.jsonl     one JSON object a line, with ``text`` (or ``sentence``)
    reviews.csv       a header, and a column of one of those names
    reviews.tsv       the same, tab separated, quotes taken as they stand
    reviews.txt       one text a line
    -                 standard input, as .jsonl

Each but the last may also end in .gz.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from training.data import PARSERS, TEXT_FIELDS, text_field

STANDARD_INPUT = Path("-")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of other bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        line: which it is, counted from 1, the header not counted.
        text: what it holds; None if it can't be read.
        error: why it can't be read.
    """

    line: int
    text: str | None
    error: str = ""


class TextFile:
    """Records of a file, as they are asked for.

    Attributes:
        size: of the file in bytes; None where it isn't known.

    Raises:
        ValueError: its name says none of the formats above.
        OSError: it can't be opened.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file = file
        self._lines = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        self._format = "jsonl" if path == STANDARD_INPUT else _format(path)
        self.size = path.stat().st_size if path.is_file() else None

    @property
    def read_bytes(self) -> int:
        """How far into the file it has read."""
        return self._file.tell() if self.size is not None else 0

    def __iter__(self) -> Iterator[Record]:
        records = self._records(_decoded(self._lines))
        for number in itertools.count(1):
            try:
                yield Record(number, _text(next(records), self._format))
            except StopIteration:
                return
            except (RecursionError, ValueError, csv.Error) as error:
                yield Record(number, None, str(error))
            except EOFError as error:
                raise OSError(f"after record {number - 1}: {error}") from error

    def _records(self, lines: Iterator[str]) -> Iterator[Any]:
        # JSON a line at a time, by _field: what follows a broken one is read all the same.
        return PARSERS[f".{self._format}"](lines) if self._format in ("csv", "tsv") else lines


@contextmanager
def open_texts(path: Path) -> Iterator[TextFile]:
    """A file's records, closed again afterwards. Raises ValueError and OSError as ``TextFile``."""
    if path == STANDARD_INPUT:
        yield TextFile(path, sys.stdin.buffer)
        return
    _format(path)
    with path.open("rb") as file:
        yield TextFile(path, cast(BinaryIO, file))


def _format(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix not in (".jsonl", ".csv", ".tsv", ".txt"):
        raise ValueError(f"{path} is none of .jsonl, .csv, .tsv, .txt (each also .gz)")
    return suffix[1:]


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text. What isn't UTF-8 becomes what no text may hold, and so is told by its line."""
    for number, line in enumerate(lines):
        text = line.decode("utf-8", errors="surrogateescape")
        yield text.removeprefix("\ufeff") if number == 0 else text


def _text(record: Any, kind: str) -> str:
    text = record.rstrip("\r\n") if kind == "txt" else _field(record, kind)
    if not isinstance(text, str):
        raise ValueError(f"no text in a field named {' or '.join(TEXT_FIELDS)}")
    if _NOT_UTF8.search(text):
        raise ValueError("not UTF-8")
    return text


def _field(record: Any, kind: str) -> Any:
    fields = json.loads(record) if kind == "jsonl" else record
    if not isinstance(fields, dict):
        raise ValueError(f"not an object with a field named {' or '.join(TEXT_FIELDS)}")
    return text_field(fields)
