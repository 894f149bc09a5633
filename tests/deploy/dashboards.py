"""The committed dashboards, and what Grafana would make of their variables."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.launch import ROOT

FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
# What Grafana itself puts in: the dashboard's time range, and what one point of a graph stands for.
BUILT_IN = {"__range": "15m", "__rate_interval": "5m"}


def panels(name: str) -> list[dict[str, Any]]:
    """Those that show something: headings of rows left out."""
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def variables(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARDS[name]["templating"]["list"]
    return found


def substitute(name: str, expression: str) -> str:
    """With each ``$variable`` at its value at first; ``$1`` is Prometheus's own and stays."""
    values = dict(BUILT_IN)
    for variable in variables(name):
        value = variable["current"]["value"]
        values[variable["name"]] = variable["allValue"] if value == "$__all" else value
    return re.sub(r"\$([a-z_]+)", lambda match: values[match[1]], expression)


def expressions(name: str) -> dict[str, str]:
    """Every expression of a dashboard, ready for Prometheus, by panel and query."""
    return {
        f"{name}-{panel['id']}{target['refId']}": substitute(name, target["expr"])
        for panel in panels(name)
        for target in panel["targets"]
    }
