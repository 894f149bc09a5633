"""What the docs state of the service, the code holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.api import errors
from service.api.app import PATHS
from service.observe.metrics import REJECTIONS, Metrics

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"


def all_errors(base: type[errors.ServiceError] = errors.ServiceError) -> list[type]:
    return [base, *(found for child in base.__subclasses__() for found in all_errors(child))]


def metric_names() -> list[str]:
    families = Metrics({}, []).registry.collect()
    return [f.name + ("_total" if f.type == "counter" else "") for f in families]


@pytest.mark.parametrize("path", PATHS)
def test_path_is_documented(path: str) -> None:
    assert path in (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", all_errors())
def test_error_is_documented_under_its_status(error: type[errors.ServiceError]) -> None:
    lines = (DOCS / "api.md").read_text(encoding="utf-8").splitlines()
    assert any(
        line.startswith(f"| {error.status} ") and f"`{error.code}`" in line for line in lines
    )


@pytest.mark.parametrize("name", metric_names())
def test_metric_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "metrics.md").read_text(encoding="utf-8")


def test_documented_metrics_exist() -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `lockstep_")]
    named = {name.strip(" `") for cell in cells for name in cell.split(",")}
    assert named == set(metric_names())


def test_rejection_reasons_are_documented() -> None:
    assert ", ".join(REJECTIONS) in (DOCS / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/reliability.md"])
def test_named_test_exists(name: str) -> None:
    named = re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", (ROOT / name).read_text("utf-8"))
    assert named
    paths = [ROOT / (path if "/" in path else f"tests/service/api/{path}") for path in named]
    assert [path for path in paths if not path.exists()] == []
