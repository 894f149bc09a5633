"""Our MPNet against the reference, on outputs stored by ``make_references.py``, and alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.embedding import FrozenEmbedding
from models.mpnet import MPNetConfig, MPNetEncoder, bucket
from models.registry import ARCHITECTURES, TEACHERS, build
from training.pretrained import WORDS, convert_mpnet

DATA = Path(__file__).resolve().parent.parent / "data"
SMALL = MPNetConfig(input_size=32, max_length=40, num_layers=2, num_heads=4, d_ff=64)


def encoder(seed: int = 0) -> MPNetEncoder:
    torch.manual_seed(seed)
    made = MPNetEncoder(SMALL).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize("learning", [False, True])
def test_small_encoder_equals_the_reference(learning: bool) -> None:
    reference = load_file(DATA / "mpnet_tiny.safetensors")
    theirs = {name.removeprefix("mpnet."): t for name, t in reference.items() if "mpnet." in name}
    ours = MPNetEncoder(SMALL).eval()
    ours.load_state_dict(convert_mpnet(theirs, SMALL))
    mask = reference["attention_mask"]
    with torch.set_grad_enabled(learning):  # attention takes another way where it may learn
        hidden_states = ours(theirs[WORDS][reference["input_ids"]], mask)
    assert float((hidden_states.detach() - reference["last_hidden_state"])[mask].abs().max()) < 1e-5


def test_near_distances_have_a_row_each_and_far_ones_share() -> None:
    def row(distance: int) -> int:
        return int(bucket(torch.tensor([distance]), MPNetConfig())[0])

    assert [row(-near) for near in range(9)] == list(range(9))
    assert [row(near) for near in range(1, 9)] == list(range(17, 25))
    assert row(-8) == row(-9) == row(-11) < row(-12) < row(-100) == 15
    assert row(100) == row(128) == row(511) == 31
    assert [row(d) for d in range(1, 512)] == sorted(row(d) for d in range(1, 512))


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    made = encoder()
    embeddings = torch.randn(3, 21, 32)
    mask = torch.arange(21) < torch.tensor([21, 4, 13]).unsqueeze(1)
    together = made(embeddings, mask)
    for text, length in enumerate((21, 4, 13)):
        alone = made(embeddings[text : text + 1, :length], mask[text : text + 1, :length])
        assert torch.allclose(together[text, :length], alone[0], atol=1e-5)


@torch.inference_mode()
def test_attention_knows_how_far_apart_words_are() -> None:
    made = encoder()
    made.positions.weight.zero_()  # from here on order is told by distance alone
    embeddings, mask = torch.randn(1, 9, 32), torch.ones(1, 9, dtype=torch.bool)
    turned = embeddings.flip(1)
    assert not torch.allclose(made(embeddings, mask).flip(1), made(turned, mask), atol=1e-3)
    made.distances.weight.zero_()
    assert torch.allclose(made(embeddings, mask).flip(1), made(turned, mask), atol=1e-5)


def test_distances_arent_trained() -> None:
    made = encoder()
    hidden_states = made(torch.randn(1, 5, 32), torch.ones(1, 5, dtype=torch.bool))
    hidden_states.sum().backward()
    assert made.distances.weight.grad is None
    assert all(p.grad is not None for name, p in made.named_parameters() if "distances" not in name)


def test_teachers_stand_beside_the_architectures() -> None:
    assert not set(TEACHERS) & set(ARCHITECTURES)
    built = build("mpnet", SMALL, FrozenEmbedding.random(10, 32))
    assert isinstance(built.encoder, MPNetEncoder)
