"""A line's form: nothing that a value holds can end it, begin another, or pass for a field."""

from __future__ import annotations

import json
import os
import select
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.observe.lines import as_json, as_text, fit, head, rfc3339
from service.observe.stderr import LONGEST

HEAD = head("info", "lockstep.test", 1_700_000_000.1239)
# Everything that has ended a line somewhere, and what a terminal obeys.
HOSTILE = '\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00\x1b[2J\x7f\u202e","level":"error'
ANY_TEXT = st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "So"]))


def test_time_is_utc_to_the_millisecond() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"


def test_line_names_the_process_that_wrote_it() -> None:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(writer, str(head("info", "lockstep.test", 0)["pid"]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert int(pipe.read()) == child
    assert head("info", "lockstep.test", 0)["pid"] == os.getpid()


def test_json_line_holds_its_fields_in_order() -> None:
    line = as_json({**HEAD, "code": 200, "total_ms": 3.085, "error": None})
    assert list(json.loads(line)) == ["time", "level", "logger", "pid", "code", "total_ms", "error"]
    assert line.startswith(b'{"time":"2023-11-14T22:13:20.123Z","level":"info",')


@given(st.dictionaries(st.text(), ANY_TEXT | st.integers(-(2**53), 2**53) | st.none()))
def test_json_line_is_printable_ascii_and_says_the_same(fields: dict[str, Any]) -> None:
    line = as_json(fields)
    assert line.endswith(b"\n")
    assert all(0x20 <= byte <= 0x7E for byte in line[:-1])
    said = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    assert json.loads(line) == json.loads(said)  # but for half a surrogate pair, which is a "?"


def test_hostile_value_stays_one_json_value() -> None:
    line = as_json({**HEAD, "id": HOSTILE})
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["id"] == HOSTILE
    assert json.loads(line)["level"] == "info"


@given(ANY_TEXT, ANY_TEXT)
def test_text_line_is_one_printable_line(message: str, value: str) -> None:
    line = as_text({**HEAD, "message": message, "key": value}).decode()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@given(ANY_TEXT)
def test_traceback_in_text_cannot_pass_for_a_line(exception: str) -> None:
    _, *below = as_text({**HEAD, "message": "failed", "exception": exception}).decode().split("\n")
    assert below.pop() == ""
    assert all(line.startswith("    ") and line.isprintable() for line in below)


def test_value_with_spaces_is_quoted_in_text() -> None:
    line = as_text({**HEAD, "event": "request", "id": 'a b="c"', "code": 200}).decode()
    assert line.endswith(': request pid={} id="a b=\\"c\\"" code=200\n'.format(HEAD["pid"]))


@pytest.mark.parametrize("render", [as_json, as_text])
@given(message=st.text(max_size=6000), exception=st.text("a\n😀\x00", max_size=6000))
def test_line_is_never_longer_than_a_pipe_takes_whole(
    render: Any, message: str, exception: str
) -> None:
    line = fit({**HEAD, "message": message, "exception": exception}, render)
    assert len(line) <= LONGEST <= select.PIPE_BUF


def test_long_traceback_keeps_its_ends() -> None:
    fields = {**HEAD, "message": "failed", "exception": "first\n" + "frame\n" * 5000 + "last"}
    exception = json.loads(fit(fields, as_json))["exception"]
    assert exception.startswith("first\n")
    assert exception.endswith("\nlast")
