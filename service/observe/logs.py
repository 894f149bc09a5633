"""Every line that the service's processes log, on stderr: one object of JSON, or text for a person.

    logging ──────────────────▶ StderrHandler.emit ──▶ lines.fit ──▶ stderr.Outlet
    request_log.RequestLog ───▶ write ───────────────────┘

uvicorn's and LitServe's own lines come through here too.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from service.observe.lines import RENDER, Fields, Render, fit, head
from service.observe.stderr import Outlet

logger = logging.getLogger("lockstep.logs")

CHASE_SECONDS = 0.05  # between looks at whether stderr has room again
FLUSH_SECONDS = 1.0  # for a reader that is slow just as a process ends
FOREIGN = ("litserve", "uvicorn", "uvicorn.error")  # bring handlers that would write past ours

_TOLD = "_lockstep_told"  # on an exception that has its line already
_handler: StderrHandler | None = None


def configure(level: str, log_format: str) -> None:
    """Sends everything that this process logs, and its forks, through one handler.

    Args:
        level: the least severe that is written.
        log_format: ``json``, ``text`` or ``auto``, as the setting has it.
    """
    global _handler
    _handler = StderrHandler(_stderr(), RENDER[chosen_format(log_format)])
    root = logging.getLogger()
    root.handlers[:] = [_handler]
    root.setLevel(level.upper())
    adopt()
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    os.register_at_fork(after_in_child=_handler.forget)


def adopt() -> None:
    """Takes from other libraries' loggers the handlers they brought; LitServe brings one twice."""
    for name in FOREIGN:
        foreign = logging.getLogger(name)
        foreign.handlers[:] = []
        foreign.setLevel(logging.NOTSET)
        foreign.propagate = True


def chosen_format(wanted: str) -> str:
    """``auto`` is text where a person looks on, and JSON where a program collects."""
    if wanted != "auto":
        return wanted
    return "text" if sys.stderr is not None and sys.stderr.isatty() else "json"


def write(fields: Fields) -> None:
    """Writes a line that is no record's; nothing before ``configure``."""
    if _handler is not None:
        _handler.write(fields)


def flush() -> None:
    """Waits a little for what couldn't be written yet; for a process that ends without atexit."""
    if _handler is not None:
        _handler.flush()


@contextmanager
def last_words() -> Iterator[None]:
    """For a process that multiprocessing started: what ends it is logged, not printed as it is."""
    try:
        yield
    except Exception as error:
        logger.critical("this process ends: %r", error, exc_info=True)
        raise SystemExit(1) from None


class StderrHandler(logging.Handler):
    """Writes records as lines. Its lock guards the outlet; a thread runs only while it is behind.

    Args:
        fd: where to.
        render: one of ``lines.RENDER``.
    """

    def __init__(self, fd: int, render: Render) -> None:
        super().__init__()
        self._render = render
        self.outlet = Outlet(fd, self._lost)
        self._chasing = False
        self.addFilter(lambda record: not (record.exc_info and told(record.exc_info[1])))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = fields_of(record)
        except Exception as error:  # noqa: BLE001 - a message that can't be made up stands as it is
            fields = head(record.levelname.lower(), record.name, record.created)
            fields |= {"message": str(record.msg), "exception": repr(error)}
        self.write(fields)

    def write(self, fields: Fields) -> None:
        """A line, a record's or not."""
        line = fit(fields, self._render)
        self.acquire()
        try:
            self.outlet.write(line)
            if self.outlet.behind and not self._chasing:
                self._chasing = True
                threading.Thread(target=self._chase, name="stderr", daemon=True).start()
        finally:
            self.release()

    def flush(self) -> None:
        self.acquire()
        try:
            self.outlet.flush(FLUSH_SECONDS)
        finally:
            self.release()

    def forget(self) -> None:
        """In a fork: what is behind is the parent's to write, and so is its thread."""
        self.outlet.forget()
        self._chasing = False

    def _chase(self) -> None:
        """Writes what was kept as room comes, should nothing else be logged for a while."""
        while self._chasing:
            time.sleep(CHASE_SECONDS)
            self.acquire()
            try:
                self._chasing = not self.outlet.flush(0)
            finally:
                self.release()

    def _lost(self, lines: int) -> bytes:
        fields = head("warning", logger.name, time.time())
        return self._render(fields | {"message": "stderr wasn't read in time", "lost_lines": lines})


def tell_once(error: BaseException) -> None:
    """Marks an exception as told of: uvicorn logs again, whole, what went through the edge."""
    setattr(error, _TOLD, True)


def told(error: BaseException | None) -> bool:
    """Whether an exception has its line already."""
    return getattr(error, _TOLD, False)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the line of a record says; an exception with its traceback is one field."""
    fields = head(record.levelname.lower(), record.name, record.created)
    fields["message"] = record.getMessage().strip()
    if record.exc_info and record.exc_info[1]:
        fields["exception"] = "".join(traceback.format_exception(record.exc_info[1])).strip()
    if record.stack_info:
        fields["stack"] = record.stack_info
    return fields


def _stderr() -> int:
    """stderr's descriptor, or /dev/null's: where it is closed, 2 may be anything by now."""
    return 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger.critical("this process ends: %r", error, exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else "?"
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        logger.critical(
            "thread %s ends: %r", name, arguments.exc_value, exc_info=arguments.exc_value
        )
