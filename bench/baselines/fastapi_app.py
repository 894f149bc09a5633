"""The plain baseline: FastAPI, a queue, and a batcher that waits a fixed window for more.

python -m bench.baselines.fastapi_app --weights weights --model lstm --threads 2 --port 8001
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from bench.baselines.servable import HOST, Servable, parse
from models.errors import InputError

Verdict = dict[str, Any]


class Request(BaseModel):
    """The body of ``POST /predict``."""

    inputs: str | list[str]


class Reply(BaseModel):
    """What it is answered with."""

    results: list[Verdict]


class Batcher:
    """Collects texts from the first that comes until the window is over or the batch is full.

    Args:
        classify: runs a batch; called in a thread.
        batch_size: most texts of one.
        window_seconds: how long it stays open.
    """

    def __init__(
        self,
        classify: Callable[[Sequence[str]], list[Verdict]],
        batch_size: int,
        window_seconds: float,
    ) -> None:
        self._classify = classify
        self._batch_size, self._window = batch_size, window_seconds
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[Verdict]]] = asyncio.Queue()

    async def submit(self, text: str) -> Verdict:
        """The verdict on one text, once its batch has run."""
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((text, answer))
        return await answer

    async def run(self) -> None:
        """Runs batch after batch, until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            while True:
                batch = await self._collect(loop)
                texts = [text for text, _ in batch]
                try:
                    verdicts = await loop.run_in_executor(pool, self._classify, texts)
                except Exception as error:  # noqa: BLE001 - each request is told, as its own
                    for _, answer in batch:
                        answer.set_exception(error)
                    continue
                for (_, answer), verdict in zip(batch, verdicts, strict=True):
                    answer.set_result(verdict)

    async def _collect(
        self, loop: asyncio.AbstractEventLoop
    ) -> list[tuple[str, asyncio.Future[Verdict]]]:
        batch = [await self._queue.get()]
        closes = loop.time() + self._window
        while len(batch) < self._batch_size:
            if self._queue.empty() and (left := closes - loop.time()) > 0:
                try:
                    batch.append(await asyncio.wait_for(self._queue.get(), left))
                except TimeoutError:
                    break
            elif self._queue.empty():
                break
            else:
                batch.append(self._queue.get_nowait())
        return batch


def create_app(
    classify: Callable[[Sequence[str]], list[Verdict]], batch_size: int, window_seconds: float
) -> FastAPI:
    """The application, over whatever runs a batch."""
    batcher = Batcher(classify, batch_size, window_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.post("/predict")
    async def predict(request: Request) -> Reply:
        texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
        try:
            results = await asyncio.gather(*(batcher.submit(text) for text in texts))
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        return Reply(results=list(results))

    return app


def main() -> None:
    """Serves until a signal."""
    options = parse("FastAPI with a fixed-window batcher")
    servable = Servable(options)
    app = create_app(servable.classify, options.batch_size, options.window_ms / 1e3)
    uvicorn.run(app, host=HOST, port=options.port, access_log=not options.quiet)


if __name__ == "__main__":
    main()
