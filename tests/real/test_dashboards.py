"""Every expression of every dashboard, run on what a real Prometheus scraped under real traffic.

Grafana itself isn't run: its variables are put in here as it would, at the values they have when a
dashboard is opened.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.grafana.build.quality import SHADOW_ROW
from tests.deploy.dashboards import DASHBOARDS, expressions, substitute, variables
from tests.real.conftest import Observed

pytestmark = pytest.mark.real

LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
EXPRESSIONS = {k: v for name in DASHBOARDS for k, v in expressions(name).items()}
QUERIES = [
    pytest.param(substitute(name, one["query"]), one, id=f"{name}-{one['name']}")
    for name in DASHBOARDS
    for one in variables(name)
    if one["type"] == "query"
]


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_panel_answers_on_real_traffic(observed: Observed, expression: str) -> None:
    assert observed.prometheus.ask(expression, observed.at), expression


@pytest.mark.parametrize(("query", "variable"), QUERIES)
def test_variable_has_its_value(observed: Observed, query: str, variable: dict[str, Any]) -> None:
    match = LABEL_VALUES.fullmatch(query)
    assert match is not None, query
    known = observed.prometheus.get(f"/api/v1/label/{match[2]}/values", **{"match[]": match[1]})
    assert known
    assert variable["current"]["value"] in {*known, "$__all"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_shadow_traffic_is_needed_only_where_it_says_so(name: str) -> None:
    heading, needing = "", set()
    for panel in DASHBOARDS[name]["panels"]:
        if panel["type"] == "row":
            heading = panel["title"]
        elif "lockstep_shadow" in str(panel["targets"]):
            needing.add(heading)
    assert needing == ({SHADOW_ROW} if name == "quality" else set())
