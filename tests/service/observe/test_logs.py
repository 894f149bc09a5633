"""What a process logs goes through one handler: its own lines, other libraries', its last words."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.observe import logs
from service.observe.lines import as_json
from service.observe.logs import StderrHandler
from tests.launch import ROOT

CONFIGURE = (
    "import logging, sys; from service.observe import logs; logs.configure('info', 'json')\n"
)


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    fds = list(os.pipe())
    os.set_blocking(fds[0], False)  # a line that isn't there fails its test
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def logger(pipe: list[int]) -> Iterator[logging.Logger]:
    """A logger of its own on the writing end of ``pipe``."""
    made = logging.getLogger("tests.logs")
    handler = StderrHandler(pipe[1], as_json)
    made.addHandler(handler)
    made.setLevel(logging.INFO)
    made.propagate = False
    yield made
    made.removeHandler(handler)
    handler.close()


def read(pipe: list[int]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(pipe[0], 1 << 16).splitlines()]


def run(code: str, *, shell: str = "{}") -> list[dict[str, Any]]:
    """What another process, which has configured its logs, writes to stderr."""
    command = shell.format('"$PYTHON" -c "$CODE"')
    environ = {**os.environ, "PYTHON": sys.executable, "CODE": CONFIGURE + code}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environ, capture_output=True, check=False
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_record_is_one_line_with_its_fields(pipe: list[int], logger: logging.Logger) -> None:
    logger.warning("worker %d ended", 3)
    (line,) = read(pipe)
    assert list(line) == ["time", "level", "logger", "pid", "message"]
    assert (line["level"], line["logger"], line["pid"]) == ("warning", "tests.logs", os.getpid())
    assert line["message"] == "worker 3 ended"


def test_exception_is_a_field_of_its_line(pipe: list[int], logger: logging.Logger) -> None:
    try:
        raise ZeroDivisionError("a\nb")
    except ZeroDivisionError:
        logger.exception("failed")
    (line,) = read(pipe)
    assert line["message"] == "failed"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ZeroDivisionError: a\nb")


def test_message_that_cannot_be_made_is_told_as_it_is() -> None:
    (line,) = run("logging.info('%d of %d', 'one')")
    assert line["message"] == "%d of %d"
    assert "TypeError" in line["exception"]


def test_exception_that_was_told_is_not_told_again(pipe: list[int], logger: logging.Logger) -> None:
    error = ValueError("once")
    logs.tell_once(error)
    logger.error("again", exc_info=error)
    logger.error("and on")
    assert [line["message"] for line in read(pipe)] == ["and on"]


def test_kept_lines_come_as_soon_as_there_is_room(pipe: list[int], logger: logging.Logger) -> None:
    for number in range(300):  # three times what the pipe holds
        logger.info("%d %s", number, "." * 500)
    received, deadline = b"", time.monotonic() + 60
    while received.count(b"\n") < 300:  # nothing more is logged meanwhile
        assert time.monotonic() < deadline, "they don't come"
        with contextlib.suppress(BlockingIOError):
            received += os.read(pipe[0], 1 << 16)
    messages = [json.loads(line)["message"] for line in received.splitlines()]
    assert [message.split()[0] for message in messages] == [str(number) for number in range(300)]


def test_other_libraries_write_where_we_do() -> None:
    code = """
for name in ("litserve", "uvicorn"):  # as each comes: with a handler, and closed to the root's
    logging.getLogger(name).addHandler(logging.StreamHandler(sys.stderr))
    logging.getLogger(name).propagate = False
logs.adopt()
logging.getLogger("litserve.server").info("ours")
logging.getLogger("uvicorn.error").info("ours too")
logging.getLogger("asyncio").debug("too fine")
import warnings; warnings.warn("careful", stacklevel=1)
"""
    lines = run(code)
    assert [line["logger"] for line in lines] == ["litserve.server", "uvicorn.error", "py.warnings"]
    assert "careful" in lines[2]["message"]


@pytest.mark.parametrize(
    "code",
    [
        "raise OSError('the end')",
        "import threading\nclass T(threading.Thread):\n def run(self): raise OSError('the end')\n"
        "T().start()",
        "with logs.last_words(): raise OSError('the end')",
    ],
    ids=["process", "thread", "child"],
)
def test_last_words_are_a_line(code: str) -> None:
    (line,) = run(code)
    assert line["level"] == "critical"
    assert line["exception"].endswith("OSError: the end")


def test_closed_stderr_leaves_its_number_to_nobody() -> None:
    code = """
import os, socket
logging.getLogger("x").error("into nothing")
ours, theirs = socket.socketpair()  # had 2 been free, one of these would have it
logging.getLogger("x").error("into nothing")
ours.setblocking(False)
try: print("leaked", ours.recv(100), file=sys.__stdout__)
except BlockingIOError: os.system("echo '{\\"clean\\": true}' >&9")
"""
    assert run(code, shell="exec 9>&2 2>&-; {}") == [{"clean": True}]


def test_format_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert logs.chosen_format("auto") == "text"
    assert logs.chosen_format("json") == "json"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert logs.chosen_format("auto") == "json"
