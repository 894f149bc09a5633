"""Layers in plain Python, over lists: what an encoder is held against, without torch."""

from __future__ import annotations

import math

Vector = list[float]


def affine(weight: list[Vector], bias: Vector, x: Vector) -> Vector:
    """W x + b."""
    return [
        sum(w * value for w, value in zip(row, x, strict=True)) + b
        for row, b in zip(weight, bias, strict=True)
    ]


def norm(x: Vector, scale: Vector, shift: Vector) -> Vector:
    """Layer norm, its epsilon torch's."""
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in x) / len(x) + 1e-5)
    return [(v - mean) / deviation * a + b for v, a, b in zip(x, scale, shift, strict=True)]


def gelu(x: Vector) -> Vector:
    """Of each value, exact."""
    return [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x]
