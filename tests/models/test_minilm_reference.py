"""Our MiniLM against the reference BERT, on outputs stored by ``make_references.py``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.errors import CheckpointError
from models.minilm import MiniLMConfig, MiniLMEncoder
from training.pretrained import WORDS, convert_minilm, read

DATA = Path(__file__).resolve().parent.parent / "data"


def pretrained() -> dict[str, Tensor]:
    """The pretrained weights; a test that needs them is skipped without them, but not in CI."""
    try:
        return read("minilm").weights
    except CheckpointError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@torch.inference_mode()
def largest_difference(
    reference: dict[str, Tensor], bert: dict[str, Tensor], config: MiniLMConfig
) -> float:
    """Between the hidden states of real tokens: those of padding mean nothing."""
    encoder = MiniLMEncoder(config).eval()
    encoder.load_state_dict(convert_minilm(bert, config))
    mask = reference["attention_mask"]
    hidden_states = encoder(bert[WORDS][reference["input_ids"]], mask)
    return float((hidden_states - reference["last_hidden_state"])[mask].abs().max())


def test_small_encoder_equals_the_reference() -> None:
    reference = load_file(DATA / "minilm_tiny.safetensors")
    bert = {name.removeprefix("bert."): t for name, t in reference.items() if "bert." in name}
    config = MiniLMConfig(input_size=32, max_length=40, num_layers=2, num_heads=4, d_ff=64)
    assert largest_difference(reference, bert, config) < 1e-5


def test_pretrained_encoder_equals_the_reference() -> None:
    bert = pretrained()
    reference = load_file(DATA / "minilm_reference.safetensors")
    assert largest_difference(reference, bert, MiniLMConfig()) < 1e-5


def test_pretrained_encoder_keeps_its_answer_over_the_stored_table() -> None:
    bert = pretrained()
    reference = load_file(DATA / "minilm_reference.safetensors")
    bert[WORDS] = bert[WORDS].half().float()  # as weights/wordpiece holds it
    assert largest_difference(reference, bert, MiniLMConfig()) < 5e-3
