"""Reviews, posted to a running service, and requests that go wrong."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.launch import ROOT
from training.data import read

TIMEOUT_SECONDS = 60  # tells an answer from a hang, on a machine however slow
DATA = ROOT.parent / "shared" / "data"
TEXTS = (
    "a gorgeous , witty , seductive movie .",
    "the plot is nothing but boilerplate cliches from start to finish .",
    "an utterly compelling portrait that never once loses its nerve",
    "it 's slow -- very , very slow .",
    "Rarely has a film about grief been this funny, and rarely has one earned its last scene so "
    "well. I expected little, and came out having called two friends to tell them to see it.",
)
# Of any model: a length that each of several buckets holds, up to past the Transformer's window.
LENGTHS = [TEXTS[0], TEXTS[4], " ".join(TEXTS), " ".join(TEXTS * 3), " ".join(TEXTS * 6)]
QUIET_SECONDS = 0.1  # between requests: shadows are asked only where no client is
LONG = {"inputs": [LENGTHS[-1]] * 4, "model": "lstm"}  # to be in flight together with others

Asked = Sequence[tuple[str, str]]  # models, each with a schedule


def model_names(base_url: str) -> list[str]:
    """Every model the service says it has."""
    reply = httpx.get(f"{base_url}/v1/models", timeout=TIMEOUT_SECONDS).raise_for_status()
    return [model["name"] for model in reply.json()["models"]]


def reviews(short: int, long: int) -> list[str]:
    """Real texts of both kinds, in an order of chance: the dev rows of SST-2 and IMDB.

    Where the data isn't, made-up ones of about the same lengths.
    """
    chance = random.Random(0)
    kinds = [(short, "sst2/dev.tsv", range(1, 3)), (long, "imdb/dev.jsonl.gz", range(4, 16))]
    texts = []
    for count, name, sentences in kinds:
        if (DATA / name).exists():
            texts += chance.sample([row.text for row in read(str(DATA / name)).rows], count)
        else:
            lengths = (chance.choice(sentences) for _ in range(count))
            texts += [" ".join(chance.choices(TEXTS, k=length)) for length in lengths]
    return chance.sample(texts, len(texts))


def post_all(base_url: str, texts: Sequence[str], models: Asked, clients: int) -> Counter[str]:
    """Posts each text to one of the models in turn; returns how many each one answered."""
    asked = list(zip(texts, itertools.cycle(models)))
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS) as client:

        def post(text: str, model: str, schedule: str) -> str:
            body = {"inputs": text, "model": model, "schedule": schedule}
            reply = client.post("/v1/classify", json=body).raise_for_status()
            assert reply.json()["results"][0]["tokens"] > 0
            return model

        with ThreadPoolExecutor(clients) as pool:
            return Counter(pool.map(lambda one: post(one[0], *one[1]), asked))


def classify_lengths(base_url: str, models: Asked) -> None:
    """Each length through each (model, schedule), one at a time, then a list, then in windows."""
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS) as client:
        for model, schedule in models:
            for inputs in (*LENGTHS, TEXTS, LENGTHS[-1:]):
                body: dict[str, Any] = {"inputs": inputs, "model": model, "schedule": schedule}
                if inputs == LENGTHS[-1:]:
                    body["long_input"] = "segment"
                client.post("/v1/classify", json=body).raise_for_status()
                time.sleep(QUIET_SECONDS)


def look_around(base_url: str) -> None:
    """What else there is to ask: the models, side by side, and what their forwards have cost."""
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS) as client:
        body = {"inputs": TEXTS[:2], "schedule": "each"}
        compared = client.post("/v1/compare", json=body).raise_for_status().json()
        assert {one["model"] for one in compared["models"]} == set(model_names(base_url))
        client.get("/v1/gap").raise_for_status()


def provoke(base_url: str) -> set[int]:
    """Codes of requests that go wrong: the client's own mistakes, and a deadline nothing meets.

    And one without a code, since its client doesn't wait for it.
    """
    with suppress(httpx.ReadTimeout):
        many = {"inputs": [LENGTHS[-1]] * 128, "model": "lstm"}
        httpx.post(f"{base_url}/v1/classify", json=many, timeout=httpx.Timeout(60, read=0.1))
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS) as client:
        answers = [
            client.get("/nowhere"),
            client.post("/v1/classify", content=b"not JSON"),
            client.post("/v1/classify", json={"inputs": ""}),
            client.post("/v1/classify", json={"inputs": "a", "model": "nobody"}),
            client.post("/v1/classify", json=LONG | {"timeout_ms": 0.001}),
        ]
    return {answer.status_code for answer in answers}


def crowd(base_url: str, clients: int) -> set[int]:
    """Codes of as many requests at once, each long enough for all to be in flight together."""
    with asking(base_url, clients) as (ask, pool):
        return {answer.result() for answer in [pool.submit(ask) for _ in range(clients)]}


def crowd_around(base_url: str, clients: int, act: Callable[[], None]) -> set[int]:
    """Codes of long requests, of which some are in flight whenever ``act`` does what it does."""
    over = threading.Event()

    def ask_on() -> set[int]:
        codes = set()
        while not over.is_set():
            codes.add(ask())
        return codes

    with asking(base_url, clients) as (ask, pool):
        answers = [pool.submit(ask_on) for _ in range(clients)]
        try:
            act()
        finally:
            over.set()
        return set().union(*(answer.result() for answer in answers))


@contextmanager
def asking(base_url: str, clients: int) -> Iterator[tuple[Callable[[], int], ThreadPoolExecutor]]:
    """A long request, whose code it gives, and as many threads to send it from."""
    # One client for all: to make one takes longer than a request may.
    client = httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS)
    with client, ThreadPoolExecutor(clients) as pool:
        yield lambda: client.post("/v1/classify", json=LONG).status_code, pool
