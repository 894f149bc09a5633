"""Metrics in shared files, on a disk without room: a tmpfs of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_disk import ROOM
from tests.small_disk import small_disk as small_disk

# Room for the files as they begin, and not for three thousand more.
SCRIPT = """
import json, sys
from pathlib import Path
from service.observe.metrics import Metrics

folder = Path(sys.argv[1])
if sys.argv[2] == "full":
    (folder / "filler").write_bytes(bytes(int(sys.argv[3])))
metrics = Metrics({"lstm": ["negative"]}, ["/v1/classify"], folder=folder)
for code in range(3_000):
    metrics.request("lstm", "/v1/classify", code, 0.01)
for _ in range(3):
    metrics.request("lstm", "/v1/classify", 200, 0.01)
print(json.dumps(metrics.render().decode()))
"""


@pytest.mark.parametrize("room", ["some", "full"])
def test_full_disk_costs_metrics_and_not_the_process(small_disk: Path, room: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(small_disk), room, str(ROOM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("can't be shared") >= 1
    series = 'lockstep_request_duration_seconds_count{code="200",model="lstm",route="/v1/classify"}'
    assert (f"{series} 4.0" in json.loads(done.stdout)) == (room == "some")
