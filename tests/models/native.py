"""The library in C, for tests that need it."""

from __future__ import annotations

from models import native
from tests.launch import without


def need_library() -> None:
    """Skips where it wasn't built, or fails where it must have been."""
    if native.library() is None:
        without("the library wasn't built: it takes a C compiler when Lockstep is installed")
