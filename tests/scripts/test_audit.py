"""``scripts/audit`` before a pip-audit of ours: what is found, what isn't, and nobody to ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FINE = {"name": "h11", "version": "0.16.0", "vulns": []}
BAD = {
    "name": "h11",
    "version": "0.14.0",
    "vulns": [{"id": "GHSA-vqfr-h8mv-ghfj", "fix_versions": ["0.16.0"]}],
}
SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited"}
UNREACHABLE = "requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded"


def audit(
    folder: Path, dependencies: list[Any] | None, status: int = 0, message: str = ""
) -> tuple[int, str]:
    """Status and words of the script, where pip-audit writes and ends so."""
    fake = folder / "pip-audit"
    report = json.dumps({"dependencies": dependencies}) if dependencies is not None else ""
    fake.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "arguments = dict(zip(sys.argv, sys.argv[1:]))\n"
        "assert open(arguments['--requirement']).read()\n"
        f"report = {report!r}\n"
        "if report: open(arguments['--output'], 'w').write(report)\n"
        f"print({message!r}, file=sys.stderr)\n"
        f"sys.exit({status})\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)
    environment = os.environ | {
        "PIP_AUDIT": str(fake),
        "PINS": str(ROOT / "requirements.lock"),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        [ROOT / "scripts" / "audit"], env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_nothing_known_passes(tmp_path: Path) -> None:
    status, told = audit(tmp_path, [FINE, FINE])
    assert (status, told) == (0, "audit: no known vulnerability in 2 packages\n")


def test_vulnerability_fails_and_is_named(tmp_path: Path) -> None:
    status, told = audit(tmp_path, [FINE, BAD, SKIPPED], status=1)
    assert status == 1
    assert "h11 0.14.0: GHSA-vqfr-h8mv-ghfj, fixed in 0.16.0" in told


@pytest.mark.parametrize(
    ("dependencies", "status", "message"),
    [(None, 1, f"Traceback\n{UNREACHABLE}"), ([SKIPPED, SKIPPED], 0, "")],
    ids=["no network", "a mirror without advisories"],
)
def test_nobody_to_ask_is_said_aloud_and_passes(
    tmp_path: Path, dependencies: list[Any] | None, status: int, message: str
) -> None:
    ended, told = audit(tmp_path, dependencies, status, message)
    assert ended == 0
    assert "NOT AUDITED" in told


@pytest.mark.parametrize(
    ("dependencies", "status"),
    [(None, 1), (None, 0), ([], 0), ([FINE, SKIPPED], 0), ([FINE], 1)],
    ids=["an error", "no report", "an empty report", "one is unknown", "a status"],
)
def test_what_could_hide_a_vulnerability_fails(
    tmp_path: Path, dependencies: list[Any] | None, status: int
) -> None:
    ended, told = audit(tmp_path, dependencies, status, "what went wrong")
    assert ended == 1
    assert "NOT AUDITED" not in told
