"""Settings: from flags and the environment, refused with what would be right, documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, complain

ROOT = Path(__file__).resolve().parent.parent.parent


def test_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_MODELS", "lstm, transformer")
    monkeypatch.setenv("LOCKSTEP_MAX_INPUTS", "7")
    settings = Settings()
    assert settings.models == ("lstm", "transformer")
    assert settings.max_inputs == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "80"),
        ("port", "70000"),
        ("host", "example.org"),
        ("device", "tpu"),
        ("dtype", "int8"),
        ("max_inputs", "0"),
        ("max_in_flight_tokens", "0"),
        ("max_model_share", "1.5"),
        ("max_held_bytes", "1000"),
        ("max_header_bytes", "10"),
        ("header_timeout_ms", "0"),
        ("max_connections", "0"),
        ("cors_origins", "*"),
        ("cors_origins", "https://example.org/"),
        ("cors_origins", "https://example.org,example.com"),
        ("runtime_dir", "/" + "x" * 100),
    ],
)
def test_impossible_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LOCKSTEP_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    message = complain(list(caught.value.errors()))
    assert message.startswith(f"--{name.replace('_', '-')} (LOCKSTEP_{name.upper()}): ")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    field = Settings.model_fields[name]
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"`LOCKSTEP_{name.upper()}`" in text
    assert field.description is not None
    assert field.description in text
