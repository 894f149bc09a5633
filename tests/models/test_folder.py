"""What a folder of weights/ must be before it may be served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.common import WEIGHTS
from models import folder as folders
from models.errors import CheckpointError
from tests.small import write_model

NO_TORCH = (
    "models.tokenizer",
    "models.windows",
    "models.verdict",
    "models.folder",
    "models.errors",
)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_folder_survives_writing_and_reading(weights: Path) -> None:
    saved = write_model(weights, accuracy={"a/b": {"accuracy": 0.5}})
    assert folders.read(saved.path) == saved
    assert saved.labels == ("negative", "positive")
    assert (saved.window, saved.temperature) == (None, 1.5)


def test_discover_finds_models_by_name(weights: Path) -> None:
    for name in ("zeta", "alpha"):
        write_model(weights, name)
    assert list(folders.discover(weights)) == ["alpha", "zeta"]
    assert list(folders.discover(weights, ["zeta", "alpha"])) == ["zeta", "alpha"]


def test_discover_names_what_there_is(weights: Path) -> None:
    write_model(weights, "alpha")
    with pytest.raises(CheckpointError, match=r"no model 'beta' in .*; it holds: alpha"):
        folders.discover(weights, ["beta"])


def test_discover_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name the right folder with --weights"):
        folders.discover(tmp_path)


@pytest.mark.parametrize("name", [folders.CONFIG_FILE, folders.CARD_FILE])
def test_missing_file_is_named(weights: Path, name: str) -> None:
    path = write_model(weights).path / name
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name} can't be read: No such file"):
        folders.read(path.parent)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "isn't JSON"), ("[]", "object"), ("\xff", "isn't JSON")]
)
def test_bad_json_is_named(weights: Path, text: str, message: str) -> None:
    path = write_model(weights).path / folders.CONFIG_FILE
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=rf"config\.json.* {message}"):
        folders.read(path.parent)


@pytest.mark.parametrize("lost", ["architecture", "config", "temperature", "sha256", "format"])
def test_incomplete_config_is_refused(weights: Path, lost: str) -> None:
    path = write_model(weights).path / folders.CONFIG_FILE
    config = json.loads(path.read_text())
    del config[lost]
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"config.json is incomplete: KeyError.*{lost}"):
        folders.read(path.parent)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_impossible_temperature_is_refused(weights: Path, temperature: float) -> None:
    path = write_model(weights).path
    change(path / folders.CONFIG_FILE, temperature=temperature)
    with pytest.raises(CheckpointError, match="a temperature above 0"):
        folders.read(path)


def test_other_format_is_refused(weights: Path) -> None:
    path = write_model(weights).path
    change(path / folders.CONFIG_FILE, format=2)
    with pytest.raises(CheckpointError, match="is of format 2; this version reads 1"):
        folders.read(path)


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("lstm/model.safetensors", "damaged or half written"),
        ("wordpiece/tokenizer.json", "trained with another tokenizer"),
        ("wordpiece/embedding.safetensors", "trained with another embedding"),
    ],
)
def test_wrong_checksum_is_refused_with_a_remedy(weights: Path, file: str, remedy: str) -> None:
    write_model(weights)
    with (weights / file).open("ab") as changed:
        changed.write(b" ")
    with pytest.raises(CheckpointError, match=f"{file} doesn't match .*; .*{remedy}"):
        folders.discover(weights)


def test_missing_weights_are_named(weights: Path) -> None:
    (write_model(weights).path / folders.WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors can't be read"):
        folders.discover(weights)


def test_files_may_be_read_by_others(weights: Path) -> None:
    for path in write_model(weights).path.iterdir():
        assert path.stat().st_mode & 0o044 == 0o044, f"{path.name} is its owner's alone"


def test_shipped_weights_hold_no_pickle() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}
    assert sum(path.stat().st_size for path in files) < 120e6


@pytest.mark.parametrize("module", NO_TORCH)
def test_half_without_torch_imports_none(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=WEIGHTS.parent).returncode == 0
