from __future__ import annotations

import argparse
import importlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli import models
from cli.bench import BENCHES
from cli.common import WEIGHTS
from cli.main import VERBS, main
from tests.launch import LOCKSTEP
from tests.small import write_model

MODULES = [*sorted(VERBS), *(f"bench_{bench}" for bench in sorted(BENCHES))]


def test_unknown_verb_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["juggle"])
    assert caught.value.code == 2
    assert "juggle" in capsys.readouterr().err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb}" in printed for verb in VERBS)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"serve"}))
def test_verb_has_help_without_torch(verb: str) -> None:
    code = (
        f"import sys\nfrom cli.main import main\ntry: main(['{verb}', '--help'])\n"
        "except SystemExit as end: sys.exit(end.code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=WEIGHTS.parent, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", MODULES)
def test_verb_shows_an_example_that_it_accepts(name: str) -> None:
    module = importlib.import_module(f"cli.{name}")
    words = name.split("_")
    for line in module.EXAMPLE.splitlines():
        program, *typed = shlex.split(line)
        assert (program, typed[: len(words)]) == ("lockstep", words)
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.add_arguments(parser)
        if name.startswith("bench_"):
            parser.add_argument("--json")
        parser.parse_args(typed[len(words) :])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_verb_ends_with_its_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    example = importlib.import_module(f"cli.{verb}").EXAMPLE
    assert capsys.readouterr().out.endswith(f"example:\n  {example}\n")


def test_interrupt_ends_with_130_and_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "lockstep models: interrupted\n"


def test_interrupt_while_a_verb_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "lockstep models: interrupted\n"


def test_reader_that_had_enough_is_no_traceback() -> None:
    lines = f"{shlex.join([*LOCKSTEP, 'models', '--json'])} | head -c 10"
    done = subprocess.run(["bash", "-c", lines], cwd=WEIGHTS.parent, capture_output=True)
    assert (len(done.stdout), done.stderr) == (10, b"")


def test_models_as_json_are_their_cards(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(weights)
    assert main(["models", "--json", "--weights", str(weights)]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "lstm", "architecture": "lstm", "window": None} | folder.card
    ]
