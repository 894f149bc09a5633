"""Schemathesis over the service's own OpenAPI document: answers as documented, and no 5xx."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api.openapi.document import OPERATIONS
from tests.launch import Service

pytestmark = pytest.mark.real

SEED, EXAMPLES, LEAST_CASES = 20_240_229, 5, 500
KEY = "schemathesis-key-0123456789"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two models, one thread, and a key."""
    arguments = ("--models", "lstm,fnn", "--threads", "1")
    log = tmp_path_factory.mktemp("schemathesis") / "log"
    with Service(*arguments, log=log, env={"LOCKSTEP_API_KEYS": KEY}) as running:
        yield running


def schemathesis(service: Service, folder: Path, *arguments: str) -> str:
    """What it prints; it must find nothing."""
    program = Path(sys.executable).with_name("schemathesis")
    config = Path(__file__).with_name("schemathesis.toml")
    command = [str(program), "--config-file", str(config), "run"]
    options = [
        f"--seed={SEED}", f"--max-examples={EXAMPLES}", "--generation-database=none",
        "--no-color", "--request-timeout=60", "--max-time=45",
    ]  # fmt: skip
    url = f"{service.base_url}/openapi.json"
    done = subprocess.run(
        [*command, url, *options, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def server_errors(service: Service) -> set[str]:
    """Codes of 500 and more that it has answered, by its own count; not while it was starting."""
    scrape = httpx.get(f"{service.base_url}/metrics", timeout=60).text
    labels = r'code="(5\d\d)",model="[^"]*",route="(?!/health/ready)[^"]*"'
    counts = re.findall(rf"request_duration_seconds_count{{{labels}}} (\S+)", scrape)
    return {code for code, count in counts if float(count)}


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    printed = schemathesis(service, tmp_path, f"--header=Authorization: Bearer {KEY}")
    (tested,) = re.findall(r"Tested: (\d+)", printed)
    assert int(tested) >= len(OPERATIONS) - 1  # it leaves out the document that it reads
    (generated,) = re.findall(r"(\d+) generated", printed)
    assert int(generated) > LEAST_CASES
    assert server_errors(service) <= {"504"}
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"inputs": "fine", "model": "lstm"}
    answers = [
        httpx.post(f"{service.base_url}/v1/classify", json=body, headers=sent, timeout=60)
        for sent in (headers, {})
    ]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert KEY not in service.log.read_text(encoding="utf-8", errors="replace")
