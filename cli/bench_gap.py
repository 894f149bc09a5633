"""lockstep bench gap: the forward alone, by model, length, batch size and schedule."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.common import add_weights_option, names, training_installed, usable_device

if TYPE_CHECKING:
    import torch

    from bench.breakdown import Breakdown
    from bench.gap import Cell

EXAMPLE = "lockstep bench gap --models lstm,transformer --lengths 16,256 --batches 1,8"
LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
BATCHES = (1, 8, 32)
SECONDS = {"cpu": 0.25, "cuda": 0.03}  # a cell: some minutes on two cores, under one on a GPU
DTYPES = ("float32", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=names,
        default=[],
        metavar="NAME,…",
        help="models, or architectures for untrained ones (every model, and each architecture "
        "that has none)",
    )
    parser.add_argument(
        "--random", action="store_true", help="untrained weights for all: time needs no training"
    )
    parser.add_argument(
        "--lengths", type=numbers, default=LENGTHS, metavar="T,…", help="in tokens (16 to 1024)"
    )
    parser.add_argument(
        "--batches", type=numbers, default=BATCHES, metavar="B,…", help="in texts (1,8,32)"
    )
    parser.add_argument(
        "--dtype",
        choices=("auto", *DTYPES, "both"),
        default="auto",
        help="auto is the one with the faster matrix product here",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="cores to use (all)")
    parser.add_argument(
        "--seconds", type=float, help="for each cell (0.25 on a CPU, 0.03 on a GPU)"
    )
    parser.add_argument(
        "--baseline", default="transformer", metavar="NAME", help="what ratios are to (transformer)"
    )
    parser.add_argument("--out", type=Path, help="folder for tables, figures and plots (none)")
    add_weights_option(parser)


def run(arguments: argparse.Namespace) -> int:
    import torch

    from bench.gap_report import Report, markdown, page, summary_tables
    from bench.hardware import describe_hardware, measure_peak

    if any(number is not None and number <= 0 for number in (arguments.threads, arguments.seconds)):
        raise ValueError("--threads and --seconds must be above zero")
    device = usable_device(arguments.device)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.out:
        with training_installed():  # or it is said before the work
            from bench.plots import plot

        arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = DTYPES if arguments.dtype in ("auto", "both") else (arguments.dtype,)
    _say("the best matrix product")
    peaks = {dtype: measure_peak(device, getattr(torch, dtype)) for dtype in wanted}
    if arguments.dtype == "auto":
        wanted = (max(peaks, key=lambda dtype: peaks[dtype].flops_per_second),)
    cells, remarks, breakdowns = _measure(arguments, wanted, device)
    for dtype in wanted:  # again: a limit found while the machine was busy is none
        again = measure_peak(device, getattr(torch, dtype))
        peaks[dtype] = max(peaks[dtype], again, key=lambda peak: peak.flops_per_second)
    report = Report(
        arguments.command,
        describe_hardware(device),
        peaks,
        arguments.baseline,
        cells,
        remarks,
        breakdowns,
    )
    if arguments.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        for title, table in summary_tables(report).items():
            print(f"{title}\n\n{markdown(table)}\n")
    for remark in remarks:
        _say(remark)
    if arguments.out:
        (arguments.out / "gap.md").write_text(page(report), encoding="utf-8")
        (arguments.out / "gap.json").write_text(
            json.dumps(report.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for path in plot(cells, arguments.baseline, arguments.out):
            _say(f"wrote {path}")
    return 0


def _measure(
    arguments: argparse.Namespace, dtypes: tuple[str, ...], device: torch.device
) -> tuple[list[Cell], list[str], list[Breakdown]]:
    import torch

    from bench.breakdown import break_down
    from bench.gap import load_subjects, measure

    cells: list[Cell] = []
    breakdowns: list[Breakdown] = []
    remarks: dict[str, None] = {}
    for dtype in dtypes:
        subjects = load_subjects(
            arguments.weights,
            arguments.models,
            getattr(torch, dtype),
            device,
            random=arguments.random,
        )
        seconds = arguments.seconds or SECONDS[device.type]
        found, said = measure(subjects, dtype, arguments.lengths, arguments.batches, seconds, _say)
        cells += found
        remarks |= dict.fromkeys(said)
        for subject in subjects:
            if subject.model == arguments.baseline:
                length = max(filter(subject.reads, arguments.lengths), default=0)
                for batch in arguments.batches if length else ():
                    _say(f"{dtype}: what {batch} x {length} tokens of {subject.model} go into")
                    breakdowns.append(break_down(subject, dtype, batch, length))
    if arguments.baseline not in {cell.line.model for cell in cells}:
        remarks[f"{arguments.baseline} wasn't timed: there are no ratios to it"] = None
    return cells, list(remarks), breakdowns


def numbers(text: str) -> list[int]:
    """``16,32``: each above 0, in rising order, once."""
    values = sorted({int(word) for word in text.split(",")})
    if values[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: each must be 1 or more")
    return values


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
