"""The library in C: built without a warning, and done without where it can't be used."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from models import native
from models.native import Way
from tests.launch import without
from tests.models.native import need_library


@pytest.mark.parametrize("found", ["none", "broken", "foreign"])
def test_nothing_is_native_without_a_library_of_ours(
    found: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / native.LIBRARY.name
    if found == "broken":
        path.write_bytes(b"half a libr")
    elif found == "foreign":
        need_library()
        shutil.copy(native.LIBRARY, path)
        monkeypatch.setattr(native, "ABI", native.ABI + 1)
    monkeypatch.setattr(native, "LIBRARY", path)
    for cached in (native.library, native.way):
        monkeypatch.setattr(native, cached.__name__, cached.__wrapped__)
    with caplog.at_level(logging.INFO):
        assert native.way() is Way.NONE
    assert "no native calls" in caplog.text


def test_sources_compile_without_a_warning(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        without("cc isn't installed")
    sources = Path(native.__file__).with_name("csrc").glob("*.c")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fopenmp"]
    files = [*map(str, sources), "-o", str(tmp_path / "native.so")]
    subprocess.run([compiler, *strict, "-O3", "-fPIC", "-shared", *files], check=True)
