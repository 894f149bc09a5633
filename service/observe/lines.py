"""What a log line looks like: JSON for programs, text for a person.

Nothing in a value can end its line or begin another: JSON escapes whatever isn't printable ASCII,
text whatever isn't printable. Pure functions of a line's fields.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from service.observe.stderr import LONGEST

Fields = Mapping[str, Any]
Render = Callable[[Fields], bytes]

BELOW = ("exception", "stack")  # fields of several lines
_BEYOND = re.compile(r"[^\x00-\x7e]")  # JSON itself has escaped the control characters before these
_BARE = re.compile(r"[^\s\"'=]+")  # a value that needs no quotes
_encoder = msgspec.json.Encoder(enc_hook=str)
_pid = os.getpid()  # once: it takes a system call to say it


def _learn_pid() -> None:
    global _pid
    _pid = os.getpid()


os.register_at_fork(after_in_child=_learn_pid)


def head(level: str, logger: str, seconds: float) -> dict[str, Any]:
    """What every line begins with; ``seconds`` are those of ``time.time``."""
    return {"time": rfc3339(seconds), "level": level, "logger": logger, "pid": _pid}


def rfc3339(seconds: float) -> str:
    """A time of ``time.time`` in UTC, to the millisecond (RFC 3339, section 5.6)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def as_json(fields: Fields) -> bytes:
    """Fields as one line of JSON, all of it printable ASCII."""
    try:
        line = _encoder.encode(fields)
    except UnicodeEncodeError:  # half a surrogate pair, of a file's name perhaps
        line = json.dumps(fields, ensure_ascii=False, default=str).encode("utf-8", "replace")
    if not line.isascii() or b"\x7f" in line:
        line = _BEYOND.sub(_escape, line.decode()).encode()
    return line + b"\n"


def as_text(fields: Fields) -> bytes:
    """Fields as a person reads them; what has lines of its own stands below, indented."""
    rest = dict(fields)
    written, level, logger = rest.pop("time"), rest.pop("level"), rest.pop("logger")
    said = rest.pop("message", None) or rest.pop("event", "")
    below = [str(rest.pop(key)) for key in BELOW if key in rest]
    pairs = [f"{key}={_value(value)}" for key, value in rest.items()]
    lines = [" ".join([written, f"{level.upper():<8}", f"{logger}:", visible(str(said)), *pairs])]
    lines += [f"    {visible(line)}" for block in below for line in block.splitlines()]
    return "\n".join(lines).encode() + b"\n"


RENDER: dict[str, Render] = {"json": as_json, "text": as_text}


def visible(text: str) -> str:
    """Text, with whatever a terminal would obey rather than show escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fit(fields: Fields, render: Render) -> bytes:
    """A line of at most ``LONGEST`` bytes: the longest values lose their middles until it is."""
    line, limit = render(fields), LONGEST
    while len(line) > LONGEST and limit:
        limit //= 2
        line = render({key: _cut(value, limit) for key, value in fields.items()})
    return line


def _cut(value: Any, limit: int) -> Any:
    if not isinstance(value, str) or len(value) <= limit:
        return value
    half = limit // 2
    return f"{value[:half]} … {value[len(value) - half :]}"


def _value(value: Any) -> str:
    if not isinstance(value, str):
        return visible(str(value))
    if value.isprintable() and _BARE.fullmatch(value):
        return value
    return visible(json.dumps(value, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    """As JSON has it: a UTF-16 unit, or two (RFC 8259, section 7)."""
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
