"""What workers tell of themselves, turned into metrics: of all of them together."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

from service.api.catalogue import Catalogue
from service.engine.wire import BatchFacts, Hello, ServedModel, WorkerState
from service.observe.metrics import Metrics

Info = tuple[str, str, str, str, str]  # the labels of lockstep_model_info


class WorkerObserver:
    """Told by the engine's links, each of which has a worker's number.

    Every API process is told every worker's state and shows the sum; a batch is told to one alone.
    """

    def __init__(self, metrics: Metrics, catalogue: Catalogue) -> None:
        self._metrics, self._catalogue = metrics, catalogue
        self._devices: dict[int, str] = {}
        self._states: dict[int, WorkerState] = {}
        self._served: dict[int, set[Info]] = {}

    def hello(self, worker: int, hello: Hello) -> None:
        """A worker is connected."""
        self._devices[worker] = hello.device
        self._metrics.worker(hello.device, restarted=hello.replaces)
        self._metrics.build(version("lockstep"), version("litserve"), hello.torch)
        before = self._served.get(worker, set())
        self._served[worker] = {self._info(hello, model) for model in hello.models}
        for gone in before.difference(*self._served.values()):
            self._metrics.model_gone(*gone)
        for model in hello.models:
            self._metrics.model(*self._info(hello, model), model.load_seconds)

    def batch(self, worker: int, facts: BatchFacts) -> None:
        """A batch ran. What isn't clients' traffic shows as the worker's time alone."""
        self._metrics.busy(self._devices[worker], facts.batch_seconds + facts.forward_seconds)
        if facts.traffic != "client":
            return
        self._metrics.batch(
            facts.model,
            rows=facts.rows,
            tokens=facts.tokens,
            padding=facts.padding_tokens,
            forward_seconds=facts.forward_seconds,
            flops=facts.flops,
            steps=facts.sequential_steps,
        )

    def state(self, worker: int, state: WorkerState) -> None:
        """More or less waits than before."""
        self._states[worker] = state
        self._show_states()

    def lost(self, worker: int) -> None:
        """A worker went away, with all that it held."""
        if self._states.pop(worker, None) is not None:
            self._show_states()

    def _show_states(self) -> None:
        waiting: Counter[str] = Counter()
        memory = dict.fromkeys(self._devices.values(), 0)
        for worker, state in self._states.items():
            waiting.update(state.waiting)
            memory[self._devices[worker]] += state.memory_bytes
        self._metrics.queues(waiting)
        for device, held in memory.items():
            self._metrics.memory(device, held)

    def _info(self, hello: Hello, model: ServedModel) -> Info:
        folder = self._catalogue.folders[model.name]
        weights = folder.sha256["weights"][:12]
        return model.name, folder.architecture, hello.device, model.dtype, weights
