"""Verdicts on a file of any size, as JSON lines, in its order: a line in, a line out.

A text that can't be read has its line with what is wrong, and the rest goes on. Written with
``--out``, the work goes on where it was interrupted.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cli.common import describe
from cli.texts import Record, TextFile, open_texts
from models.errors import TextError

if TYPE_CHECKING:
    from models.base import Schedule
    from models.predict import Predictor
    from models.windows import LongInput, PreparedText

CHUNK_TEXTS = 256  # so many are read ahead, to be run by length …
CHUNK_CHARACTERS = 500_000  # … unless they are long


def classify_file(
    path: Path,
    out: Path | None,
    weights: Path,
    model: str,
    long_input: LongInput,
    schedule: Schedule | None,
) -> int:
    """Classifies every record of a file; returns how many had no verdict.

    Args:
        path: as ``cli.texts`` reads it.
        out: where the lines go, behind those that are there; None for standard output.
        weights: the folder of models.
        model: one of them, which each line names.
        long_input, schedule: as ``Predictor.predict`` has them.

    Raises:
        ValueError: the file's format isn't known, or ``out`` isn't from this file and model.
        OSError: a file can't be read or written.
        CheckpointError: there is no such model.
    """
    from models.checkpoint import load_predictor

    with open_texts(path) as texts, _sink(out, model) as (sink, done):
        _, predictor = load_predictor(weights, model)
        records = itertools.islice(texts, done, None)
        failed = 0
        with _progress(texts, done) as advance:
            for chunk in _chunks(records):
                lines = _verdicts(chunk, predictor, long_input, schedule)
                failed += sum("error" in line for line in lines)
                for line in lines:
                    first = {"line": line.pop("line"), "model": model}
                    sink.write(json.dumps(first | line, ensure_ascii=False) + "\n")
                sink.flush()
                advance(len(lines))
    return failed


def _verdicts(
    chunk: Sequence[Record],
    predictor: Predictor,
    long_input: LongInput,
    schedule: Schedule | None,
) -> list[dict[str, Any]]:
    """A line for each record, in order."""
    readable: list[PreparedText] = []
    errors: dict[int, str] = {}
    for record in chunk:
        try:
            if record.text is None:
                raise ValueError(record.error)
            readable += predictor.prepare([record.text], long_input)
        except TextError as error:
            errors[record.line] = str(error).removeprefix("text 0 ")
        except ValueError as error:
            errors[record.line] = str(error)
    predictions = iter(predictor.judge(readable, schedule) if readable else ())
    return [
        {"line": record.line, "error": errors[record.line]}
        if record.line in errors
        else {"line": record.line} | describe(next(predictions))
        for record in chunk
    ]


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    characters = 0
    for record in records:
        chunk.append(record)
        characters += len(record.text or "")
        if len(chunk) == CHUNK_TEXTS or characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@contextmanager
def _sink(out: Path | None, model: str) -> Iterator[tuple[IO[str], int]]:
    """Where lines go, and how many of them are there already."""
    if out is None:
        yield sys.stdout, 0
        return
    with out.open("a+b") as file:
        file.seek(0)
        whole = last = b""
        done = end = 0
        for whole in file:
            if not whole.endswith(b"\n"):  # the interruption's
                break
            done, end, last = done + 1, end + len(whole), whole
        if done:
            _check_ours(out, last, done, model)
        file.truncate(end)
    with out.open("a", encoding="utf-8") as text:
        yield text, done


def _check_ours(out: Path, line: bytes, number: int, model: str) -> None:
    try:
        last = json.loads(line)
        ours = last["line"] == number and last["model"] == model
    except (ValueError, TypeError, KeyError):
        ours = False
    if not ours:
        raise ValueError(f"{out} wasn't begun by this command for {model}; name another file")


@contextmanager
def _progress(texts: TextFile, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, by how much of the file has been read; silence elsewhere."""
    from tqdm import tqdm

    total = None if texts.size is None else max(texts.size, 1)
    with tqdm(total=total, unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar:
        count = done

        def advance(more: int) -> None:
            nonlocal count
            count += more
            bar.set_postfix_str(f"{count:,} texts", refresh=False)
            bar.update(max(texts.read_bytes - bar.n, 0))

        yield advance
