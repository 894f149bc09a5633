"""What ``lockstep bench gap`` wrote, read again for the docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Line = tuple[str, str | None]  # a model, and its schedule where it has several
Along = dict[int, dict[str, Any]]  # cells by length


def read_gap(docs: Path, kind: str) -> dict[str, Any]:
    """All of it, from the folder of the docs: what was measured on a ``cpu`` or a ``gpu``."""
    found: dict[str, Any] = json.loads(
        (docs / "gap" / kind / "gap.json").read_text(encoding="utf-8")
    )
    return found


def card(gap: dict[str, Any]) -> str:
    """What the GPU that measured it is called, without its maker."""
    device: str = gap["hardware"]["device"]
    return device.removeprefix("NVIDIA ")


def cells_by_line(gap: dict[str, Any], how: str, batch: int) -> dict[Line, Along]:
    """What was measured in bfloat16, run so and for so many texts."""
    found: dict[Line, Along] = {}
    for cell in gap["cells"]:
        if (cell["how"], cell["batch"], cell["dtype"]) == (how, batch, "bfloat16"):
            found.setdefault((cell["model"], cell["schedule"]), {})[cell["length"]] = cell
    return found
