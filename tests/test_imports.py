"""The house's import rules (pyproject.toml, tool.importlinter), held against the code's imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
from importlinter.cli import lint_imports

from tests.launch import ROOT

# What an API process loads: one holding torch would cost every such process hundreds of megabytes.
API_HALF = ("service.api", "service.engine.client", "service.observe.metrics", "service.server")


def test_imports_keep_every_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the linter looks for its contracts and for the code
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


@pytest.mark.parametrize("module", API_HALF)
def test_api_half_leaves_torch_unloaded(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr or f"{module} loads torch"
