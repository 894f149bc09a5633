"""Every rule has a unit test, a name that says what it does, and every alert a runbook."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.observe.buckets import LATENCY_BUCKETS
from service.observe.metrics import Metrics
from service.settings import Settings
from tests.deploy.rules import (
    ALERTS,
    FOLDER,
    RECORDS,
    RULE_FILES,
    RUNBOOK,
    Rule,
    load,
    name_of,
    seconds,
    unit_tests,
)
from tests.launch import ROOT

WINDOW = re.compile(r"\[(\w+)\]")
every_record = pytest.mark.parametrize("rule", RECORDS, ids=name_of)
every_alert = pytest.mark.parametrize("rule", ALERTS, ids=name_of)


def metrics_read(expression: str) -> set[str]:
    """Names of the service's own metrics in an expression, without a histogram's suffixes."""
    found = re.findall(r"(?<![:\w])lockstep_\w+(?!:)\b", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def checks(alert: str) -> list[tuple[str, int, bool]]:
    """(the test's name, when, whether it must fire) of every unit test of an alert."""
    return [
        (test["name"], seconds(check["eval_time"]), bool(check["exp_alerts"]))
        for test in unit_tests()
        for check in test.get("alert_rule_test", [])
        if check["alertname"] == alert
    ]


@every_record
def test_record_has_a_unit_test(rule: Rule) -> None:
    token = re.compile(rf"(?<![:\w]){re.escape(rule['record'])}(?![:\w])")
    wanted = set(rule.get("labels", {}).values())
    answers = [
        str(check["exp_samples"])
        for test in unit_tests()
        for check in test.get("promql_expr_test", [])
        if token.search(check["expr"]) and check["exp_samples"]
    ]
    assert any(all(value in answer for value in wanted) for answer in answers)


@every_alert
def test_alert_has_unit_tests_of_all_it_does(rule: Rule) -> None:
    found = checks(rule["alert"])
    fired = {(name, when) for name, when, fires in found if fires}
    quiet = {(name, when) for name, when, fires in found if not fires}
    assert any(name == n and when < later for name, when in fired for n, later in quiet)
    assert any(name.startswith("no traffic") for name, _ in quiet)


@every_record
def test_record_is_named_by_its_labels_and_its_window(rule: Rule) -> None:
    level, _, operations = rule["record"].split(":")
    windows = WINDOW.findall(rule["expr"])
    assert all(operations.endswith(window) for window in windows)
    for kept in re.findall(r"sum by \(([^)]+)\)", rule["expr"])[:1]:
        labels = {label.removesuffix("_bucket") for label in kept.split(", ")}
        assert labels | {"slo"} >= set(level.split("_"))


@pytest.mark.parametrize("rule", [*RECORDS, *ALERTS], ids=name_of)
def test_rule_reads_metrics_and_records_that_exist(rule: Rule) -> None:
    families = Metrics({}, []).registry.collect()
    known = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    assert metrics_read(rule["expr"]) <= known
    records = set(re.findall(r"\w+:\w+:\w+", rule["expr"]))
    assert records <= {one["record"] for one in RECORDS}


@every_alert
def test_alert_says_what_to_do(rule: Rule) -> None:
    anchor = rule["annotations"]["runbook_url"].removeprefix("docs/alerts.md#")
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings
    assert {"summary", "description"} < set(rule["annotations"])
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_runbook_has_no_alert_that_is_gone() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    headings = set(re.findall(r"^## (Lockstep\w+)$", text, re.MULTILINE))
    assert headings == {rule["alert"] for rule in ALERTS}


@every_alert
def test_runbook_section_says_all_that_is_needed(rule: Rule) -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    section = text.split(f"## {rule['alert']}\n")[1].split("\n## ")[0]
    for part in ("Means", "Look at", "Do"):
        assert f"**{part}.**" in section
    assert "```promql" in section


def test_latency_bound_is_the_edge_of_a_bucket() -> None:
    (bound,) = set(re.findall(r'le="([0-9.]+)"', (FOLDER / "rules" / "slo.yml").read_text()))
    assert float(bound) in LATENCY_BUCKETS


def test_nearly_full_is_four_fifths_of_the_setting() -> None:
    (rule,) = [one for one in ALERTS if one["alert"] == "LockstepQueueNearlyFull"]
    limit = Settings.model_fields["max_in_flight"].default
    assert f"> {limit * 4 // 5}" in rule["expr"]
    assert str(limit) in rule["annotations"]["description"]


def test_scrape_goes_to_the_service_of_the_compose_file() -> None:
    config: dict[str, Any] = load(FOLDER / "prometheus.yml")
    job, balancer = config["scrape_configs"]
    assert (job["job_name"], balancer["job_name"]) == ("lockstep", "haproxy")
    assert job["static_configs"] == [{"targets": ["lockstep:8000"]}]


def test_scrape_finds_the_replicas_of_the_compose_file() -> None:
    found = {}
    for job in load(FOLDER / "prometheus.yml")["scrape_configs"]:
        (names,) = job["dns_sd_configs"]
        (found[job["job_name"]],) = names["names"]
    services = load(ROOT / "compose.yaml")["services"]
    assert found == {"lockstep": "lockstep-2", "haproxy": "haproxy"}
    assert all(services[name]["profiles"] == ["replicas"] for name in found.values())


def test_alert_windows_hold_two_scrapes() -> None:
    config = load(FOLDER / "prometheus.yml")
    scrape = seconds(config["global"]["scrape_interval"])
    windows = {seconds(w) for rule in [*RECORDS, *ALERTS] for w in WINDOW.findall(rule["expr"])}
    assert min(windows) >= 2 * scrape


def test_shadow_traffic_is_needed_only_where_it_says_so() -> None:
    needing = {path.stem for path in RULE_FILES if "lockstep_shadow" in path.read_text()}
    alerts = {rule["alert"] for rule in ALERTS if "lockstep_shadow" in rule["expr"]}
    assert needing == {"shadow", "alerts"}
    assert alerts == {"LockstepShadowDisagreement"}
