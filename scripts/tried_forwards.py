"""Ways to run a forward that the service does without, beside the one it takes.

    .venv/bin/python scripts/tried_forwards.py compile lstm transformer minilm
    .venv/bin/python scripts/tried_forwards.py int8 lstm transformer minilm --data sst2/dev.tsv

Medians in turn, in CPU time of one thread. ``compile`` is torch.compile with frozen weights in
bfloat16, which needs a C++ compiler where it runs; ``int8`` is torch's dynamic quantization:
weights by channel (an LSTM's by matrix), activations at each call.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.nn import functional as F

from models.base import Classifier
from models.checkpoint import load_predictor
from models.predict import Predictor
from models.recurrence import LSTM
from training.data import read

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
SHAPES = ((1, 32), (1, 256), (8, 32), (8, 256))  # (B, T)
ROUNDS = 9


class QuantizedLinear(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = weight.abs().amax(1).clamp(min=1e-8) / 127
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach()
        self.packed = torch.ops.quantized.linear_prepack(quantized, bias)

    def forward(self, inputs: Tensor) -> Tensor:
        answer: Tensor = torch.ops.quantized.linear_dynamic(inputs, self.packed, True)
        return answer

    def gelu(self, inputs: Tensor) -> Tensor:
        return F.gelu(self(inputs))


class QuantizedLSTM(nn.Module):
    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        plain = nn.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True)
        plain.load_state_dict(lstm.state_dict())
        holder = nn.ModuleList([plain])
        self.lstm = torch.ao.quantization.quantize_dynamic(holder, {nn.LSTM}, torch.qint8)[0]

    def states(self, steps: Tensor) -> Tensor:
        hidden_states: Tensor = self.lstm(steps)[0]
        return hidden_states


def quantize(classifier: Classifier) -> Classifier:
    for module in list(classifier.encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, QuantizedLinear(child))
            elif isinstance(child, LSTM):
                setattr(module, name, QuantizedLSTM(child))
    return classifier


def copied(classifier: Classifier, dtype: torch.dtype) -> Classifier:
    return copy.deepcopy(classifier, {id(classifier.embedding): classifier.embedding}).cast(dtype)


def milliseconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS + 1):
        for name, call in calls.items():
            began = time.thread_time()
            call()
            if turn:  # the first sets things up
                taken[name].append((time.thread_time() - began) * 1e3)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def ids(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    input_ids = torch.randint(1000, 20_000, shape)
    return input_ids, torch.ones_like(input_ids, dtype=torch.bool)


@torch.inference_mode()
def try_int8(name: str, predictor: Predictor, sources: list[str]) -> None:
    forms = {
        "float32": copied(predictor.classifier, torch.float32).pack(),
        "bfloat16": copied(predictor.classifier, torch.bfloat16).pack(),
        "int8": quantize(copied(predictor.classifier, torch.float32)),
    }
    for shape in SHAPES:
        batch = ids(shape)
        taken = milliseconds({key: partial(form, *batch) for key, form in forms.items()})
        print(f"{name} {shape}", {key: round(ms, 2) for key, ms in taken.items()}, flush=True)
    for source in sources:
        texts = [row.text for row in read(source).rows]
        float32, *others = (
            [one.verdict.label for one in replace(predictor, classifier=form).predict(texts)]
            for form in forms.values()
        )
        for key, labels in zip(list(forms)[1:], others, strict=True):
            same = sum(a == b for a, b in zip(float32, labels, strict=True)) / len(texts)
            print(f"{name} {source}: {key} has float32's label on {same:.2%}", flush=True)


@torch.no_grad()
def try_compile(name: str, predictor: Predictor, sources: list[str]) -> None:
    inductor.freezing = True
    eager = copied(predictor.classifier, torch.bfloat16)
    packed = copied(predictor.classifier, torch.bfloat16).pack().encoder
    for shape in SHAPES:
        torch._dynamo.reset()
        compiled = torch.compile(eager.encoder, dynamic=False)
        mask = ids(shape)[1]
        embeddings = torch.randn(*shape, eager.config.input_size).bfloat16()
        began, cpu = time.perf_counter(), time.process_time()
        compiled(embeddings, mask)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        forms = {"packed": packed, "compiled": compiled}
        taken = milliseconds({key: partial(form, embeddings, mask) for key, form in forms.items()})
        rounded = {key: round(ms, 2) for key, ms in taken.items()}
        print(f"{name} {shape} {rounded}; first call {wall:.0f} s ({cpu:.0f} s here)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("compile", "int8"))
    parser.add_argument("models", nargs="+", help="names of models")
    parser.add_argument("--data", action="append", default=[], help="labelled texts, for int8")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # or part of the time would be another thread's
    warnings.simplefilter("ignore")  # torch says that it will drop its quantized tensors
    tried = {"compile": try_compile, "int8": try_int8}[arguments.what]
    for name in arguments.models:
        tried(name, load_predictor(WEIGHTS, name)[1], arguments.data)


if __name__ == "__main__":
    main()
