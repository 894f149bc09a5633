"""Pretrained encoders as packages ship them: found, put together, turned into ours."""

from __future__ import annotations

import io
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models import registry
from models.checkpoint import load_predictor
from models.embedding import FrozenEmbedding
from models.errors import CheckpointError, InputError
from models.folder import WORDPIECE
from models.mpnet import MPNetConfig, MPNetEncoder
from models.registry import Architecture
from tests.training.test_run import RECIPE, write_rows
from training.data import DataError
from training.job import TrainingJob
from training.pretrained import PARTS, WORDS, mpnet_words, read, write_wordpiece
from training.run import train

VOCABULARY = 30522  # BERT's, over which the shipped tokenizer reads
WEIGHTS = load_file(Path(__file__).resolve().parent.parent / "data" / "mpnet_tiny.safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallMPNetConfig(MPNetConfig):
    """As ``WEIGHTS`` has it."""

    input_size: int = 32
    max_length: int | None = 40
    num_layers: int = 2
    num_heads: int = 4
    d_ff: int = 64


def theirs() -> dict[str, Tensor]:
    """A small MPNet by its own names, with a word table of every word."""
    weights = {name.removeprefix("mpnet."): t for name, t in WEIGHTS.items() if "mpnet." in name}
    generator = torch.Generator().manual_seed(4)
    return weights | {WORDS: torch.randn(VOCABULARY + 5, 32, generator=generator)}


def install(site: Path, *, parts: int = len(PARTS)) -> None:
    """The packages, each with its part of one archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("all-mpnet-base-v2/README.md", "not this")
        archive.writestr("all-mpnet-base-v2/model.safetensors", save(theirs()))
    content = packed.getvalue()
    size = -(-len(content) // len(PARTS))
    for number, name in enumerate(PARTS[:parts]):
        folder = name.replace("part-", "part_") + "/input"
        part = f"{folder}/all-mpnet-base-v2.zip.{number + 1:03}"
        (site / folder).mkdir(parents=True)
        (site / part).write_bytes(content[number * size :][:size])
        about = site / f"{name.replace('-', '_')}-0.0.1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
        (about / "RECORD").write_text(f"{part},,\n{about.name}/METADATA,,\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for packages, before those that may be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def test_mpnet_is_put_together_from_its_parts(site: Path) -> None:
    install(site)
    known = read("mpnet")
    assert known.weights.keys() == theirs().keys()
    assert torch.equal(known.weights[WORDS], theirs()[WORDS])
    assert known.words.shape == (VOCABULARY, 32)


def test_missing_part_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(site)])
    install(site, parts=3)
    with pytest.raises(CheckpointError, match=r"part-004 is missing: `make setup-teacher`"):
        read("mpnet")


def test_words_stand_where_our_tokenizer_counts_them() -> None:
    table = torch.arange(VOCABULARY + 5.0).unsqueeze(1)
    words = mpnet_words(table).squeeze(1)
    assert words[[0, 101, 102, 103]].tolist() == [1, 0, 2, VOCABULARY + 4]  # pad, cls, sep, mask
    assert words[100] == 104  # [UNK]
    assert words[1996] == 2000  # "the"
    assert words[-1] == VOCABULARY + 3


def test_only_some_can_start_from_pretrained_weights() -> None:
    with pytest.raises(InputError, match="only minilm and mpnet can start from pretrained"):
        read("lstm")


@pytest.fixture
def large(
    site: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainingJob:
    """A run that trains an MPNet, in a folder of models that isn't there yet."""
    install(site)
    monkeypatch.setitem(registry.TEACHERS, "mpnet", Architecture(SmallMPNetConfig, MPNetEncoder))
    return TrainingJob(
        architecture="mpnet",
        name="mpnet",
        sources=[(write_rows(tmp_path / "own" / "train.csv", count=30), 1.0)],
        labels=None,
        teachers=(),
        pooling="mean",
        from_pretrained=True,
        start=None,
        weights=tmp_path / "large",
        work=tmp_path / "work",
        recipe=replace(RECIPE, passes=1, slices=1),
        precision="float32",
        command="lockstep train mpnet --pretrained",
    )


def student_of(job: TrainingJob, weights: Path) -> TrainingJob:
    return replace(
        job,
        architecture="lstm",
        name="student",
        teachers=(str(job.weights / "mpnet"),),
        pooling=None,
        from_pretrained=False,
        weights=weights,
        recipe=replace(job.recipe, hints=1.0),
    )


def test_teacher_with_a_word_table_of_its_own_teaches_a_student_of_another(
    large: TrainingJob, weights: Path
) -> None:
    train(large)
    _, teacher = load_predictor(large.weights, "mpnet")
    words = mpnet_words(theirs()[WORDS]).half().float()
    assert torch.equal(teacher.classifier.embedding.weight, words)

    table = FrozenEmbedding.random(VOCABULARY, 8).weight
    write_wordpiece(weights / WORDPIECE, table)
    card = train(student_of(large, weights)).card
    assert card["training"]["teachers"][0]["name"] == "mpnet"
    answers = list((large.work / "teacher").glob("*.safetensors"))
    shapes = {name: t.shape[1] for path in answers for name, t in load_file(path).items()}
    assert shapes == {"logits": 3, "vectors": 32}


def test_teacher_that_reads_other_tokens_is_refused(large: TrainingJob, weights: Path) -> None:
    train(large)
    with pytest.raises(DataError, match="mpnet reads other tokens than"):
        train(student_of(large, weights))


def test_model_in_a_folder_of_another_word_table_is_told_where_to_go(
    large: TrainingJob, weights: Path
) -> None:
    with pytest.raises(InputError, match="the embedding is 8 wide; the config says 32"):
        train(replace(large, weights=weights))
