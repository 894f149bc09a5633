"""docs/command-line.md is held against the command line."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex

from cli.bench import BENCHES
from cli.main import VERBS
from tests.launch import ROOT

PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_every_verb_is_documented() -> None:
    assert re.findall(r"^\| `([a-z]+)` \| ", PAGE, re.MULTILINE) == list(VERBS)


def test_commands_shown_are_accepted() -> None:
    shown = re.findall(r"^lockstep (\w+) (.*)", PAGE, re.MULTILINE)
    assert shown
    for verb, words in shown:
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"cli.{verb}").add_arguments(parser)
        parser.parse_args(shlex.split(words.partition(" > ")[0]))


def test_every_verb_but_serve_has_json() -> None:
    for verb in set(VERBS) - {"serve", "bench"}:
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(f"cli.{verb}").add_arguments(parser)
        assert "--json" in parser._option_string_actions, verb
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module("cli.bench").add_arguments(parser)
    (benches,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert set(benches.choices) == set(BENCHES)
    assert all("--json" in bench._option_string_actions for bench in benches.choices.values())
