"""What forwards cost here: a model's time for many shapes, and the cost fitted to it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.hardware import describe_hardware
from models import folder
from models.checkpoint import PADDED_TOKENS
from service.engine.compute import Compute
from service.engine.forward_cost import ForwardCost, Measured, fit, relative_errors
from service.engine.measure import Shape, measure

LENGTHS = (16, 32, 64, 128, 256, 384, 512)
ROWS = (1, 2, 4, 8, 16, 32)
MOST_TOKENS = {"cpu": 2048, "cuda": 16384}  # of a forward that is timed
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class ModelCost:
    """A model's forwards.

    Attributes:
        model, schedule, dtype: what ran.
        window: most tokens of one text; None for any.
        cost: fitted to ``measured``.
        measured: seconds of the forwards, by (B, T).
    """

    model: str
    schedule: str | None
    dtype: str
    window: int | None
    cost: ForwardCost
    measured: dict[Shape, float]

    @property
    def errors(self) -> tuple[float, float]:
        """Median and largest distance of the fit from a forward, as shares of it."""
        errors = relative_errors(self.cost, as_measured(self.measured))
        return statistics.median(errors), max(errors)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` takes them back."""
        return {
            "model": self.model,
            "schedule": self.schedule,
            "dtype": self.dtype,
            "window": self.window,
            "cost": asdict(self.cost),
            "measured": [[*shape, seconds] for shape, seconds in self.measured.items()],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelCost:
        """Raises ValueError where these aren't what ``to_dict`` gives."""
        try:
            return cls(
                model=values["model"],
                schedule=values["schedule"],
                dtype=values["dtype"],
                window=values["window"],
                cost=ForwardCost(**values["cost"]),
                measured={(rows, length): seconds for rows, length, seconds in values["measured"]},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"these aren't costs of a model: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Machine:
    """Where forwards were timed.

    Attributes:
        hardware: as ``describe_hardware`` has it.
        padded_tokens: the service's bound of a batch there.
    """

    hardware: dict[str, Any]
    padded_tokens: int

    def __str__(self) -> str:
        cores = f"{self.hardware['processor']}, threads: {self.hardware['threads']}"
        return cores if "cuda" not in self.hardware else str(self.hardware["device"])


def model_costs(
    weights: Path, names: list[str], wanted_device: str, dtype: str, threads: int
) -> tuple[Machine, list[ModelCost]]:
    """Times forwards of models under the schedule that the service would choose.

    Args:
        weights: the folder of models.
        names: of models.
        wanted_device, dtype, threads: as the service's settings have them.

    Raises:
        CheckpointError: there is no such model, or it must not be run.
        RuntimeError: the device can't be used.
    """
    folder.discover(weights, names)  # checks them
    compute = Compute(weights, names, wanted_device, dtype, threads)
    kind = compute.device.type
    costs = []
    for name, loaded in compute.models.items():
        measured = measure(compute, name, loaded.schedule, shapes(MOST_TOKENS[kind]), ROUNDS)
        window = loaded.classifier.config.max_length
        cost = fit(as_measured(measured), padded=name not in compute.unpadded)
        costs.append(ModelCost(name, loaded.schedule, loaded.dtype, window, cost, measured))
    return Machine(describe_hardware(compute.device), PADDED_TOKENS[kind]), costs


def as_measured(seconds: dict[Shape, float]) -> list[Measured]:
    """Forwards of these shapes, as a fit takes them."""
    return [Measured.of([length] * rows, taken) for (rows, length), taken in seconds.items()]


def shapes(most_tokens: int) -> Iterator[Shape]:
    """(B, T) of the forwards that are timed."""
    for length in LENGTHS:
        for rows in ROWS:
            if rows * length <= most_tokens:
                yield rows, length
