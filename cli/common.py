"""What several verbs share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """``--weights``: the folder of models; LOCKSTEP_WEIGHTS names another than the shipped one."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path(os.environ.get("LOCKSTEP_WEIGHTS", WEIGHTS)),
        help="folder of models (the shipped one)",
    )
