from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cli import classify_file
from cli.main import main
from tests.launch import LOCKSTEP
from tests.small import write_model

TEXTS = ["great film", "a dull story", "not great", "fine", "slow and awful"]


@pytest.fixture
def options(weights: Path) -> list[str]:
    write_model(weights)
    write_model(weights, "transformer", architecture="transformer")
    return ["--weights", str(weights)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_file_gives_a_line_a_record_as_the_texts_alone_do(
    options: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", *TEXTS, "--json", *options]) == 0
    alone = lines(capsys.readouterr().out)
    assert main(["classify", "--file", str(file), *options]) == 0
    printed = lines(capsys.readouterr().out)
    assert printed == [
        {"line": number, "model": "lstm"} | answer for number, answer in enumerate(alone, start=1)
    ]


def test_record_without_a_verdict_has_its_line_and_the_status_is_1(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("great\n \none two three four five six seven eight\n")
    words = ["--model=transformer", "--long-input=error", *options]
    assert main(["classify", "--file", str(path), *words]) == 1
    captured = capsys.readouterr()
    first, empty, long = lines(captured.out)
    assert first["label"] in ("negative", "positive")
    assert empty["error"].startswith("is empty")
    assert long == {
        "line": 3,
        "model": "transformer",
        "error": "has 10 tokens; the model's window is 8",
    }
    assert "2 records had no verdict" in captured.err


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
@pytest.mark.parametrize("torn", [b"", b'{"line": 4, "mod'])
def test_out_goes_on_where_it_was_interrupted(
    options: list[str],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    torn: bytes,
) -> None:
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(classify_file, "CHUNK_TEXTS", 2)
    assert main(["classify", "--file", str(file), "--out", str(out), *options]) == 0
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]) + torn)
    assert main(["classify", "--file", str(file), "--out", str(out), *options]) == 0
    begun, gone_on = lines(whole.decode()), lines(out.read_text())
    assert [line["line"] for line in gone_on] == [1, 2, 3, 4, 5]
    assert [line["label"] for line in gone_on] == [line["label"] for line in begun]


@pytest.mark.parametrize(
    "line", ['{"line": 1, "model": "transformer"}', '{"line": 2, "model": "lstm"}', "[]", "text"]
)
def test_out_of_another_command_is_left_alone(
    options: list[str], file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(line + "\n")
    assert main(["classify", "--file", str(file), "--out", str(out), *options]) == 2
    assert "wasn't begun by this command for lstm" in capsys.readouterr().err
    assert out.read_text() == line + "\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--file", "nowhere.jsonl"], "No such file"),
        (["--file", "a.pdf"], "is none of .jsonl"),
        (["--out", "out.jsonl"], "--out goes with --file"),
        (["--file", "a.txt", "great"], "--file with no TEXT"),
    ],
)
def test_file_that_cannot_be_used_is_told_with_status_2(
    options: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["classify", *words, *options]) == 2
    assert message in capsys.readouterr().err


def test_memory_is_that_of_a_chunk_however_long_the_file(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "out.jsonl"
    path.write_text("great film\n" * 700)
    held: list[int] = []
    verdicts = classify_file._verdicts

    def counted(chunk: Any, *rest: Any) -> Any:
        held.append(len(chunk))
        return verdicts(chunk, *rest)

    monkeypatch.setattr(classify_file, "_verdicts", counted)
    assert main(["classify", "--file", str(path), "--out", str(out), *options]) == 0
    assert held == [256, 256, 188]


def test_interrupted_file_ends_clean_and_goes_on(tmp_path: Path) -> None:
    path, out = tmp_path / "a.txt", tmp_path / "out.jsonl"
    path.write_text("A film that goes on and on and says nothing.\n" * 20_000)
    command = [*LOCKSTEP, "classify", "--file", str(path), "--model", "fnn", "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (130, b"lockstep classify: interrupted\n")
    done = lines(out.read_text())
    assert 0 < len(done) < 20_000
    assert done[-1]["line"] == len(done)
