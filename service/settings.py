"""Every setting: name, default, unit, help. Each is also ``LOCKSTEP_…`` in the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SHIPPED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
SOCKET_PATH_LIMIT = 90  # a Unix socket's path may have 107 bytes, its file name included


@dataclass(frozen=True, slots=True)
class ShadowRule:
    """A share of the requests of ``primary`` is replayed through ``shadow``."""

    primary: str
    shadow: str
    share: float

    @classmethod
    def parse(cls, text: str) -> ShadowRule:
        """``primary=shadow:share``. Raises ValueError if it isn't that."""
        match = re.fullmatch(r"([^=:,]+)=([^=:,]+):([0-9.]+)", text)
        if match is None:
            raise ValueError(f"{text!r} isn't primary=shadow:share, as transformer=lstm:0.05 is")
        primary, shadow, share = (part.strip() for part in match.groups())
        if primary == shadow:
            raise ValueError(f"{text!r}: a model can't shadow itself")
        if not 0 < float(share) <= 1:
            raise ValueError(f"{text!r}: the share must be above 0 and at most 1")
        return cls(primary, shadow, float(share))


class Settings(BaseSettings):
    """Checked once, at start; a value that can't work is refused with what would."""

    model_config = SettingsConfigDict(env_prefix="LOCKSTEP_", frozen=True, extra="forbid")

    host: Literal["127.0.0.1", "0.0.0.0", "::"] = Field(  # noqa: S104 - one of the choices
        "127.0.0.1", description="address to listen on: this machine, all of IPv4, all of IPv6"
    )
    port: int = Field(8000, ge=1024, le=65535, description="port to listen on")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="models to serve, comma separated; none means all in the weights folder"
    )
    weights: Path = Field(SHIPPED_WEIGHTS, description="folder of models")
    default_model: str | None = Field(
        None, description="model of a request that names none; minilm if served, else the first"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; auto takes a GPU if any")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of the forward; auto times both at load, per model"
    )
    threads: int = Field(
        len(os.sched_getaffinity(0)), ge=1, description="cores that a forward may use"
    )
    max_batch_tokens: int | None = Field(
        None,
        ge=16,
        description="most tokens of one batch, padding included; a longer text is alone; "
        "4096 on a CPU and 65536 on a GPU unless named",
    )
    request_timeout_ms: int = Field(
        30_000, ge=1, description="longest a request may take, in ms; past it 504"
    )
    max_inputs: int = Field(128, ge=1, description="most texts of one request")
    max_body_bytes: int = Field(8_000_000, ge=1, description="largest body, in bytes")
    body_timeout_ms: int = Field(
        10_000, ge=1, description="longest a body may take to arrive, in ms"
    )
    max_header_bytes: int = Field(
        16_384, ge=256, description="most bytes of a request's target and headers; past it 431"
    )
    header_timeout_ms: int = Field(
        10_000, ge=1, description="longest the headers may take to arrive, in ms"
    )
    max_tokens: int = Field(16_384, ge=3, description="most tokens of one text")
    max_in_flight: int = Field(1024, ge=1, description="most requests at once; past it 429")
    max_in_flight_tokens: int = Field(
        524_288, ge=1, description="most tokens of all requests at once; past it 429"
    )
    max_model_share: float = Field(
        0.875, gt=0, le=1, description="largest part of either that one model may have; past it 429"
    )
    max_held_bytes: int = Field(
        128_000_000, ge=1, description="most bytes of all bodies at once; past it 429"
    )
    drain_timeout_ms: int = Field(
        30_000, ge=1000, description="longest that requests in flight may take after SIGTERM, in ms"
    )
    api_processes: int = Field(
        1, ge=1, le=64, description="processes that speak HTTP and tokenize, on one port"
    )
    shadow: Annotated[tuple[ShadowRule, ...], NoDecode] = Field(
        (),
        description="models that shadow others' requests after the answer, comma separated: "
        "transformer=lstm:0.05 asks lstm about a twentieth of what transformer was asked",
    )
    runtime_dir: Path | None = Field(
        None, description="private folder for the sockets; a new temporary one unless named"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe message logged"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="form of a log line; auto is text on a terminal, JSON anywhere else"
    )
    log_requests: bool = Field(
        True, description="log one line a request; else only failures of ours"
    )

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("shadow", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        rules = [ShadowRule.parse(part) for part in value.split(",") if part.strip()]
        if len({(rule.primary, rule.shadow) for rule in rules}) < len(rules):
            raise ValueError("one model shadows another twice")
        return tuple(rules)

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda or cuda:N")
        return value

    @field_validator("max_held_bytes")
    @classmethod
    def _holds_a_body(cls, value: int, info: ValidationInfo) -> int:
        largest = info.data.get("max_body_bytes", 0)
        if value < largest:
            raise ValueError(f"must be at least --max-body-bytes, {largest}")
        return value

    @field_validator("runtime_dir")
    @classmethod
    def _short_enough(cls, value: Path | None) -> Path | None:
        if value is not None and len(os.fsencode(value.absolute())) > SOCKET_PATH_LIMIT:
            raise ValueError(f"must be at most {SOCKET_PATH_LIMIT} bytes long: it holds sockets")
        return value


def complain(errors: list[Any]) -> str:
    """A line a wrong setting, by its flag and its variable; of pydantic's ``errors()``."""
    lines = []
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else "settings"
        flag = f"--{name.replace('_', '-')} (LOCKSTEP_{name.upper()})"
        lines.append(f"{flag}: {error['msg'][0].lower()}{error['msg'][1:]}")
    return "\n".join(lines)
