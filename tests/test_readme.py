"""What README.md shows is done here, and what it says comes back is held against what does.

A block fenced as ``console`` holds commands, each after ``$ ``, and what they print. Requests are
sent to a running service and quick commands run; of the rest (``make``, ``lockstep train``) the
target and the flags must exist.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from tests.launch import LOCKSTEP, ROOT, Service, printed, require

QUICK = ("classify", "models")
SAME = ("label", "model", "architecture", "code", "title", "status")  # values that mustn't differ


@dataclass(frozen=True)
class Example:
    """A command and what README.md says it prints."""

    command: str
    output: str

    @property
    def program(self) -> str:
        return shlex.split(self.command)[0].removeprefix(".venv/bin/")


def examples(text: str) -> list[Example]:
    """Every command of every ``console`` block, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.replace("\\\n", " ").partition("\n")
            found.append(Example(command.strip(), output.strip()))
    return found


README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = examples(README)


def select(*programs: str) -> pytest.MarkDecorator:
    chosen = [example for example in EXAMPLES if example.program in programs]
    return pytest.mark.parametrize("example", chosen, ids=lambda example: example.command[:60])


def test_readme_holds_only_commands_known_here() -> None:
    assert {example.program for example in EXAMPLES} <= {"curl", "make", "lockstep", "git", "cd"}


@select("curl")
def test_readme_request_is_answered_as_shown(example: Example, service: Service) -> None:
    require("curl")
    assert "localhost:8000" in example.command, "its port is replaced by that of the service here"
    command = example.command.replace("localhost:8000", f"127.0.0.1:{service.port}")
    compare(printed(["bash", "-c", command]), example.output)


@select("make")
def test_readme_make_target_exists(example: Example) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in shlex.split(example.command)[1:] if "=" not in word]
    assert set(targets) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@select("lockstep")
def test_readme_command_works_as_shown(example: Example) -> None:
    words = shlex.split(example.command, comments=True)[1:]
    if words[0] in QUICK:
        compare(printed([*LOCKSTEP, *words]), example.output)
    else:
        usage = printed([*LOCKSTEP, words[0], "--help"])
        assert [word for word in words if word[:2] == "--" and word not in usage] == []


def compare(actual: str, shown: str) -> None:
    """JSON must be of one shape and agree where SAME says; other text, in all but its numbers."""
    if shown.startswith(("{", "[")):
        compare_json(json.loads(actual), json.loads(shown))
    elif shown:
        assert without_numbers(actual) == without_numbers(shown)


def compare_json(actual: Any, shown: Any, key: str = "") -> None:
    if isinstance(shown, dict):
        assert isinstance(actual, dict)
        assert list(actual) == list(shown)
        for name, value in shown.items():
            compare_json(actual[name], value, name)
    elif isinstance(shown, list):
        assert isinstance(actual, list)
        assert len(actual) == len(shown)
        for one, other in zip(actual, shown, strict=True):
            compare_json(one, other, key)
    elif key in SAME:
        assert actual == shown


def without_numbers(text: str) -> list[str]:
    return re.sub(r"-?\d[\d.,]*(e[-+]?\d+)?", "#", text).split()


def test_forwards_are_those_that_prometheus_told() -> None:
    told = json.loads((ROOT / "docs" / "gap" / "traffic" / "gap.json").read_text(encoding="utf-8"))
    for line in told["lines"]:
        points = {point["length"]: f"{1e3 * point['seconds']:.1f}" for point in line["points"]}
        lengths = ("1-16", "33-64", "129-256", "257-512", "513-1024")
        cells = " | ".join(points.get(length, "-") for length in lengths)
        name = f"{line['model']}, {line['schedule']}".removesuffix(", ")
        assert f"| {name} | {cells} |" in README
