"""A model as ``GET /v1/models`` shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from service.api.catalogue import describe
from service.api.model_replies import Model
from tests.small import write_model


def test_model_is_described_by_its_card(weights: Path) -> None:
    folder = write_model(weights, licence="MIT", tried="more layers")
    described = describe(folder)
    assert Model.model_validate(described).reach == [0]
    assert (described["longest_path"], described["stride"]) == (128, 1)
    assert (described["licence"], described["tried"]) == ("MIT", "more layers")
    assert "cost" not in described


def test_card_of_an_earlier_version_tells_no_reach(weights: Path) -> None:
    folder = write_model(weights)
    cost = {key: value for key, value in folder.card["cost"].items() if key != "reach"}
    described = describe(replace(folder, card=folder.card | {"cost": cost}))
    assert Model.model_validate(described).reach == []
