"""Builds the service and runs it on LitServe.

    parent ── starts and watches ──▶ workers (spawned; torch, every model)
       └───── forks ──▶ API processes (Starlette under uvicorn; no torch)

LitServe binds the port, starts the processes and ends everything in order. Its routes, queues,
middlewares and manager process are not used: the application is ours, and so is the watch over
the processes.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import litserve

from models import folder as folders
from models.tokenizer import Tokenizer
from service.api.app import METRICS_FOLDER, create_app
from service.api.catalogue import Catalogue, check_shadows, default_model
from service.api.protocol import BoundedProtocol, allow_open_files
from service.engine import decisions
from service.engine.activity import Activity
from service.engine.heartbeat import Heartbeat
from service.engine.lifeline import end_forks_with_this_process
from service.engine.options import WorkerOptions, heartbeat_path, remove_weights, socket_path
from service.engine.placement import place
from service.engine.signals import StopSignals, deaf_children
from service.engine.supervisor import Charge, Supervisor
from service.engine.worker import Unused, WorkerAPI
from service.observe import logs, metrics, tracing
from service.settings import Settings

logger = logging.getLogger("lockstep.server")

LISTEN_BACKLOG = 2048  # uvicorn's
# What an API process may take to end after its last request: spans and log lines go out.
END_SECONDS = int(tracing.FLUSH_SECONDS + logs.FLUSH_SECONDS) + 1


def serve(settings: Settings) -> int:
    """Runs until a signal; returns the exit status: 0, or 1 if a process was lost for good.

    Raises:
        CheckpointError: a model must not be served.
        ValueError: a setting can't work with what is served.
        OSError: the port is taken, or a worker couldn't start.
    """
    signals = StopSignals()
    try:
        return _serve(settings, signals)
    except KeyboardInterrupt:
        logger.info("told to stop before anything was served")
        return 0


def _serve(settings: Settings, signals: StopSignals) -> int:
    tracing.check(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    allow_open_files(settings.max_connections)
    found = folders.discover(settings.weights, list(settings.models) or None)
    catalogue = Catalogue(
        folders=found,
        default=default_model(settings.default_model, found),
        tokenizer=Tokenizer.load(settings.weights / folders.WORDPIECE),
    )
    check_shadows(settings.shadow, found)
    with runtime_folder(settings.runtime_dir) as runtime:
        server = LockstepServer(settings, catalogue, runtime, signals)
        try:
            server.run(
                host=settings.host,
                port=settings.port,
                num_api_servers=settings.api_processes,
                log_level=settings.log_level,
                log_config=None,  # uvicorn's lines go where ours do
                generate_client_file=False,
                access_log=False,
                server_header=False,
                lifespan="on",
                http=partial(BoundedProtocol, settings),
            )
        except SystemExit as stop:  # uvicorn's way to say that it can't listen, after its log did
            raise OSError(f"can't listen on {settings.host}:{settings.port} ({stop})") from stop
        finally:
            # A start that came to nothing: LitServe ends nobody, and who exits waits for all.
            for child in multiprocessing.active_children():
                child.kill()
    return 1 if server.failed else 0


@contextmanager
def runtime_folder(wanted: Path | None) -> Iterator[Path]:
    """A folder for the sockets that nobody else may enter; removed if it was made here."""
    if wanted is None:
        folder = Path(tempfile.mkdtemp(prefix="lockstep-"))  # mode 0700
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted.chmod(0o700)
        remove_weights(wanted)  # of a service that was killed
        try:
            yield wanted.absolute()
        finally:
            remove_weights(wanted)


class LockstepServer(litserve.LitServer):  # type: ignore[misc]  # litserve ships no types
    """A LitServer whose application, signals and care for its processes are ours.

    Overrides what version 0.2.19, which is pinned, does in these methods.
    """

    def __init__(
        self, settings: Settings, catalogue: Catalogue, runtime: Path, signals: StopSignals
    ) -> None:
        cores = settings.threads or len(os.sched_getaffinity(0))
        self._devices = place(settings.device, settings.workers, cores)
        workers = len(self._devices)
        decisions.forget(runtime)
        self._activity = Activity(runtime, workers)
        options = WorkerOptions(
            weights=settings.weights.absolute(),
            models=tuple(catalogue.folders),
            dtype=settings.dtype,
            worker=0,
            workers=workers,
            threads=cores,
            fewer_threads=settings.threads is None,
            max_batch_tokens=settings.max_batch_tokens,
            sockets=runtime,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )
        super().__init__(
            WorkerAPI(options),
            accelerator="cpu",  # what LitServe makes of it is overridden below
            timeout=False,
            restart_workers=True,
            disable_openapi_url=True,
        )
        sockets = [socket_path(runtime, worker) for worker in range(workers)]
        self.app = create_app(settings, catalogue, sockets, runtime, self._activity)
        self.uvicorn_graceful_timeout = settings.drain_timeout_ms // 1000
        self.failed = False
        self._settings, self._runtime = settings, runtime
        self._sockets: list[socket.socket] = []
        self._api: dict[int, BaseProcess] = {}
        self._charges: list[Charge] = []
        self._supervisor = Supervisor(self._charges, settings.stuck_seconds)
        self._signals = signals
        signals.before = self._supervisor.stop

    def _inference_workers_config_for_api(self, api_path: str) -> list[list[str]]:
        """A device a worker."""
        return [[device] for device in self._devices]

    def _init_manager(self, num_api_servers: int) -> Any:
        """No manager process: nothing of ours goes through its queues."""
        logs.adopt()  # LitServe has just given its logger a handler of its own
        end_forks_with_this_process()
        self._shutdown_event = threading.Event()
        self.workers_setup_status: dict[str, str] = {}
        self.litapi_request_queues = dict.fromkeys(
            lit_api.api_path for lit_api in self.litapi_connector
        )
        self._transport = Unused()
        return self._transport

    def launch_inference_worker(self, lit_api: WorkerAPI) -> list[BaseProcess]:
        """Every worker, each with a heartbeat."""
        for worker in range(len(self._devices)):
            launch = partial(self._launch_worker, lit_api, worker)
            with self._signals.held():
                self._charges.append(Charge(f"worker {worker}", launch, *launch(0)))
        return [charge.process for charge in self._charges]

    def _launch_worker(
        self, lit_api: WorkerAPI, worker: int, replaces: int
    ) -> tuple[BaseProcess, Heartbeat]:
        path = heartbeat_path(self._runtime, worker)
        path.unlink(missing_ok=True)  # the one before may be in its last beats
        self._activity.end(worker)
        heartbeat = Heartbeat(path)
        lit_api.options = replace(lit_api.options, worker=worker, replaces=replaces)
        with deaf_children():
            process: BaseProcess = self.launch_single_inference_worker(lit_api, worker)
        if worker < len(self.inference_workers):  # LitServe's list, which ends them
            self.inference_workers[worker] = process
        return process, heartbeat

    def verify_worker_status(self) -> None:
        """Waits for the first worker that is ready; one that ended is an error."""
        while not any(charge.heartbeat.count for charge in self._charges):
            if any(charge.process.exitcode is not None for charge in self._charges):
                raise ChildProcessError("a worker couldn't start; its own message is above")
            time.sleep(0.02)

    def _start_server(
        self,
        port: int,
        processes: int,
        level: str,
        sockets: list[socket.socket],
        *more: Any,
        **options: Any,
    ) -> dict[int, BaseProcess]:
        """The API processes, and the watch over everything."""
        try:
            for sock in sockets:  # now, not in a fork: another may have taken the port meanwhile
                sock.listen(LISTEN_BACKLOG)
        except OSError as error:
            where = f"{self._settings.host}:{port}"
            raise OSError(f"can't listen on {where}: {error.strerror}") from error
        self._sockets = sockets
        fork = partial(super()._start_server, port, 1, level, sockets, *more, **options)

        def launch(number: int, replaces: int) -> tuple[BaseProcess, Heartbeat]:
            heartbeat = self.app.state.heartbeat = Heartbeat()
            (self._api[number],) = fork().values()
            return self._api[number], heartbeat

        for number in range(processes):
            with self._signals.held():
                self._charges.append(
                    Charge(
                        f"API process {number}",
                        partial(launch, number),
                        *launch(number, 0),
                        dies_young=self._give_up,
                        died=partial(metrics.forget_process, self._runtime / METRICS_FOLDER),
                    )
                )
        return self._api

    def _start_worker_monitoring(self, *unused: Any) -> None:
        """Ours in place of LitServe's, which starts workers again while the service is ending."""
        self._supervisor.start()

    def _perform_graceful_shutdown(self, manager: Any, _: object, reason: str = "normal") -> None:
        for sock in self._sockets:
            sock.close()  # or who connects once the API processes don't listen would wait
        for process in self._api.values():  # all at once: LitServe waits for each in turn
            process.terminate()
        # uvicorn has its bound; LitServe waits this long for it, before it kills.
        self.uvicorn_graceful_timeout += math.ceil(self._settings.drain_delay_ms / 1e3)
        self.uvicorn_graceful_timeout += END_SECONDS
        super()._perform_graceful_shutdown(manager, self._api, reason)

    def _give_up(self) -> bool:
        """An API process that can't start takes the service down, for a supervisor to look at."""
        self.failed = True
        os.kill(os.getpid(), signal.SIGTERM)
        return False
