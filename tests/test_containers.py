"""Dockerfile and compose.yaml against the code: what would drift apart without a word."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.launch import ROOT
from tests.real.stack import compose_config

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
DOCS = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
SETTINGS = {f"LOCKSTEP_{name.upper()}" for name in Settings.model_fields}
# What the image itself decides.
OURS = {f"LOCKSTEP_{name}" for name in ("DEVICE", "HOST", "PORT", "RUNTIME_DIR", "WEIGHTS")}
PORT = Settings.model_fields["port"].default
CONFIG = compose_config()
SERVICES: dict[str, Any] = CONFIG["services"]


def copied() -> list[str]:
    """What the Dockerfile takes from here."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()]


@pytest.mark.parametrize("text", [DOCKERFILE, COMPOSE, DOCS], ids=["Dockerfile", "compose", "docs"])
def test_variable_is_a_setting(text: str) -> None:
    named = set(re.findall(r"\bLOCKSTEP_[A-Z_]+", text))
    assert named
    assert named <= SETTINGS


@pytest.mark.parametrize("name", ["lockstep", "lockstep-gpu"])
def test_compose_passes_every_setting_on(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert set(environment) == (SETTINGS - OURS) | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert set(environment.values()) == {None}  # taken from the shell; unset there, unset here


def test_port_is_the_same_everywhere() -> None:
    assert f"LOCKSTEP_PORT={PORT}" in DOCKERFILE
    assert f"EXPOSE {PORT}" in DOCKERFILE
    assert SERVICES["lockstep"]["ports"][0]["target"] == PORT
    scraped = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    assert f'["lockstep:{PORT}"]' in scraped


@pytest.mark.parametrize("source", copied())
def test_copied_path_exists_and_is_sent(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in IGNORED


def test_image_has_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix("*") for name in packages} <= set(copied())


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined_and_private(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}


@pytest.mark.parametrize("name", SERVICES)
def test_service_image_is_built_here_or_pinned(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert re.search(rf"^FROM \S+ AS {service['build']['target']}$", DOCKERFILE, re.MULTILINE)
    else:
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])


def test_grafana_is_what_the_dashboards_are_built_for() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    version = re.search(r"^grafana_foundation_sdk==\d+!(.+)$", lock, re.MULTILINE)
    assert version
    assert SERVICES["grafana"]["image"] == f"grafana/grafana:{version[1]}"


@pytest.mark.parametrize("name", SERVICES)
def test_service_mounts_what_exists(name: str) -> None:
    mounts = SERVICES[name].get("volumes", [])
    sources = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert [source for source in sources if not source.exists()] == []


def test_compose_waits_for_the_drain() -> None:
    grace = re.fullmatch(r"(\d+)s", SERVICES["lockstep"]["stop_grace_period"])
    assert grace
    assert int(grace[1]) > Settings.model_fields["drain_timeout_ms"].default / 1000


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))))
def test_compose_variable_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCS
