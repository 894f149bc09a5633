"""The library in C: what torch has no fast call for on a CPU, where this one multiplies bfloat16.

``steps.py``, ``tiled.py`` and ``ragged_layers.py`` say what it is for in a recurrence, ``stack.py``
in a Transformer.
It is built when Lockstep is installed, if there is a C compiler; without it, as on other
processors, torch's calls are used.
"""

from __future__ import annotations

import ctypes
import logging
import sysconfig
from array import array
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger("lockstep.native")

LIBRARY = Path(__file__).with_name(f"_native{sysconfig.get_config_var('EXT_SUFFIX')}")
VERSION = 5  # of what this and the library must both know
LANES = 16  # numbers computed at once
INPUTS = 32  # bfloat16 in a row of a matrix tile


class Way(IntEnum):
    """How the library multiplies; the number is its own."""

    NONE = 0
    VECTORS = 1  # AVX512-BF16
    TILES = 2  # AMX


class Layer(ctypes.Structure):
    """``struct layer`` of csrc/native.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("driven", "weights", "bias", "rows", "memory")),
        ("states", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("length", "width", "stride", "cell")),
        *((name, ctypes.c_int32) for name in ("way", "backward", "threads")),
    ]


class Weights(ctypes.Structure):
    """``struct weights`` of csrc/native.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tiles", "bias")),
        *((name, ctypes.c_int32) for name in ("inputs", "outputs")),
    ]


class Norm(ctypes.Structure):
    """``struct norm`` of csrc/native.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias")),
        ("epsilon", ctypes.c_float),
    ]


class Block(ctypes.Structure):
    """``struct block`` of csrc/native.h."""

    _fields_ = [
        *((name, Weights) for name in ("query_key_value", "attention_output")),
        *((name, Weights) for name in ("expand", "contract")),
        *((name, Norm) for name in ("attention_norm", "feed_forward_norm")),
    ]


class Encoder(ctypes.Structure):
    """``struct encoder`` of csrc/native.h."""

    _fields_ = [
        ("blocks", ctypes.POINTER(Block)),
        ("positions", ctypes.c_void_p),
        ("project", Weights),
        *((name, Norm) for name in ("first_norm", "last_norm")),
        *((name, ctypes.c_int32) for name in ("count", "norms_first", "width", "heads", "way")),
    ]


class Head(ctypes.Structure):
    """``struct head`` of csrc/native.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias")),
        *((name, ctypes.c_int32) for name in ("labels", "pooling")),
    ]


class Batch(ctypes.Structure):
    """``struct batch`` of csrc/native.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("ids", "table")),
        ("head", ctypes.POINTER(Head)),
        *((name, ctypes.c_void_p) for name in ("logits", "embeddings", "states", "rotation")),
        *((name, ctypes.c_void_p) for name in ("starts", "scratch", "seconds")),
        *((name, ctypes.c_int32) for name in ("texts", "tokens", "longest", "turned")),
        *((name, ctypes.c_int32) for name in ("format", "vocabulary", "threads")),
    ]


class Ragged(ctypes.Structure):
    """``struct ragged`` of csrc/native.h."""

    _fields_ = [
        ("batch", ctypes.POINTER(Batch)),
        *((name, ctypes.c_void_p) for name in ("order", "rows", "embedded", "states", "pooled")),
        *((name, ctypes.c_int32) for name in ("inputs", "width")),
    ]


ABI = VERSION  # and the sizes of what both know
for structure in (Batch, Encoder, Block, Layer, Ragged):
    ABI = ABI * 31 + ctypes.sizeof(structure) & 0x7FFFFFFF


def address(numbers: array[Any]) -> int:
    """Where an array's numbers are, for as long as it isn't changed."""
    return numbers.buffer_info()[0]


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it wasn't built, can't be loaded, or was for another version."""
    if not LIBRARY.exists():
        logger.info("no native calls: there was no C compiler when Lockstep was installed")
        return None
    try:
        built = ctypes.CDLL(str(LIBRARY))
        abi = built.lockstep_abi()
        built.lockstep_scratch_bytes.restype = ctypes.c_int64
        for name in ("lockstep_layer", "lockstep_product", "lockstep_judge"):
            getattr(built, name).restype = None
    except (OSError, AttributeError) as error:
        logger.warning("no native calls, `make setup` builds them: %s", error)
        return None
    if abi != ABI:
        logger.warning("no native calls, `make setup` builds them: those there are older or newer")
        return None
    return built


def loaded() -> ctypes.CDLL:
    """The library, for who has found a ``way``."""
    built = library()
    assert built is not None, "nothing is native without it"
    return built


@cache
def way() -> Way:
    """The fastest that there is here. Asks the system for the processor's matrix tiles."""
    built = library()
    found = Way(built.lockstep_way()) if built else Way.NONE
    if found is not Way.NONE:
        logger.info("native calls by the processor's %s", found.name.lower())
    return found


def encodes() -> bool:
    """Whether it has all calls here, and not a recurrence's steps alone (AVX512-VBMI)."""
    return way() is not Way.NONE and bool(loaded().lockstep_encodes())
