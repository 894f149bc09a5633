"""Where workers are found, and what they leave each other."""

from __future__ import annotations

from pathlib import Path

from service.engine.options import remove_weights, weights_folder


def test_shared_weights_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """The folder may be any: a user's models may lie in it."""
    shared = weights_folder(tmp_path)
    others = [tmp_path / "weights" / "lstm" / "model.safetensors", shared / "lstm" / "model.json"]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_text("a user's")
    ours = [shared / "0123.weights", shared / "0123.77.weights"]
    for path in ours:
        path.write_text("ours")
    remove_weights(tmp_path)
    assert all(other.exists() for other in others)
    assert not any(path.exists() for path in ours)


def test_folder_goes_with_them_and_need_not_be_there(tmp_path: Path) -> None:
    weights_folder(tmp_path).mkdir()
    for _ in range(2):
        remove_weights(tmp_path)
        assert not list(tmp_path.iterdir())
