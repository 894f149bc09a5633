"""What is settled before a worker is asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn, cast

import pytest

from models import folder as folders
from models.tokenizer import Tokenizer
from service.api.catalogue import Catalogue
from service.api.errors import DeadlineExceeded
from service.api.inference import Inference
from service.engine.client import Engine
from service.observe.timing import Stamps, now
from service.settings import Settings
from tests.small import write_model


class Untouched:
    """An engine that nobody may ask."""

    async def infer(self, *asked: object) -> NoReturn:
        raise AssertionError(f"a worker was asked: {asked}")


def test_time_that_is_up_after_tokenizing_is_never_sent_to_a_worker(weights: Path) -> None:
    write_model(weights, "lstm", architecture="lstm")
    known = folders.discover(weights)
    catalogue = Catalogue(known, "lstm", Tokenizer.load(weights / folders.WORDPIECE))
    inference = Inference(Settings(), catalogue, cast(Engine, Untouched()))

    async def ask() -> None:
        prepared = await inference.prepare(["a fine film"], known["lstm"], "truncate")
        await inference.infer(known["lstm"], None, prepared, Stamps(now()), deadline=now())

    with pytest.raises(DeadlineExceeded, match="tokenized"):
        asyncio.run(ask())
