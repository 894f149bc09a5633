"""The load test, by Locust, against a service: alone, in several processes, in a container."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.launch import ROOT, Service
from tests.real.conftest import MODELS
from tests.real.stack import Stack

pytestmark = pytest.mark.real

LOCUST = Path(sys.executable).with_name("locust")
STAGES = ["parse", "tokenize", "queue", "batch", "forward", "respond", "total"]


def locust(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(LOCUST), "-f", "bench/loadtest/locustfile.py", "--headless", "--only-summary"]
    asked = ["--host", url, "--users", "4", "--spawn-rate", "4", "--run-time", "6s"]
    return subprocess.run(
        [*command, *asked, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def check(printed: str, models: set[str]) -> None:
    """Every model was asked, each stage of it told, and the gap to the baseline of some length."""
    row = r"^(\S+(?:, \w+)?) +([a-z]+) +([\d,]+)(?: +\d+\.\d{3}){3}$"
    stages = re.findall(row, printed, re.MULTILINE)
    for model in models:
        found = [stage for name, stage, _ in stages if name.partition(",")[0] == model]
        assert found == STAGES, printed
    ratios = re.findall(r"^(\S+).* \d+\.\d{3} +(\d+\.\d\d)$", printed, re.MULTILINE)
    assert {name.strip(",") for name, _ in ratios} == models
    assert {ratio for name, ratio in ratios if name == "transformer"} == {"1.00"}


def test_load_test_tells_stages_and_the_gap(service: Service) -> None:
    done = locust(service.base_url, "--models", "lstm", "transformer", "mingru")
    assert done.returncode == 0, done.stdout + done.stderr
    check(done.stdout, {"lstm", "transformer", "mingru"})


def test_load_test_gathers_what_several_processes_saw(service: Service) -> None:
    done = locust(service.base_url, "--models", "lstm", "transformer", "--processes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    sent = re.search(r"Aggregated +(\d+) +0\(0", done.stdout + done.stderr)
    assert sent
    told = re.findall(r"^(?:lstm|transformer) +total +([\d,]+) ", done.stdout, re.MULTILINE)
    assert sum(int(count.replace(",", "")) for count in told) == int(sent[1])


def test_load_test_fails_where_requests_do(service: Service) -> None:
    done = locust(service.base_url, "--models", "nowhere")
    assert done.returncode == 1
    assert "404 model_not_found: no such model is served here" in done.stdout + done.stderr


def test_load_test_says_when_there_is_no_service() -> None:
    done = locust(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "No service to ask" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_load_test_runs_beside_the_stack(stack: Stack) -> None:
    stack.variables["LOAD_TIME"] = "6s"
    stack.variables["LOAD_USERS"] = "3"  # fewer than the stack here admits at once
    printed = stack.compose("--profile", "load", "run", "--rm", "-T", "load")
    check(printed, {model for model, _ in MODELS})
