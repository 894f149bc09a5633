"""Every setting: name, default, unit, help. Each is also ``LOCKSTEP_…`` in the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SHIPPED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
SECRET = frozenset(["api_keys", "metrics_keys"])  # no flags: `ps` shows those to everybody
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
    device: str = Field(
        "auto", description="auto, cpu, cuda or cuda:N; auto takes every GPU, or else the CPU"
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="processes that hold the models and compute; "
        "one a GPU, or two on a CPU, unless named",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="number format of the forward; auto times both at load, per model"
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="cores that forwards may use, shared by the workers that compute at the "
        "moment; as many as were fastest at load unless named",
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
    max_connections: int = Field(
        2048, ge=1, description="most connections of one API process at once; past it 429"
    )
    drain_delay_ms: int = Field(
        0,
        ge=0,
        description="from SIGTERM, which fails readiness, until no new connection is taken, in ms",
    )
    drain_timeout_ms: int = Field(
        30_000, ge=1000, description="longest that requests in flight may take after it, in ms"
    )
    watchdog_ms: int | None = Field(
        None,
        ge=1000,
        description="longest that a process may be stuck, in a forward for one, before it is "
        "killed and started again, in ms; twice the request timeout unless named",
    )
    api_processes: int = Field(
        1, ge=1, le=64, description="processes that speak HTTP and tokenize, on one port"
    )
    api_keys: SecretStr | None = Field(
        None, description="keys that clients must send one of, comma separated"
    )
    api_keys_file: Path | None = Field(
        None, description="file of such keys, one a line; read again when it changes"
    )
    metrics_keys: SecretStr | None = Field(
        None, description="keys that readers of /metrics must send one of, comma separated"
    )
    metrics_keys_file: Path | None = Field(
        None, description="file of these, one a line; read again when it changes"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins whose pages may call, comma separated, as https://example.org; "
        "none unless named",
    )
    shadow: Annotated[tuple[ShadowRule, ...], NoDecode] = Field(
        (),
        description="models that shadow others' requests after the answer, comma separated: "
        "transformer=lstm:0.05 asks lstm about a twentieth of what transformer was asked",
    )
    runtime_dir: Path | None = Field(
        None,
        description="private folder, for sockets and shared weights; a new one unless named",
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

    @property
    def stuck_seconds(self) -> float:
        """``watchdog_ms``, or what stands for it."""
        return (self.watchdog_ms or 2 * self.request_timeout_ms) / 1e3

    @field_validator("models", "cors_origins", mode="before")
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

    @field_validator("cors_origins")
    @classmethod
    def _named_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?", origin):
                raise ValueError(
                    f"{origin!r} isn't an origin as browsers send them: https://example.org, "
                    "in small letters, without a path"
                )
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError("must be auto, cpu, cuda or cuda:N")
        return value

    @field_validator("watchdog_ms")
    @classmethod
    def _lets_answers_be(cls, value: int | None, info: ValidationInfo) -> int | None:
        longest = info.data.get("request_timeout_ms", 0)
        if value is not None and value < longest:
            raise ValueError(
                f"must be at least --request-timeout-ms, {longest}: a forward that can still "
                "answer somebody isn't stuck"
            )
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
        flag = f"LOCKSTEP_{name.upper()}"
        if name not in SECRET:
            flag = f"--{name.replace('_', '-')} ({flag})"
        lines.append(f"{flag}: {error['msg'][0].lower()}{error['msg'][1:]}")
    return "\n".join(lines)
