"""Builds the service and runs it on LitServe.

    parent ── starts and watches ──▶ worker (spawned; torch, every model)
       └───── forks ──▶ API process (Starlette under uvicorn; no torch)

LitServe binds the port, starts the processes, starts a dead worker again and ends everything in
order. Its routes, queues and middlewares are not used: the application is ours.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import litserve
from litserve.utils import WorkerSetupStatus

from models import folder as folders
from models.tokenizer import Tokenizer
from service.api.app import create_app
from service.api.catalogue import Catalogue, check_shadows, default_model
from service.api.protocol import BoundedProtocol
from service.engine.lifeline import end_forks_with_this_process
from service.engine.worker import WorkerAPI, WorkerOptions, socket_path
from service.observe import logs, tracing
from service.settings import Settings

logger = logging.getLogger("lockstep.server")

WORKERS = 1
RESTART_SECONDS = 0.2  # between a worker's death and the next one's start
# What an API process may take to end after its last request: spans and log lines go out.
END_SECONDS = int(tracing.FLUSH_SECONDS + logs.FLUSH_SECONDS) + 1


def serve(settings: Settings) -> int:
    """Runs until a signal; returns the exit status: 0, or 1 if a process was lost for good.

    Raises:
        CheckpointError: a model must not be served.
        ValueError: a setting can't work with what is served.
        OSError: the port is taken, or a worker couldn't start.
    """
    tracing.check(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    found = folders.discover(settings.weights, list(settings.models) or None)
    catalogue = Catalogue(
        folders=found,
        default=default_model(settings.default_model, found),
        tokenizer=Tokenizer.load(settings.weights / folders.WORDPIECE),
    )
    check_shadows(settings.shadow, found)
    with runtime_folder(settings.runtime_dir) as runtime:
        server = LockstepServer(settings, catalogue, runtime)
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
        yield wanted.absolute()


class LockstepServer(litserve.LitServer):  # type: ignore[misc]  # litserve ships no types
    """A LitServer whose application, signals and care for its processes are ours.

    Overrides what version 0.2.19, which is pinned, does in these methods.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, runtime: Path) -> None:
        options = WorkerOptions(
            weights=settings.weights.absolute(),
            models=tuple(catalogue.folders),
            device=settings.device,
            dtype=settings.dtype,
            threads=settings.threads,
            max_batch_tokens=settings.max_batch_tokens,
            sockets=runtime,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )
        # One process either way: the worker chooses its device itself.
        super().__init__(
            WorkerAPI(options),
            accelerator="cpu",
            workers_per_device=WORKERS,
            timeout=False,
            restart_workers=True,
            disable_openapi_url=True,
        )
        sockets = [socket_path(runtime, worker) for worker in range(WORKERS)]
        self.app = create_app(settings, catalogue, sockets, runtime)
        self.uvicorn_graceful_timeout = settings.drain_timeout_ms // 1000
        self.failed = False
        self._stopping = False

    def _init_manager(self, num_api_servers: int) -> Any:
        """The manager is forked deaf to SIGTERM, so a signal to the group can't take it first."""
        logs.adopt()  # LitServe has just given its logger a handler of its own
        end_forks_with_this_process()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        manager = super()._init_manager(num_api_servers)
        self._install_stop_handler()
        return manager

    def _install_stop_handler(self) -> None:
        """SIGTERM and SIGINT end ``run`` as Ctrl-C does: in-flight requests finish first."""
        owner = os.getpid()

        def stop(signum: int, frame: Any) -> None:
            if os.getpid() != owner:  # an API process, after uvicorn has drained it
                raise SystemExit(0)
            self._stopping = True
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def verify_worker_status(self) -> None:
        """Waits for a worker to be ready; one that ended without a word is an error too."""
        while WorkerSetupStatus.READY not in self.workers_setup_status.values():
            alive = any(process.is_alive() for process in self.inference_workers)
            if WorkerSetupStatus.ERROR in self.workers_setup_status.values() or not alive:
                raise ChildProcessError("the worker couldn't start; its own message is above")
            time.sleep(0.02)

    def _start_server(self, *arguments: Any, **options: Any) -> Mapping[int, BaseProcess]:
        processes: Mapping[int, BaseProcess] = super()._start_server(*arguments, **options)
        # uvicorn has its bound by now; LitServe waits this long for it, before it kills.
        self.uvicorn_graceful_timeout += END_SECONDS
        watcher = threading.Thread(target=self._watch_api, args=(processes,), daemon=True)
        watcher.start()
        return processes

    def _start_worker_monitoring(self, *unused: Any) -> None:
        """Ours in place of LitServe's, which starts workers again while the service is ending."""
        threading.Thread(target=self._watch_workers, daemon=True).start()

    def _watch_workers(self) -> None:
        """Starts a worker that died again. One that ended with status 0 was told to stop."""
        (lit_api,) = self.litapi_connector.lit_apis
        while True:
            connection.wait([process.sentinel for process in self.inference_workers])
            for worker, process in enumerate(self.inference_workers):
                if process.exitcode is None:
                    continue
                if process.exitcode == 0 or self._stopping:
                    return
                logger.error("worker %d ended with %d; starting it again", worker, process.exitcode)
                time.sleep(RESTART_SECONDS)
                lit_api.options = replace(lit_api.options, replaces=True)
                self.inference_workers[worker] = self.launch_single_inference_worker(
                    lit_api, worker
                )

    def _watch_api(self, processes: Mapping[int, BaseProcess]) -> None:
        """An API process that dies takes the service down, non-zero: a supervisor restarts it."""
        connection.wait([process.sentinel for process in processes.values()])
        if not self._stopping:
            logger.error("an API process ended; stopping")
            self.failed = True
            os.kill(os.getpid(), signal.SIGTERM)
