"""The library in C, for tests that need it."""

from __future__ import annotations

import pytest

from models import native
from models.native import Way
from tests.launch import without

WAYS = (Way.VECTORS, Way.TILES)


def need_library() -> None:
    """Skips where it wasn't built, or fails where it must have been."""
    if native.library() is None:
        without("the library wasn't built: it takes a C compiler when Lockstep is installed")


def need_way(way: Way = Way.VECTORS) -> None:
    """As ``need_library``; skips where the processor has no such products as well."""
    need_library()
    if native.way() < way:
        pytest.skip("this processor has no such products")


def need_encoder(way: Way = Way.VECTORS) -> None:
    """As ``need_way``; skips where an encoder can't be run by them."""
    need_way(way)
    if not native.encodes():
        pytest.skip("this processor looks up no bytes")
