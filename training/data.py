"""Labelled texts, from whatever file they come in.

    train.tsv                 tab separated, header ``sentence  label`` (GLUE)
    reviews.jsonl[.gz]        one JSON object a line: ``text`` (or ``sentence``), ``label``
    mine.csv                  comma separated, header ``text,label`` (or ``sentence``)
    stanfordnlp/sst2:train    a data set of the Hugging Face hub, by name and split

A label is a number or a name. Names are taken from the data in alphabetical order unless the caller
gives them; 0 and 1 alone mean negative and positive.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT_FIELDS = ("text", "sentence")
DEFAULT_LABELS = ("negative", "positive")
LONGEST_WHOLE = 64  # words: the runs of words of a text are as many as the square of its length


class DataError(ValueError):
    """A data set can't be read as labelled texts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text; ``label`` as the file has it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A named list of rows.

    Attributes:
        name: the file's folder and stem (``sst2/dev``), or the hub's name.
        rows: in the file's order.
    """

    name: str
    rows: list[Row]


def read(source: str) -> DataSet:
    """Reads a file, or a split of the hub, chosen by how ``source`` looks.

    Raises:
        DataError: it doesn't exist, or a row of it has no text or no label.
    """
    path = Path(source)
    suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if not path.exists():
        if source.count("/") == 1 and ":" in source:
            return _read_hub(source)
        raise DataError(f"{source} doesn't exist (a set of the hub is named owner/name:split)")
    parse = PARSERS.get(suffixes.removesuffix(".gz"))
    if parse is None:
        raise DataError(f"{source} is none of .tsv, .csv, .jsonl (each also .gz)")
    opener = gzip.open if path.suffix == ".gz" else open
    # "sig" takes off the mark with which spreadsheets begin a CSV.
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = _rows(parse(file), source)
    return DataSet(f"{path.resolve().parent.name}/{path.name.split('.')[0]}", rows)


def _parse_jsonl(file: Iterable[str]) -> Iterator[Any]:
    return (json.loads(line) for line in file if line.strip())


def _parse_tsv(file: Iterable[str]) -> Iterator[Any]:
    return csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


PARSERS: dict[str, Callable[[Iterable[str]], Iterator[Any]]] = {
    ".jsonl": _parse_jsonl,
    ".tsv": _parse_tsv,
    ".csv": csv.DictReader,
}


def _read_hub(source: str) -> DataSet:
    name, split = source.split(":", 1)
    try:
        load_dataset = importlib.import_module("datasets").load_dataset
    except ImportError as error:
        raise DataError("reading from the hub needs `pip install datasets`") from error
    return DataSet(source, _rows(load_dataset(name, split=split), source))


def _rows(records: Iterable[Any], source: str) -> list[Row]:
    rows: list[Row] = []
    try:
        for record in records:
            rows.append(_row(record))  # noqa: PERF401 - how many were read names the bad one
    except (ValueError, EOFError, csv.Error) as error:
        raise DataError(f"{source}, row {len(rows) + 1}: {error}") from error
    if not rows:
        raise DataError(f"{source} has no rows")
    return rows


def text_field(record: dict[str, Any]) -> Any:
    """What a record has in place of a text, whatever it is; None for nothing."""
    return next((record[field] for field in TEXT_FIELDS if record.get(field)), None)


def _row(record: Any) -> Row:
    if not isinstance(record, dict):
        raise DataError("not an object with a text and a label")
    text = text_field(record)
    label = record.get("label")
    if not isinstance(text, str) or not any(sign.isprintable() and sign != " " for sign in text):
        raise DataError(f"no text (a field named {' or '.join(TEXT_FIELDS)})")
    if label is None or not str(label).strip():
        raise DataError("no label")
    if None in record:  # what csv.DictReader calls the fields beyond the header's
        raise DataError("more fields than the header has")
    text.encode()  # an unpaired surrogate, which JSON can spell, isn't text
    return Row(text, str(label).strip())


def label_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """The labels of a data set, in the order of the logits: negative, positive if they are 0 and 1.

    Raises:
        DataError: fewer than two labels.
    """
    seen = sorted({row.label for row in rows}, key=lambda label: (len(label), label))
    if set(seen) <= {"0", "1"} or set(seen) <= set(DEFAULT_LABELS):
        return DEFAULT_LABELS
    if len(seen) < 2:
        raise DataError(f"a classifier needs two labels at least; the data has {seen}")
    return tuple(sorted(seen)) if not all(label.isdecimal() for label in seen) else tuple(seen)


def label_index(label: str, labels: Sequence[str]) -> int:
    """Position of a row's label: by name, else, for 0, 1, …, by number.

    Raises:
        DataError: it's neither.
    """
    if label in labels:
        return labels.index(label)
    if label.isdecimal() and int(label) < len(labels):
        return int(label)
    raise DataError(f"a row's label is {label!r}; the model's labels are {', '.join(labels)}")


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Rows without repeats, and without the texts that stand under two labels."""
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row.text, set()).add(row.label)
    first = {row.text: row for row in rows if len(labels[row.text]) == 1}
    return list(first.values())


def fingerprint(rows: Sequence[Row]) -> str:
    """A digest of what the rows say, in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{len(row.text)} {row.text}{row.label}\n".encode())
    return digest.hexdigest()


def hold_back(rows: Sequence[Row], count: int) -> tuple[list[Row], list[Row]]:
    """Splits distinct rows into (train, held back) by a hash of each text: always the same split.

    Only whole texts are held back, a tenth of them at most, and the train part loses what is a part
    of those alone: SST-2 holds the phrases of its sentences, and a sentence whose phrases were all
    learnt is no new one. Rows held back choose the slice that is kept and fit the temperature.
    """
    parts = parts_of_wholes(row.text for row in rows)
    wholes = [row for row in rows if row.text not in parts]
    order = sorted(wholes, key=lambda row: hashlib.sha256(row.text.encode()).digest())
    most = len(order) // 10 or int(len(order) >= 5)  # one, where there are too few for a tenth
    held = order[: min(count, most)]
    taken = {row.text for row in held}
    lost = taken | {part for part, wholes in parts.items() if wholes <= taken}
    return [row for row in rows if row.text not in lost], held


def parts_of_wholes(texts: Iterable[str]) -> dict[str, set[str]]:
    """Each text that is a run of another's words -> the whole texts it is a part of.

    Words are what white space sets apart. A text of more than ``LONGEST_WHOLE`` words is always a
    whole one, and its parts aren't looked for.
    """
    known = {tuple(text.split()): text for text in texts}
    parts: dict[str, set[str]] = {}
    for words in sorted(known, key=len, reverse=True):
        whole = known[words]
        if len(words) > LONGEST_WHOLE or whole in parts:
            continue
        for first in range(len(words)):
            for last in range(first + 1, len(words) + 1):
                part = known.get(words[first:last])
                if part is not None and part != whole:
                    parts.setdefault(part, set()).add(whole)
    return parts
