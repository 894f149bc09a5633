"""What docs/api.md shows a client to do, done: every curl, and the Python client."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.app import PATHS
from tests.launch import ROOT, Service, printed, require
from tests.test_readme import Example, examples

DOCS = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CURLS = [example for example in examples(DOCS) if example.program == "curl"]
PYTHON = re.findall(r"^```python\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)


def here(text: str, service: Service) -> str:
    """The same, of the service here."""
    assert "localhost:8000" in text
    return text.replace("localhost:8000", f"127.0.0.1:{service.port}")


@pytest.mark.parametrize("path", PATHS)
def test_route_has_a_curl(path: str) -> None:
    pattern = re.sub(r"\\\{[^/]+\\\}", "[^/ ]+", re.escape(path))
    assert any(
        re.search(rf"localhost:8000{pattern}['? ]?(\s|$|\w+=)", one.command) for one in CURLS
    )


@pytest.mark.parametrize("example", CURLS, ids=lambda example: example.command[:60])
def test_curl_is_answered(example: Example, service: Service) -> None:
    require("curl")
    command = here(example.command, service) + " -o /dev/null -w '%{http_code}'"
    assert printed(["bash", "-c", command]) == "200"


def test_python_client_works_as_shown(service: Service, tmp_path: Path) -> None:
    (code,) = PYTHON
    script = tmp_path / "client.py"
    script.write_text(here(code, service), encoding="utf-8")
    lines = printed([sys.executable, str(script)]).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["positive", "negative"]
    assert re.fullmatch(r"[\d.]+ ms of [\d.]+", lines[2])


def test_python_client_tells_what_is_wrong(service: Service, tmp_path: Path) -> None:
    (code,) = PYTHON
    script = tmp_path / "client.py"
    wrong = here(code, service).replace('model="lstm"', 'model="gpt"')
    script.write_text(wrong, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "model_not_found" in done.stderr
