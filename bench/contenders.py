"""Who is compared by ``lockstep bench serve``, and how each is started."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.processes import HOST, ROOT, Server

Kind = Literal["lockstep", "fastapi", "litserve"]
Form = Literal["default", "best", "borrowed"]
Rival = tuple[Kind, Form]
BASELINES: tuple[Kind, ...] = ("fastapi", "litserve")
TITLES: dict[Kind, str] = {"lockstep": "Lockstep", "fastapi": "FastAPI", "litserve": "LitServe"}
FORMS: dict[Form, str] = {"default": "", "best": ", best", "borrowed": ", best, our forward"}
TUNED: tuple[Rival, ...] = tuple(
    (kind, form) for form in ("best", "borrowed") for kind in BASELINES
)
DEFAULT_BATCH = 32
SETTLED = "--settled"  # its forward is chosen as the service's is, by trying
WINDOW_MS = 5.0

# What bounds a service against its clients would answer 429 or 504 where a baseline goes on.
UNBOUNDED = {
    "request-timeout-ms": 600_000,
    "max-in-flight-tokens": 50_000_000,
    "max-held-bytes": 1_000_000_000,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What all of a comparison run.

    Attributes:
        weights: the folder of models.
        model: one of them.
        device: where forwards run: ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: of the service and of the baselines but by default; ``auto`` until it is known.
        schedule: of a linear recurrence, once it is known.
        threads: cores that forwards may use.
        free: no forward is run.
    """

    weights: Path
    model: str
    device: str = "cpu"
    dtype: str
    schedule: str | None = None
    threads: int
    free: bool = False

    def like(self, dtype: str, schedule: str | None) -> Setup:
        """The same, as the service was found to run it."""
        return replace(self, dtype=dtype, schedule=schedule)


def lockstep(setup: Setup) -> Server:
    """The service, as it is shipped."""
    program = [str(ROOT / "scripts" / "free_forward.py")] if setup.free else ["-m", "cli.main"]
    settings = {
        "host": HOST,
        "port": "{port}",
        "weights": setup.weights.absolute(),
        "models": setup.model,
        "dtype": setup.dtype,
        "device": setup.device,
        **UNBOUNDED,
    }
    if setup.threads < len(os.sched_getaffinity(0)):  # with every core, it shares them out itself
        settings["threads"] = setup.threads
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return Server(
        name_of("lockstep"),
        [sys.executable, *program, "serve", *flags],
        path="/v1/classify",
        ready="/health/ready",
    )


def default(kind: Kind, setup: Setup) -> Server:
    """A baseline as one starts with it: float32, first come, batches of 32, its own logging."""
    return _baseline(kind, replace(setup, dtype="float32"), DEFAULT_BATCH, [], name_of(kind))


def tuned(rival: Rival, setup: Setup, batch_size: int) -> Server:
    """A baseline in the service's dtype, with another size of batch and no line a request.

    In the form ``borrowed`` its forward is the service's own, packed and without padding.
    """
    more = ["--quiet", SETTLED] if rival[1] == "borrowed" else ["--quiet"]
    return _baseline(rival[0], setup, batch_size, more, name_of(*rival))


def name_of(kind: Kind, form: Form = "default") -> str:
    """As tables have it."""
    return TITLES[kind] + FORMS[form]


def _baseline(kind: Kind, setup: Setup, batch_size: int, more: list[str], name: str) -> Server:
    options = {
        "weights": setup.weights.absolute(),
        "model": setup.model,
        "device": setup.device,
        "dtype": setup.dtype,
        "threads": setup.threads,
        "port": "{port}",
        "batch-size": batch_size,
        "window-ms": WINDOW_MS,
    }
    if setup.schedule:
        options["schedule"] = setup.schedule
    flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    if setup.free:
        flags.append("--free")
    module = f"bench.baselines.{kind}_app"
    return Server(
        name,
        [sys.executable, "-m", module, *flags, *more],
        path="/predict",
        ready="/health",
    )
