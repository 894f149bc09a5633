"""The dashboards are what their code makes, pass Grafana's own schema, and say what they show."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.grafana.build.__main__ import BUILDERS, write
from service.api.app import PATHS
from service.observe.metrics import Metrics
from tests.deploy.dashboards import DASHBOARDS, FOLDER, expressions, panels, variables
from tests.deploy.rules import RECORDS, load
from tests.launch import ROOT

SCHEMA = json.loads((FOLDER / "schema" / "dashboard.schema.json").read_text(encoding="utf-8"))
VERDICTS = re.compile(
    r"\b(faster|slower|better|worse|fastest|slowest|wins?|beats?)\b", re.IGNORECASE
)
every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


def test_dashboards_are_what_their_code_makes(tmp_path: Path) -> None:
    for path in write(tmp_path):
        committed = FOLDER / "dashboards" / path.name
        assert committed.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), (
            "make dashboards"
        )
    assert set(DASHBOARDS) == set(BUILDERS)


@every_dashboard
def test_dashboard_passes_grafanas_schema(name: str) -> None:
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(DASHBOARDS[name])
    assert [f"{list(error.path)}: {error.message[:300]}" for error in found] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda panel: panel.update(unit="s"),
        lambda panel: panel["options"].update(lengend={}),
        lambda panel: panel["fieldConfig"]["defaults"]["custom"].update(lineWidth="wide"),
        lambda panel: panel["targets"][0].update(expression="up"),
        lambda panel: panel.update(type="timeserie"),
    ],
)
def test_schema_finds_what_grafana_does_not_know(change: Any) -> None:
    dashboard = json.loads(json.dumps(DASHBOARDS["gap"]))
    change(next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries"))
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(dashboard)


@every_dashboard
def test_panel_says_what_it_shows(name: str) -> None:
    for panel in panels(name):
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        unit = defaults.get("unit") or panel["options"]["yAxis"]["unit"]
        assert len(panel["description"]) > 20, panel["title"]
        assert unit, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@every_dashboard
def test_panels_have_a_place_of_their_own(name: str) -> None:
    boxes = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(set(ids)) == len(ids)


def test_gap_is_shown_without_a_verdict() -> None:
    """Which network takes longer is what the panels measure: no title or threshold says so."""
    for panel in DASHBOARDS["gap"]["panels"]:
        assert not VERDICTS.search(panel["title"]), panel["title"]
        assert "thresholds" not in panel.get("fieldConfig", {}).get("defaults", {})


@every_dashboard
def test_expressions_read_metrics_and_records_that_exist(name: str) -> None:
    families = Metrics({}, []).registry.collect()
    known = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    records = {rule["record"] for rule in RECORDS}
    for where, expression in expressions(name).items():
        named = set(re.findall(r"\b\w+:\w+:\w+\b", expression))
        plain = set(re.findall(r"(?<![:\w])lockstep_\w+(?!:)\b", expression))
        assert named <= records, where
        assert {re.sub(r"_(bucket|sum|count)$", "", one) for one in plain} <= known, where
        assert named | plain, where


def test_latency_is_that_of_every_route_to_a_verdict() -> None:
    ways = ["/v1/classify", *(path for path in PATHS if path.endswith("/infer"))]
    durations = {
        where: re.search(r'route=~?"([^"]+)"', expression)
        for where, expression in expressions("service").items()
        if re.search(r"request_duration_seconds(:p\d|_bucket)", expression)
    }
    assert len(durations) == 5
    for where, route in durations.items():
        assert route, where
        assert all(re.fullmatch(route[1], way) for way in ways), where
        assert not any(re.fullmatch(route[1], path) for path in set(PATHS) - set(ways)), where


@every_dashboard
def test_variables_are_used(name: str) -> None:
    text = json.dumps(DASHBOARDS[name])
    for variable in variables(name):
        assert re.search(rf"\$\{{?{variable['name']}\b", text), variable["name"]


@every_dashboard
def test_docs_name_every_row_and_panel(name: str) -> None:
    text = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    title = DASHBOARDS[name]["title"].removeprefix("Lockstep: ").capitalize()
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "][1:]
    shown: dict[str, list[str]] = {}
    for panel in DASHBOARDS[name]["panels"]:
        if panel["type"] == "row":
            shown[panel["title"]] = []
        else:
            shown[list(shown)[-1]].append(panel["title"])
    assert {row: panels.split(" · ") for row, panels in rows} == shown


def test_provisioning_finds_its_prometheus_and_its_dashboards() -> None:
    provisioning = FOLDER / "provisioning"
    (source,) = load(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    (provider,) = load(provisioning / "dashboards" / "lockstep.yaml")["providers"]
    scrape = load(FOLDER.parent / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scrape
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    for name in DASHBOARDS:
        assert variables(name)[0]["current"]["value"] == source["uid"]
