"""The linear recurrence against a plain loop, under both schedules, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.base import Schedule
from models.scan import depth, scan

SCHEDULES: tuple[Schedule, ...] = ("serial", "parallel")
LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 100, 4096]
SHARES = {  # of the state that a step keeps
    "none": (0.0, 0.0),
    "nearly none": (0.0, 1e-30),
    "nearly all": (0.999, 1.0),
    "any": (0.0, 1.0),
    "of either sign": (-1.0, 1.0),
}

both = pytest.mark.parametrize("schedule", SCHEDULES)


def steps(
    length: int, share: str = "any", dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    low, high = SHARES[share]
    a = low + (high - low) * torch.rand(2, length, 3, dtype=torch.float64, generator=generator)
    b = torch.randn(2, length, 3, dtype=torch.float64, generator=generator)
    return a.to(dtype), b.to(dtype)


def loop(a: Tensor, b: Tensor) -> Tensor:
    """The formula, in float64."""
    state, states = torch.zeros_like(b[:, 0], dtype=torch.float64), []
    for t in range(b.shape[1]):
        state = a[:, t].double() * state + b[:, t].double()
        states.append(state)
    return torch.stack(states, 1)


@both
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("length", LENGTHS)
def test_states_are_the_loops(schedule: Schedule, share: str, length: int) -> None:
    a, b = steps(length, share)
    torch.testing.assert_close(scan(a, b, schedule), loop(a, b), rtol=1e-10, atol=1e-10)


@both
@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_are_the_loops(schedule: Schedule, length: int) -> None:
    a, b = (tensor.requires_grad_() for tensor in steps(length))
    weights = torch.randn(b.shape, dtype=b.dtype, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad((scan(a, b, schedule) * weights).sum(), (a, b))
    wanted = torch.autograd.grad((loop(a, b) * weights).sum(), (a, b))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@both
@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_gradients_are_those_of_small_differences(schedule: Schedule, length: int) -> None:
    a, b = (tensor.requires_grad_() for tensor in steps(length))
    torch.autograd.gradcheck(lambda a, b: scan(a, b, schedule), (a, b))


@pytest.mark.parametrize("share", ["any", "nearly all"])
def test_schedules_agree_in_float32(share: str) -> None:
    a, b = steps(4096, share, torch.float32)
    serial, parallel = scan(a, b, "serial"), scan(a, b, "parallel")
    assert serial.dtype == parallel.dtype == torch.float32
    torch.testing.assert_close(serial, parallel, rtol=1e-4, atol=1e-4 * float(serial.abs().max()))


@both
def test_bfloat16_is_rounded_once_however_long_the_memory(schedule: Schedule) -> None:
    a = torch.full((1, 4096, 1), 0.996, dtype=torch.bfloat16)  # rounds to 255 / 256
    b = torch.full_like(a, 0.01)  # the state nears 2.56, where a last digit is 0.016
    states, wanted = scan(a, b, schedule), loop(a, b)
    assert states.dtype == torch.bfloat16
    assert wanted[0, -1] == pytest.approx(2.56, abs=0.01)
    torch.testing.assert_close(states.double(), wanted, rtol=2**-8, atol=0)


@both
def test_wider_dtype_of_two_is_the_answers(schedule: Schedule) -> None:
    a, b = steps(9)
    assert scan(a.float(), b.bfloat16(), schedule).dtype == torch.float32


@both
def test_what_came_in_stays_as_it_was(schedule: Schedule) -> None:
    a, b = steps(9)
    before = a.clone(), b.clone()
    scan(a, b, schedule)
    torch.testing.assert_close((a, b), before, rtol=0, atol=0)


@both
def test_any_number_of_further_axes(schedule: Schedule) -> None:
    a, b = steps(9)
    flat = scan(a[:, :, 0], b[:, :, 0], schedule)
    deep = scan(a[..., None].expand(2, 9, 3, 5), b[..., None].expand(2, 9, 3, 5), schedule)
    torch.testing.assert_close(flat, loop(a, b)[:, :, 0])
    torch.testing.assert_close(deep[..., 4], loop(a, b))


@both
def test_later_steps_change_nothing_before_them(schedule: Schedule) -> None:
    a, b = steps(20)
    states = scan(a, b, schedule)
    a[:, 13:], b[:, 13:] = 0.5, 9.0
    torch.testing.assert_close(scan(a, b, schedule)[:, :13], states[:, :13], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("length", "serial", "parallel"),
    [(1, 1, 1), (2, 2, 1), (3, 3, 2), (128, 128, 7), (129, 129, 8)],
)
def test_depth_is_the_length_or_its_logarithm(length: int, serial: int, parallel: int) -> None:
    assert depth(length, "serial") == serial
    assert depth(length, "parallel") == depth(length, None) == parallel
