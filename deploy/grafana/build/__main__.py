"""Writes every dashboard into deploy/grafana/dashboards, or into the folder named."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.grafana.build import gap, quality, service
from deploy.grafana.build.frame import to_json

FOLDER = Path(__file__).resolve().parent.parent / "dashboards"
BUILDERS = {"gap": gap.build, "service": service.build, "quality": quality.build}


def write(folder: Path) -> list[Path]:
    """One file a dashboard; returns them."""
    paths = []
    for name, build in BUILDERS.items():
        path = folder / f"{name}.json"
        path.write_text(to_json(build()), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
