"""The rules of deploy/prometheus, their unit tests, and what can be read out of both."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from tests.launch import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "alerts.md"
RULE_FILES = sorted((FOLDER / "rules").glob("*.yml"))
TEST_FILES = sorted((FOLDER / "tests").glob("*.yml"))
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Rule = dict[str, Any]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(kind: str) -> list[Rule]:
    """Every ``record`` or every ``alert`` there is."""
    groups = [group for path in RULE_FILES for group in load(path)["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def name_of(rule: Rule) -> str:
    """A rule's name, with the objective where two rules have one name."""
    parts = [rule.get("record") or rule["alert"], *rule.get("labels", {}).values()]
    return "-".join(map(str, parts))


@functools.cache
def unit_tests() -> list[dict[str, Any]]:
    """Every test of every file that promtool reads."""
    return [test for path in TEST_FILES for test in load(path)["tests"]]


def seconds(duration: str) -> int:
    """``22m30s`` as 1350."""
    return sum(int(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def runbook_queries() -> list[str]:
    """Every line of every ``promql`` block of docs/alerts.md."""
    text = RUNBOOK.read_text(encoding="utf-8")
    blocks = re.findall(r"^```promql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


RECORDS, ALERTS = rules("record"), rules("alert")
