"""deploy/haproxy/haproxy.cfg against the service it stands before; tests/real runs it."""

from __future__ import annotations

import json
import re

import pytest

from service.api import errors
from service.settings import Settings
from tests.launch import ROOT
from tests.real.replicas import CONFIG, PORT, REPLICAS, STATISTICS_PORT
from tests.real.stack import compose_config

TEXT = CONFIG.read_text(encoding="utf-8")
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
SERVICES = compose_config()["services"]
PROBLEMS = re.findall(r"lf-string '(\{.*?\})'", TEXT)


def seconds(name: str) -> int:
    """A ``timeout``."""
    (value,) = re.findall(rf"^  timeout {name} (\d+)s\b", TEXT, re.MULTILINE)
    return int(value)


def test_servers_are_the_replicas_of_the_compose_file() -> None:
    servers = re.findall(r"^  server (\S+) (\S+):(\d+)$", TEXT, re.MULTILINE)
    assert servers == [(name, name, str(DEFAULTS["port"])) for name in REPLICAS]
    assert set(REPLICAS) <= set(SERVICES)
    assert SERVICES["haproxy"]["ports"][0]["target"] == PORT
    assert f"bind :{STATISTICS_PORT}" in TEXT
    assert f"/{STATISTICS_PORT};" in " ".join(SERVICES["haproxy"]["healthcheck"]["test"])


def test_replicas_differ_in_their_port_alone() -> None:
    first, second = (dict(SERVICES[name]) for name in REPLICAS)
    ports = [service.pop("ports")[0]["published"] for service in (first, second)]
    assert second.pop("profiles") == ["replicas"] == SERVICES["haproxy"]["profiles"]
    assert len(set(ports)) == 2
    assert first == second


def test_service_is_waited_for() -> None:
    assert seconds("server") * 1000 > DEFAULTS["request_timeout_ms"]
    assert seconds("client") >= seconds("server")
    assert seconds("http-request") * 1000 == DEFAULTS["body_timeout_ms"]


def test_buffer_holds_every_header_that_the_service_takes() -> None:
    (size,) = re.findall(r"tune\.bufsize (\d+)", TEXT)
    assert int(size) > 2 * DEFAULTS["max_header_bytes"]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_error_is_one_of_the_services(problem: str) -> None:
    body = json.loads(re.sub(r"%\[[^]]*\]|%ID", "id", problem))
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["type"] == f"urn:lockstep:error:{body['code']}"
    codes = {one.code for one in vars(errors).values() if hasattr(one, "code")}
    assert body["code"] in codes


def test_every_status_that_the_balancer_makes_has_a_form() -> None:
    statuses = re.findall(r"^  http-error status (\d+) content-type (\S+) ", TEXT, re.MULTILINE)
    form = errors.MEDIA_TYPE
    assert statuses == [(status, form) for status in ("400", "408", "502", "503", "504")]


def test_page_states_the_buffer() -> None:
    size, reserve = (
        int(re.findall(rf"tune\.{one} (\d+)", TEXT)[0]) for one in ("bufsize", "maxrewrite")
    )
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert f"at most {size - reserve:,} bytes" in page
