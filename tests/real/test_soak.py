"""Thirty thousand requests to the whole service: memory and open files stay as they are."""

from __future__ import annotations

import pytest

from bench.soak import TOLERANCES, grown, report, soak
from tests.launch import Service
from tests.real.traffic import model_names

pytestmark = pytest.mark.real

REQUESTS, CLIENTS = 30_000, 8


def test_service_does_not_grow(service: Service) -> None:
    """Latency is in the table and not in the test: this machine may have other work meanwhile."""
    models = model_names(service.base_url)
    watched = soak(service.port, service.pid, models, REQUESTS, CLIENTS)
    assert watched.wrong == []
    assert watched.answered == REQUESTS
    found = grown(watched.samples)
    for what in ("memory", "files"):
        assert found[what] <= TOLERANCES[what], report(watched.samples)
