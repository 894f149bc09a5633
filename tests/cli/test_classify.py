from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from cli.main import main
from tests.small import write_model

LONG = "one two three four five six seven eight"  # 10 tokens; the small Transformer's window is 8


@pytest.fixture
def options(weights: Path) -> list[str]:
    write_model(weights)
    write_model(weights, "transformer", architecture="transformer")
    return ["--weights", str(weights)]


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_classify_prints_a_line_a_text(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "great film", "a zebra", *options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] in ("negative", "positive")
    assert first.endswith("4 tokens, 0 unknown")
    assert second.endswith("4 tokens, 1 unknown")


def test_classify_prints_json_with_the_names_of_the_api(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "great film", "--json", *options]) == 0
    (answer,) = answers(capsys)
    assert list(answer) == [
        "label", "score", "scores", "tokens", "unknown_tokens", "truncated", "segments",
    ]  # fmt: skip
    assert (answer["tokens"], answer["segments"]) == (4, 1)


def test_classify_reads_lines_when_it_gets_no_text(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("great film\r\none two three\n"))
    assert main(["classify", "--json", *options]) == 0
    assert [answer["tokens"] for answer in answers(capsys)] == [4, 5]


@pytest.mark.parametrize(
    ("long_input", "end"),
    [("truncate", "10 tokens, 0 unknown, truncated"), ("segment", "0 unknown, 2 segments")],
)
def test_classify_says_what_became_of_a_long_text(
    options: list[str], capsys: pytest.CaptureFixture[str], long_input: str, end: str
) -> None:
    assert (
        main(["classify", LONG, "--model=transformer", "--long-input", long_input, *options]) == 0
    )
    assert capsys.readouterr().out.rstrip().endswith(end)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["great", "  "], "text 1 is empty"),
        (["great", "\ud800"], "text 1 holds an unpaired surrogate"),
        ([LONG, "--model=transformer", "--long-input=error"], "text 0 has 10 tokens"),
        (["great", "--model=gru"], "no model 'gru' in .*; it holds: lstm, transformer"),
        (["great", "--weights=/nowhere"], "holds no models"),
    ],
)
def test_classify_refuses_bad_input_with_status_2(
    options: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["classify", *options, *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(f"^lockstep classify: .*{message}", printed.err)


def test_classify_without_any_text_is_refused(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["classify", *options]) == 2
    assert "no text: give one" in capsys.readouterr().err


def test_classify_runs_either_schedule(
    weights: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(weights, "mingru", architecture="mingru")
    found = []
    for schedule in ("serial", "parallel"):
        command = ["classify", "great film", "--model=mingru", f"--schedule={schedule}", "--json"]
        assert main([*command, *options]) == 0
        found.append(answers(capsys))
    assert found[0] == found[1]


def test_classify_refuses_a_schedule_that_a_model_lacks(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "great film", "--schedule=serial", *options]) == 2
    assert "no schedule 'serial'" in capsys.readouterr().err
