"""A first-order linear recurrence under two schedules: step by step, or as a parallel scan.

    h_t = a_t * h_{t-1} + b_t,    h before the first step is 0

Two steps joined are again a step, (a, b) then (a', b') = (a' * a, a' * b + b'), so joining may be
done in any order (Blelloch 1990, "Prefix sums and their applications", section 1.4; Martin and
Cundy, arXiv 1709.04057, section 2):

    serial      one step after another: T deep
    parallel    join neighbours into T/2 steps, scan those, fill in the states between them:
                log2 T levels down and as many back, 3 T multiply-adds in all

Nothing is divided and no logarithm taken, so an ``a`` of 0 is as good as any.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.base import Schedule


def scan(a: Tensor, b: Tensor, schedule: Schedule) -> Tensor:
    """Every state of h_t = a_t * h_{t-1} + b_t.

    Args:
        a: (B, T, ...), the share of the state that is kept; the first step has none to keep.
        b: (B, T, ...), what is added.
        schedule: the order of the work; it changes the answer by rounding alone.

    Returns:
        (B, T, ...) in the wider dtype of the two. The states are in float32 at the least: in
        bfloat16 a long memory would stand still, each addition below half its last digit.
    """
    answer = torch.promote_types(a.dtype, b.dtype)
    inside = torch.promote_types(answer, torch.float32)
    states = cast(Tensor, _Scan.apply(a.to(inside), b.to(inside), schedule))  # type: ignore[no-untyped-call]
    return states.to(answer)


def depth(length: int, schedule: Schedule | None) -> int:
    """Steps of one scan that wait for one another; None is the parallel schedule.

    There ceil(log2 T), and 1 at the least: the joins in a row that bring the first step to the
    last. A level's way down and its way back are one step, as a step of a recurrence is one,
    whatever it computes within.
    """
    return length if schedule == "serial" else max(1, (length - 1).bit_length())


class _Scan(torch.autograd.Function):
    """The gradient is a scan too, from the last step to the first, so only a and h are kept:

    db_t = dh_t + a_{t+1} * db_{t+1},    da_t = db_t * h_{t-1}
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, schedule: Schedule) -> Tensor:
        states = b.clone()
        SCHEDULES[schedule](a[:, 1:], states, False)
        ctx.save_for_backward(a, states)
        ctx.schedule = schedule
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        a, states = ctx.saved_tensors
        b_gradient = gradient.clone(memory_format=torch.contiguous_format)
        SCHEDULES[ctx.schedule](a[:, 1:], b_gradient, True)
        a_gradient = torch.zeros_like(a)
        torch.mul(b_gradient[:, 1:], states[:, :-1], out=a_gradient[:, 1:])
        return a_gradient, b_gradient, None


# Both below turn ``states`` (B, T, ...), in place, from what each step adds into the states.
# ``links`` (B, T - 1, ...) has the factor between a step and its neighbour, whichever of the two
# comes first: ``backwards`` starts from the last step.


def _serial(links: Tensor, states: Tensor, backwards: bool) -> None:
    order = slice(None, None, -1 if backwards else 1)
    steps = states.unbind(1)[order]
    for factor, before, step in zip(links.unbind(1)[order], steps, steps[1:], strict=False):
        step.addcmul_(factor, before)


def _parallel(links: Tensor, states: Tensor, backwards: bool) -> None:
    def every_other(tensor: Tensor, start: int, count: int) -> Tensor:
        """``count`` steps in the order of the scan, from ``start`` on: a view."""
        if backwards:
            start = tensor.shape[1] + 1 - start - 2 * count
        return tensor[:, start : start + 2 * count - 1 : 2]

    T = states.shape[1]
    if T == 1:
        return
    pairs = T // 2
    others = T - 1 - pairs  # what comes first in a pair, or alone at the end; the first is done
    seconds = every_other(states, 1, pairs)
    seconds.addcmul_(every_other(links, 0, pairs), every_other(states, 0, pairs))
    between = every_other(links, 2, pairs - 1) * every_other(links, 1, pairs - 1)
    _parallel(between, seconds, backwards)
    firsts = every_other(states, 2, others)
    firsts.addcmul_(every_other(links, 1, others), every_other(states, 1, others))


SCHEDULES = {"serial": _serial, "parallel": _parallel}
