"""``traceparent`` and ``tracestate``: W3C Trace Context (www.w3.org/TR/trace-context-1, …-2).

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    version  trace id                   parent's id      flags: bit 0 sampled, bit 1 random id

A header that isn't right is as good as none: the trace begins here. It is never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Section 3.2.2.1; a version after 00 may have more behind a dash (section 3.2.4), 00 may not.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.DOTALL,
)
_KNOWN_FLAGS = 0b11  # others must be ignored (section 3.2.2.5)
_SAMPLED = 0b1

# Section 3.3.1.3 of level 1; level 2 also lets a key without @ begin with a digit, which the SDK
# can't hold.
_KEY = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"({_KEY})=({_VALUE})")
_MAX_MEMBERS = 32


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The span that a request was made in.

    Attributes:
        trace_id: 32 digits, lower-case hexadecimal.
        parent_id: 16 of them.
        flags: those that levels 1 and 2 know.
        state: the client's ``tracestate``, unparsed: for passing on alone.
    """

    trace_id: str
    parent_id: str
    flags: int
    state: str

    @property
    def sampled(self) -> bool:
        """Whether the client records this trace."""
        return bool(self.flags & _SAMPLED)


def read(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The parent that a request's headers name; None where they name none, or more than one."""
    found, states = None, []
    for name, value in headers:
        if name == b"traceparent":
            if found is not None:
                return None
            found = value
        elif name == b"tracestate":
            states.append(value)
    match = _TRACEPARENT.fullmatch(found.strip(b" \t")) if found is not None else None
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if more is not None and version == b"00":
        return None
    return TraceParent(
        trace_id=trace_id.decode(),
        parent_id=parent_id.decode(),
        flags=int(flags, 16) & _KNOWN_FLAGS,
        state=b",".join(states).decode("latin-1"),
    )


def members(state: str) -> list[tuple[str, str]]:
    """The keys and values of a ``tracestate``, in order; none if any is wrong, or twice there."""
    parts = [part for part in (part.strip(" \t") for part in state.split(",")) if part]
    found = [_MEMBER.fullmatch(part) for part in parts]
    pairs = [(match[1], match[2]) for match in found if match is not None]
    right = len(pairs) == len(parts) <= _MAX_MEMBERS
    return pairs if right and len(dict(pairs)) == len(pairs) else []
