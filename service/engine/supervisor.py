"""Keeps the service's processes going: starts again what died, ends what is stuck.

A process beats its heartbeat as it gets on. One that doesn't for too long is stopped, or in a
forward that never ends: it is killed, which ends its connections, and so whoever waits for it is
told. What dies again and again is started ever more seldom.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from service.engine.heartbeat import Heartbeat

logger = logging.getLogger("lockstep.server")

LOOK_SECONDS = 0.5
START_SECONDS = 600.0  # from a start to the first beat: reading every model from a slow disk
FIRST_PAUSE_SECONDS = 0.2  # between a death and the next start
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a process that lived as long didn't die of its start

# Starts a process in place of as many that died; gives it and what it beats.
Launch = Callable[[int], tuple[BaseProcess, Heartbeat]]


@dataclass(slots=True)
class Charge:
    """A process to keep going.

    Attributes:
        name: for the log.
        launch: starts another in its place; may raise OSError.
        process, heartbeat: of the one that runs.
        dies_young: told that one ended before its first beat; returns whether to try again.
        died: told of the process id of one that ended.
        counted: beats at the last look.
        silent_seconds: looked at without a beat.
        began: when it was launched, in seconds of ``time.monotonic``.
        untold: deaths since a process in its place last got going.
        pause_seconds: before the next start.
        due: when that is; None while one runs.
        given_up: it is left alone.
    """

    name: str
    launch: Launch
    process: BaseProcess
    heartbeat: Heartbeat
    dies_young: Callable[[], bool] = lambda: True
    died: Callable[[int], None] = lambda pid: None
    counted: int = 0
    silent_seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    untold: int = 0
    pause_seconds: float = 0.0
    due: float | None = None
    given_up: bool = False


class Supervisor:
    """Watches over processes from a thread of its own, until told to stop.

    Args:
        charges: the processes.
        stuck_seconds: the longest that one may go without a beat.
    """

    def __init__(self, charges: Sequence[Charge], stuck_seconds: float) -> None:
        self._charges, self._stuck_seconds = charges, stuck_seconds
        self._stopping = threading.Event()
        self._idle = threading.Lock()  # held while it acts
        self._looked = time.monotonic()

    def start(self) -> None:
        """Begins to watch."""
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def stop(self) -> None:
        """Nothing is started or killed from now on; waits for what is being done."""
        self._stopping.set()
        with self._idle:
            pass

    def _watch(self) -> None:
        while not self._stopping.is_set():
            charges = [charge for charge in self._charges if not charge.given_up]
            running = [charge.process.sentinel for charge in charges if charge.due is None]
            due = min(
                (charge.due for charge in charges if charge.due is not None), default=math.inf
            )
            connection.wait(running, max(0.0, min(LOOK_SECONDS, due - time.monotonic())))
            with self._idle:
                if self._stopping.is_set():
                    return
                self.look()

    def look(self) -> None:
        """Does what there is to do now."""
        moment = time.monotonic()
        # Counted in looks, not by the clock: if this process was stopped too, nobody is to blame.
        looked = moment - self._looked >= LOOK_SECONDS
        if looked:
            self._looked = moment
        for charge in self._charges:
            if charge.given_up:
                continue
            if charge.due is not None:
                if moment >= charge.due:
                    self._launch(charge)
            elif charge.process.exitcode is not None:
                self._mourn(charge, moment)
            elif looked:
                self._listen(charge)

    def _listen(self, charge: Charge) -> None:
        count = charge.heartbeat.count
        if count != charge.counted:
            charge.counted, charge.silent_seconds, charge.untold = count, 0.0, 0
            return
        charge.silent_seconds += LOOK_SECONDS
        allowed = self._stuck_seconds if count else max(START_SECONDS, self._stuck_seconds)
        if charge.silent_seconds > allowed:
            logger.error("%s has been stuck for %.1f s; killing it", charge.name, allowed)
            charge.process.kill()
            charge.silent_seconds = 0.0

    def _mourn(self, charge: Charge, moment: float) -> None:
        code, pid = charge.process.exitcode, charge.process.pid
        if pid is not None:
            charge.died(pid)
        if charge.heartbeat.count:
            charge.untold = 0
        elif not charge.dies_young():
            logger.error("%s ended with %s before it had begun", charge.name, code)
            charge.given_up = True
            return
        if moment - charge.began >= STEADY_SECONDS or not charge.pause_seconds:
            charge.pause_seconds = FIRST_PAUSE_SECONDS
        else:
            charge.pause_seconds = min(2 * charge.pause_seconds, LONGEST_PAUSE_SECONDS)
        charge.due = moment + charge.pause_seconds
        charge.untold += 1
        logger.error(
            "%s ended with %s; starting it again in %.1f s", charge.name, code, charge.pause_seconds
        )

    def _launch(self, charge: Charge) -> None:
        charge.began = time.monotonic()
        charge.counted, charge.silent_seconds = 0, 0.0
        try:
            charge.process, charge.heartbeat = charge.launch(charge.untold)
            charge.due = None
        except OSError as error:  # no room, no memory, no process left: either may pass
            charge.pause_seconds = min(2 * charge.pause_seconds, LONGEST_PAUSE_SECONDS)
            charge.due = charge.began + charge.pause_seconds
            logger.error(
                "%s can't start (%s); again in %.1f s", charge.name, error, charge.pause_seconds
            )
