"""traceparent and tracestate, case by case of W3C Trace Context."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.observe.traceparent import members, read

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
RIGHT = f"00-{TRACE}-{PARENT}-01"


def of(traceparent: str, *states: str) -> list[tuple[bytes, bytes]]:
    """Headers as a server has them: other ones, then these."""
    found = [("host", "localhost"), ("traceparent", traceparent)]
    found += [("tracestate", state) for state in states]
    return [(name.encode(), value.encode("latin-1")) for name, value in found]


def changed(at: int, text: str) -> bytes:
    """A right value with one character replaced."""
    return f"{RIGHT[:at]}{text}{RIGHT[at + 1 :]}".encode()


CHANGED = st.builds(changed, st.integers(0, 54), st.text("09afAF-\n", max_size=3))


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (RIGHT, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),  # level 2: the id is random
        (f"00-{TRACE}-{PARENT}-02", False),
        (f"00-{TRACE}-{PARENT}-ff", True),  # flags that nobody knows are ignored
        (f"00-{TRACE}-{PARENT}-fe", False),
        (f"01-{TRACE}-{PARENT}-01", True),  # versions to come
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
        (f"fe-{TRACE}-{PARENT}-01-", True),
        (f" \t{RIGHT}\t ", True),  # white space around a field's value is no part of it
    ],
)
def test_right_parent_is_taken(value: str, sampled: bool) -> None:
    parent = read(of(value))
    assert parent is not None
    assert (parent.trace_id, parent.parent_id, parent.sampled) == (TRACE, PARENT, sampled)
    assert parent.flags in (0, 1, 2, 3)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        RIGHT[:-1],
        RIGHT + "0",
        f"00-{'0' * 32}-{PARENT}-01",  # ids of zeros alone
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",  # the version that isn't one
        f"00-{TRACE}-{PARENT}-01-more",  # version 00 has no more
        f"00-{TRACE}-{PARENT}-01-",
        f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like",
        f"cc-{TRACE}-{PARENT}-012",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"00-{TRACE}-{PARENT}-0A",
        f"0A-{TRACE}-{PARENT}-01",
        f"00-{TRACE[:-1]}.-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE}-{PARENT[:-1]}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-.1",
        f"0-{TRACE}-{PARENT}-01",
        f".0-{TRACE}-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01",
        f"00.{TRACE}.{PARENT}.01",
        f"{RIGHT},{RIGHT}",  # two that a proxy joined
        f"cc-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_wrong_parent_is_as_good_as_none(value: str) -> None:
    assert read(of(value)) is None


def test_no_parent_is_none() -> None:
    assert read([(b"host", b"localhost")]) is None


@pytest.mark.parametrize("second", [RIGHT, f"00-{TRACE}-{PARENT}-00", "nonsense"])
def test_two_parents_are_none(second: str) -> None:
    assert read([*of(RIGHT), *of(second)]) is None


@given(st.binary(max_size=80) | CHANGED)
def test_any_bytes_are_right_or_none(value: bytes) -> None:
    parent = read([(b"traceparent", value)])
    if parent is not None:
        assert re.fullmatch("[0-9a-f]{32}", parent.trace_id)
        assert re.fullmatch("[0-9a-f]{16}", parent.parent_id)
        assert int(parent.trace_id, 16) > 0
        assert int(parent.parent_id, 16) > 0
        assert f"-{parent.trace_id}-{parent.parent_id}-".encode() in value


@given(
    st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255), st.integers(0, 254)
)
def test_every_right_parent_is_taken(trace: int, span: int, flags: int, version: int) -> None:
    parent = read(of(f"{version:02x}-{trace:032x}-{span:016x}-{flags:02x}"))
    assert parent is not None
    assert (int(parent.trace_id, 16), int(parent.parent_id, 16)) == (trace, span)
    assert parent.flags == flags & 3


def test_state_is_joined_in_order_and_needs_a_parent() -> None:
    parent = read(of(RIGHT, "rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"))
    assert parent is not None
    assert members(parent.state) == [("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE")]
    assert read(of("wrong", "rojo=1")) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("a=1", [("a", "1")]),
        (" a=1 ,\tb=2\t", [("a", "1"), ("b", "2")]),
        ("a=1,,b=2", [("a", "1"), ("b", "2")]),
        ("fw529a3039@dt=FfSpC", [("fw529a3039@dt", "FfSpC")]),
        ("0tenant@sys=1", [("0tenant@sys", "1")]),
        ('a=x y!"#;', [("a", 'x y!"#;')]),
        (",".join(f"k{n}=v" for n in range(32)), [(f"k{n}", "v") for n in range(32)]),
    ],
)
def test_right_state_is_passed_on(state: str, expected: list[tuple[str, str]]) -> None:
    assert members(state) == expected


@pytest.mark.parametrize(
    "state",
    [
        "a",
        "a=",
        "=1",
        "A=1",
        "a=1,b",
        "a=1,a=2",
        "a=b=c",
        "a=caf\xe9",
        "a b=1",
        "@sys=1",
        "t@=1",
        "t@s@x=1",
        "a" * 257 + "=1",
        "a=" + "1" * 257,
        "a=\x7f",
        "0a=1",
        ",".join(f"k{n}=v" for n in range(33)),
    ],
)
def test_wrong_state_is_passed_on_by_nobody(state: str) -> None:
    assert members(state) == []


@given(st.text("ab0@=, \t", max_size=40))
def test_any_state_gives_distinct_keys(state: str) -> None:
    pairs = members(state)
    assert len(dict(pairs)) == len(pairs) <= 32
    assert all(value.strip() and "," not in value and "=" not in value for _, value in pairs)
