"""Weights in memory that processes have together."""

from __future__ import annotations

import logging
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from models.shared_weights import LEAST_BYTES, LEAST_ROOM, SharedWeights

MANY = LEAST_BYTES // 2  # numbers in bfloat16
Usage = namedtuple("Usage", "total used free")


def weights(count: int = MANY, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).bfloat16().view(2, -1)


def mapped(tensor: torch.Tensor) -> tuple[str, str]:
    """The device and inode of the file that its memory is of; 0 of memory that is no file's."""
    place = tensor.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        bounds, _, _, device, inode = line.split()[:5]
        low, high = (int(bound, 16) for bound in bounds.split("-"))
        if low <= place < high:
            return device, inode
    raise AssertionError("it is nowhere")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int8])
def test_numbers_are_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    given = (100 * weights(4 * MANY)).to(dtype)
    for transposed in (given, given.T):
        held = SharedWeights(tmp_path)(transposed)
        assert torch.equal(held, transposed)
        assert held.dtype == dtype
        assert held.is_contiguous()


def test_equal_weights_lie_in_one_file(tmp_path: Path) -> None:
    first, second = (SharedWeights(tmp_path / "weights")(weights()) for _ in range(2))
    other = SharedWeights(tmp_path / "weights")(weights(seed=1))
    assert mapped(first) == mapped(second) != mapped(other)
    assert len(list((tmp_path / "weights").iterdir())) == 2


def test_who_writes_to_them_changes_nobody_elses(tmp_path: Path) -> None:
    first, second = (SharedWeights(tmp_path)(weights()) for _ in range(2))
    first.zero_()
    assert torch.equal(second, weights())
    assert torch.equal(SharedWeights(tmp_path)(weights()), weights())


def test_they_stay_where_the_folder_is_removed(tmp_path: Path) -> None:
    held = SharedWeights(tmp_path / "weights")(weights())
    shutil.rmtree(tmp_path / "weights")
    assert torch.equal(held, weights())


def test_few_have_no_file(tmp_path: Path) -> None:
    few = weights(MANY - 2)
    assert torch.equal(SharedWeights(tmp_path)(few), few)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", ["no room", "no folder"])
def test_where_they_cannot_be_shared_they_are_its_own_and_it_says_so(
    tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "weights"
    if wrong == "no room":
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: Usage(1, 0, LEAST_ROOM + LEAST_BYTES - 1)
        )
    else:
        folder = tmp_path / "gone" / "weights"
    hold = SharedWeights(folder)
    with caplog.at_level(logging.WARNING):
        held = [hold(weights(seed=seed)) for seed in range(3)]
    for seed, one in enumerate(held):
        assert torch.equal(one, weights(seed=seed))
        assert mapped(one)[1] == "0"
    assert caplog.text.count("aren't shared") == 1
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_file_that_another_is_writing_is_not_read(tmp_path: Path) -> None:
    whole = _file(tmp_path / "one")
    shared = tmp_path / "two"
    shared.mkdir()
    (shared / f"{whole.stem}.{os.getpid() + 1}.weights").write_bytes(b"half")
    assert torch.equal(SharedWeights(shared)(weights()), weights())


def test_file_that_was_cut_is_not_read(tmp_path: Path) -> None:
    os.truncate(_file(tmp_path), LEAST_BYTES // 2)
    held = SharedWeights(tmp_path)(weights())
    assert torch.equal(held, weights())
    assert mapped(held)[1] == "0"


def _file(folder: Path) -> Path:
    SharedWeights(folder)(weights())
    (path,) = folder.iterdir()
    return path
