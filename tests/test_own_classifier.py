"""docs/own-classifier.md, done as it says on a small made-up table."""

from __future__ import annotations

import csv
import json
import os
import random
import re
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.launch import LOCKSTEP, ROOT, Program, printed, require

PAGE = (ROOT / "docs" / "own-classifier.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*)\n```", PAGE, re.MULTILINE)
KINDS = {
    "billing": (
        ["I was charged", "You billed me", "My card was debited", "The invoice says I paid"],
        ["twice for one order", "for a plan that I cancelled", "more than the price on the page",
         "and nobody will refund it"],
    ),
    "delivery": (
        ["My parcel", "The package", "What I ordered", "The box"],
        ["never arrived", "has been on its way for three weeks", "came to the wrong address",
         "arrived broken and open"],
    ),
    "praise": (
        ["Your team was", "The person on the phone was", "Everyone I spoke with was",
         "The support I got was"],
        ["quick and very kind", "a pleasure to deal with", "wonderful from start to end",
         "more helpful than I had hoped"],
    ),
}  # fmt: skip
ENDS = ["", " Please look into it.", " That was on Monday.", " I have used you for years.",
        " Thank you for reading this."]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's reader stands, with both tables."""
    folder = tmp_path_factory.mktemp("own")
    rows = [
        (f"{begin} {middle}.{end}", label)
        for label, (begins, middles) in KINDS.items()
        for begin in begins
        for middle in middles
        for end in ENDS
    ]
    random.Random(0).shuffle(rows)
    for name, part in (("tickets.csv", rows[:200]), ("tickets-test.csv", rows[200:])):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *part])
    return folder


def run(command: str, folder: Path) -> str:
    """What a command of the page prints, ``lockstep`` being the one under test."""
    (folder / "lockstep").write_text(f'#!/bin/sh\nexec {" ".join(LOCKSTEP)} "$@"\n')
    (folder / "lockstep").chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return printed(["bash", "-c", command], folder, environment, seconds=900)


def test_page_leads_from_a_table_to_an_answer(folder: Path) -> None:
    require("curl")
    train, evaluate, classify, serve, ask = COMMANDS
    assert "wrote mine/tickets" in run(train, folder)
    card = json.loads((folder / "mine" / "tickets" / "card.json").read_text())
    assert card["training"]["command"] == train

    right = re.search(r"accuracy +([\d.]+)%", run(evaluate, folder))
    assert right
    assert float(right[1]) > 90  # the made-up rows are easy
    assert run(classify, folder).startswith("billing ")

    port = free_port()
    words = serve.replace("9000", str(port)).split()[1:]
    words[words.index("mine")] = str(folder / "mine")
    with Program(
        [*LOCKSTEP, *words], port=port, log=folder / "log", ready="/health/ready", ready_seconds=180
    ):
        answer = json.loads(run(ask.replace("9000", str(port)), folder))
    (result,) = answer["results"]
    assert (answer["model"], result["label"]) == ("tickets", "delivery")
    assert set(result["scores"]) == set(KINDS)
