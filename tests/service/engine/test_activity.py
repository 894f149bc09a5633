"""Which workers compute, as every process of the service sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.engine.activity import Activity

BEGIN = "import sys; from pathlib import Path; from service.engine.activity import Activity; "


def test_worker_that_begins_counts_those_that_compute(tmp_path: Path) -> None:
    activity = Activity(tmp_path, 3)
    assert activity.begin(1) == 1
    assert activity.begin(2) == 2
    assert activity.begin(2) == 2  # it goes on
    activity.end(1)
    assert activity.begin(0) == 2
    assert [activity.computing(worker) for worker in range(3)] == [True, False, True]


def test_activity_of_another_process_shows(tmp_path: Path) -> None:
    activity = Activity(tmp_path, 2)
    code = BEGIN + "print(Activity(Path(sys.argv[1]), 2).begin(1))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, text=True).strip() == "1"
    assert activity.computing(1)
    assert activity.begin(0) == 2
