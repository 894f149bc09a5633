"""What a probe measured, as a file: kept model by model, and taken up again.

A model takes minutes, so one that stands in the file already, with the same weights and probed with
the same texts, isn't probed again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.data import Row, fingerprint
from training.gradients import LENGTH
from training.probe import FILLER_COUNTS, Probe


def conditions(data: str, rows: Sequence[Row], filler: str) -> dict[str, Any]:
    """What figures must share to stand in one table: the texts, the filler and the lengths."""
    return {
        "data": data,
        "rows": len(rows),
        "sha256": fingerprint(rows),
        "filler": filler,
        "counts": list(FILLER_COUNTS),
        "length": LENGTH,
    }


def figures(command: str, under: dict[str, Any], probes: Sequence[Probe]) -> dict[str, Any]:
    """All there is to keep: what was typed, the ``conditions``, and what was measured of each."""
    models = [probe.to_dict() for probe in probes]
    return {"command": command, "conditions": under, "models": models}


def keep(path: Path, measured: dict[str, Any]) -> None:
    """Writes ``figures`` to a file."""
    path.write_text(json.dumps(measured, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(path: Path, under: dict[str, Any]) -> dict[tuple[str, str], Probe]:
    """What the file holds, by a model's name and its weights' digest.

    Nothing where there is no such file, or its figures came about under other ``conditions``.
    """
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
        if measured["conditions"] != under:
            return {}
        probes = [Probe.from_dict(values) for values in measured["models"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {(probe.model, probe.sha256): probe for probe in probes}


def typed_before(path: Path) -> list[str]:
    """The words of the command that made a file; none where there is no such file."""
    try:
        return shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
