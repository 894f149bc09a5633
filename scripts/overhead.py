"""What the service adds to a forward, at one client: where each request's time goes, in µs.

    .venv/bin/python scripts/overhead.py [--models lstm] [--free] [--against FOLDER]

One client asks one text again and again on one connection. The stages are those of the answers'
``timing``; ``round trip`` is what the client saw, HTTP and both ways included. What is left of
either without *tokenize* and *forward* is the service's own. With ``--free`` no forward is run.

``--against`` names another checkout: both services are up, asked in turn, and compared by the
medians of each.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from serving import ROOT, serving

from service.observe.timing import STAGES

PORT = 8766
TEXT = "A slow start, but by the end I was in tears. Wonderful."
WARM_UP = 50  # requests of a service before the first that counts
TURN = 25  # requests of one service, then of the other
FREE = ROOT / "scripts" / "free_forward.py"


@dataclass(slots=True)
class Asked:
    """The requests of one service.

    Attributes:
        label: of its column.
        client: its connection.
        stages: µs of each stage, and of their sum as ``total``, a number a request.
        round_trips: µs until the client had its answer.
    """

    label: str
    client: Client
    stages: dict[str, list[float]] = field(
        default_factory=lambda: {stage: [] for stage in (*STAGES, "total")}
    )
    round_trips: list[float] = field(default_factory=list)

    def ask(self) -> None:
        """One more."""
        seconds, answer = self.client.ask()
        self.round_trips.append(seconds * 1e6)
        for stage, found in self.stages.items():
            found.append(answer["timing"][f"{stage}_ms"] * 1e3)

    def rows(self) -> dict[str, float]:
        """Medians, by what they are of."""
        free = [a + b for a, b in zip(self.stages["tokenize"], self.stages["forward"], strict=True)]
        rows = {stage: statistics.median(found) for stage, found in self.stages.items()}
        rows["round trip"] = statistics.median(self.round_trips)
        for name, whole in (("total", self.stages["total"]), ("round trip", self.round_trips)):
            own = [all_of_it - of_them for all_of_it, of_them in zip(whole, free, strict=True)]
            rows[f"{name} - tokenize - forward"] = statistics.median(own)
        return rows


class Client:
    """A connection that is kept, and as little else as can be: its own time counts."""

    def __init__(self, port: int, model: str, text: str) -> None:
        body = json.dumps({"inputs": text, "model": model}).encode()
        head = "POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json"
        self._request = f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def ask(self) -> tuple[float, dict[str, dict[str, float]]]:
        """Seconds until the answer was there, and the answer."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        received = self._receive()
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        took = time.perf_counter() - began
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"the service answered {received.decode()}")
        answer: dict[str, dict[str, float]] = json.loads(body)
        return took, answer

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise SystemExit("the service closed the connection")
        return received


def measure(asked: Sequence[Asked], requests: int) -> None:
    """So many requests of each service, in turn."""
    for one in asked:
        for _ in range(WARM_UP):
            one.client.ask()
    for _ in range(-(-requests // TURN)):
        for one in asked:
            for _ in range(TURN):
                one.ask()


def table(asked: Sequence[Asked]) -> str:
    """A row a stage, a column a service; with two, the ratio of the second to the first."""
    columns = [one.rows() for one in asked]
    two = len(asked) == 2
    titles = [one.label for one in asked] + ["ratio"] * two
    lines = ["".join([f"{'µs, median':<32}", *(f"{title:>12}" for title in titles)])]
    for name in columns[0]:
        cells = [f"{column[name]:.0f}" for column in columns]
        if two:
            before, now = (column[name] for column in columns)
            cells.append(f"{now / before:.2f}" if before else "-")
        lines.append("".join([f"{name:<32}", *(f"{cell:>12}" for cell in cells)]))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="lstm", help="asked one after another")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--requests", type=int, default=2000, help="of each model")
    parser.add_argument("--free", action="store_true", help="with a forward that takes no time")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--port", type=int, default=PORT, help="this one and, with two, the next")
    parser.add_argument("flags", nargs="*", help="after --: of lockstep serve")
    options = parser.parse_args(argv)
    roots = {"before": options.against.resolve()} if options.against else {}
    roots["now"] = ROOT
    program = [str(FREE)] if options.free else ["-m", "cli.main"]
    with ExitStack() as stack:
        for port, root in enumerate(roots.values(), options.port):
            flags = ["--models", options.models, *options.flags]
            stack.enter_context(serving(port, *flags, root=root, program=program))
        for model in options.models.split(","):
            with ExitStack() as clients:
                asked = [
                    Asked(label, clients.enter_context(Client(port, model, options.text)))
                    for port, label in enumerate(roots, options.port)
                ]
                measure(asked, options.requests)
            print(f"{model}, {len(asked[0].round_trips)} requests\n{table(asked)}", flush=True)


if __name__ == "__main__":
    main()
