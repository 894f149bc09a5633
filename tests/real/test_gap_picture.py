"""The picture of the gap, made from a real Prometheus's data by the command a person runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch import ROOT
from tests.real.conftest import Observed

pytestmark = pytest.mark.real


def test_picture_has_a_line_a_model_and_schedule(observed: Observed, tmp_path: Path) -> None:
    command = [sys.executable, "scripts/gap_picture.py", "--least", "1", "--out", str(tmp_path)]
    where = ["--prometheus", observed.prometheus.base_url]
    subprocess.run([*command, *where], cwd=ROOT, check=True, timeout=120)
    assert {path.name for path in tmp_path.iterdir()} == {"forward.png", "forward.svg", "gap.json"}
    lines = json.loads((tmp_path / "gap.json").read_text())["lines"]
    drawn = {(line["model"], line["schedule"]) for line in lines}
    both = {("mingru", "serial"), ("mingru", "parallel")}
    assert drawn == {("lstm", ""), ("transformer", "")} | both
    assert all(len(line["points"]) >= 3 for line in lines)
