"""The rules of deploy/prometheus: checked, unit-tested, run on what a real Prometheus scraped."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.rules import (
    ALERTS,
    FOLDER,
    RECORDS,
    RULE_FILES,
    TEST_FILES,
    Rule,
    name_of,
    runbook_queries,
)
from tests.launch import ROOT, require
from tests.real.conftest import Observed

pytestmark = pytest.mark.real

# A series that an expression reads, with what it asks of the labels.
SELECTOR = re.compile(r"\b(?:lockstep_\w+|\w+:\w+:\w+|up\b)(?:\{[^}]*\})?")


def promtool(*arguments: str | Path) -> str:
    """What it prints; it must succeed."""
    command = [require("promtool"), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_configuration_passes_promtool() -> None:
    assert f"{len(RULE_FILES)} rule files found" in promtool(
        "check", "config", FOLDER / "prometheus.yml"
    )


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_pass_their_unit_tests(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


@pytest.mark.parametrize("rule", RECORDS, ids=name_of)
def test_record_answers_on_real_traffic(observed: Observed, rule: Rule) -> None:
    assert observed.prometheus.ask(rule["expr"], observed.at), rule["expr"]


@pytest.mark.parametrize("name", sorted({rule["record"] for rule in RECORDS}))
def test_record_is_kept_by_prometheus(observed: Observed, name: str) -> None:
    assert observed.prometheus.ask(name, observed.at)


@pytest.mark.parametrize("rule", ALERTS, ids=name_of)
def test_alert_reads_series_that_exist(observed: Observed, rule: Rule) -> None:
    selectors = SELECTOR.findall(rule["expr"])
    assert selectors
    assert [one for one in selectors if not observed.prometheus.ask(one, observed.at)] == []


@pytest.mark.parametrize("query", runbook_queries())
def test_runbook_query_answers_on_real_traffic(observed: Observed, query: str) -> None:
    assert observed.prometheus.ask(query, observed.at)
