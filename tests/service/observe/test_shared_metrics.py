"""Metrics that several processes record: every scrape is complete, and the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, os, sys
from pathlib import Path
from service.observe.metrics import Metrics

metrics = Metrics({"lstm": ["negative", "positive"]}, ["/v1/classify"], folder=Path(sys.argv[1]))
children = []
for child in range(2):
    if not (pid := os.fork()):
        metrics.request("lstm", "/v1/classify", 200, 0.01)
        metrics.ride("lstm", "", 0.002 * (child + 1), length=20, rows=1)
        metrics.in_flight("lstm", 1)
        if child:
            metrics.worker("cpu", restarted=1)
            metrics.queues({"lstm": 7})
            metrics.memory("cpu", 1000)
            metrics.build("1", "2", "3")
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
(cell,), _ = metrics.forwards()
print(json.dumps([metrics.render().decode(), cell.count, cell.total]))
"""


def recorded(folder: Path) -> tuple[list[str], int, float]:
    """What a parent shows of two children's records: lines of the scrape, and the forwards."""
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    text, count, total = json.loads(done.stdout)
    return text.splitlines(), count, total


def test_processes_add_up(tmp_path: Path) -> None:
    lines, count, total = recorded(tmp_path / "metrics")
    labels = 'code="200",model="lstm",route="/v1/classify"'
    assert f"lockstep_request_duration_seconds_count{{{labels}}} 2.0" in lines
    assert (count, round(total, 6)) == (2, 0.006)


def test_what_one_process_was_told_shows_once(tmp_path: Path) -> None:
    lines, _, _ = recorded(tmp_path / "metrics")
    assert 'lockstep_worker_restarts_total{device="cpu"} 1.0' in lines
    assert 'lockstep_queue_depth{model="lstm"} 7.0' in lines
    assert 'lockstep_device_memory_bytes{device="cpu"} 1000.0' in lines
    assert 'lockstep_build_info{litserve="2",torch="3",version="1"} 1.0' in lines


def test_series_known_beforehand_are_there_too(tmp_path: Path) -> None:
    lines, _, _ = recorded(tmp_path / "metrics")
    assert 'lockstep_rejections_total{reason="busy"} 0.0' in lines
    assert 'lockstep_predictions_total{label="positive",model="lstm"} 0.0' in lines
    assert any(line.startswith("# HELP lockstep_tokens_total Real tokens") for line in lines)


def test_what_a_run_before_left_is_forgotten(tmp_path: Path) -> None:
    recorded(tmp_path / "metrics")
    _, count, _ = recorded(tmp_path / "metrics")
    assert count == 2
