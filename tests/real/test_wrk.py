"""Under many connections at once, with real HTTP from a program that isn't Python."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.launch import Service, require
from tests.real.traffic import model_names

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).with_name("classify.lua")


def test_service_answers_sixteen_connections(service: Service) -> None:
    options = ["--threads", "1", "--connections", "16", "--duration", "5s", "--timeout", "30s"]
    done = subprocess.run(
        [require("wrk"), *options, "--script", str(SCRIPT), service.base_url],
        env={**os.environ, "MODELS": ",".join(model_names(service.base_url))},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["requests"] > 0
    assert (counts["wrong"], counts["broken"]) == (0, 0), done.stdout
