"""The library in C, for tests that need it."""

from __future__ import annotations

import pytest

from models import native
from tests.launch import without


def need_library() -> None:
    """Skips where it wasn't built, or fails where it must have been."""
    if native.library() is None:
        without("the library wasn't built: it takes a C compiler when Lockstep is installed")


def need_tiles() -> None:
    """As ``need_library``; skips where the processor has no tiles for it as well."""
    need_library()
    if native.way() is not native.Way.TILES:
        pytest.skip("this processor has no matrix tiles")
