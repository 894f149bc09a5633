"""Every command of ``scripts/train`` is one that ``lockstep`` takes, in an order that works."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from models.registry import ARCHITECTURES, TEACHERS
from training.teachers import locate

NEEDED = {"train": "teacher", "average": "models", "evaluate": "model", "probe": "models"}
LAST = {"lstm-last", "rnn-last"}
# A further pass goes on from these.
FIRST = {"gru-second", "gru-third", "gru-fourth", "mingru-second"} | {
    f"{name}-first" for name in {*ARCHITECTURES} - {"fnn", "transformer", "minilm"}
}
MEANS = {"minilm", "minilm-first", "minilm-second", "mpnet"}  # averages of several
SERVED = {*ARCHITECTURES} - MEANS
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[argparse.Namespace]:
    """What the script runs, in order, each parsed by its verb."""
    folder = tmp_path_factory.mktemp("train")
    recorder = folder / "lockstep"
    recorder.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {folder}/typed\n', encoding="utf-8")
    recorder.chmod(0o755)
    environment = os.environ | {"LOCKSTEP": str(recorder), "DATA": "data"}
    subprocess.run([ROOT / "scripts" / "train"], cwd=folder, env=environment, check=True)
    parsed = []
    for line in (folder / "typed").read_text(encoding="utf-8").splitlines():
        verb, *words = shlex.split(line)
        parser = argparse.ArgumentParser()
        importlib.import_module(f"cli.{verb}").add_arguments(parser)
        parsed.append(parser.parse_args(words, argparse.Namespace(verb=verb)))
    return parsed


def test_every_architecture_is_trained_and_scored(commands: list[argparse.Namespace]) -> None:
    trained = {c.architecture for c in commands if c.verb == "train"}
    assert trained == {*ARCHITECTURES, *TEACHERS}
    scored = [c.model for c in commands if c.verb == "evaluate"]
    assert len(scored) == len(set(scored))
    assert set(scored) == {*ARCHITECTURES} | LAST | FIRST | MEANS


def placed(command: argparse.Namespace, model: str) -> tuple[Path, str]:
    """The folder of models and the name in it, as the command has them."""
    folder, name = locate(command.weights, model)
    return ROOT / folder, name


def test_nothing_learns_from_a_model_that_isnt_made_yet(
    commands: list[argparse.Namespace],
) -> None:
    made: set[tuple[Path, str]] = set()
    for command in commands:
        names = getattr(command, NEEDED[command.verb])
        needed = [names] if isinstance(names, str) else names
        for name in filter(None, [*needed, getattr(command, "start", None)]):
            assert placed(command, name) in made
        if command.verb in ("train", "average"):
            made.add(placed(command, command.name))


def test_models_for_the_probe_alone_arent_served(commands: list[argparse.Namespace]) -> None:
    places = {
        c.name: c.weights for c in commands if c.verb == "train" and c.name in SERVED | LAST | FIRST
    }
    assert {name for name, place in places.items() if place == Path("weights")} == SERVED
    assert set(places) == SERVED | LAST | FIRST
    assert all(c.pooling == "last" for c in commands if getattr(c, "name", None) in LAST)
    (minilm,) = (c for c in commands if getattr(c, "name", None) == "minilm")
    assert (minilm.verb, minilm.weights) == ("average", Path("weights"))
    places |= {c.name: c.weights for c in commands if c.verb == "average"}
    assert all(c.weights == places[c.model] for c in commands if c.verb == "evaluate")


def test_every_model_is_probed(commands: list[argparse.Namespace]) -> None:
    (probed,) = (c for c in commands if c.verb == "probe")
    places = {c.name: c.weights for c in commands if c.verb == "train"}
    assert {Path(model).name for model in probed.models} == {*ARCHITECTURES} | LAST
    assert {Path(model) for model in probed.models} > {places[name] / name for name in LAST}
