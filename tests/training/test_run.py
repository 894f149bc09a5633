"""``train`` from files to a folder that answers, with three labels of one's own."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import registry
from models.checkpoint import load_predictor
from tests.small import write_model
from training.data import DataError
from training.fitting import Fitting
from training.job import TrainingJob
from training.recipes import Recipe
from training.run import train

WORDS = {"bad": ["awful", "dull"], "fair": ["fine", "slow"], "good": ["great", "fast"]}
RECIPE = Recipe(
    learning_rate=0.02, passes=4, batch_rows=8, slices=4, augment=1, excerpts=1, warmup=0.1
)


def write_rows(path: Path, count: int = 120, seed: int = 1) -> str:
    """Texts in which one word of a label stands among others."""
    generator = random.Random(seed)
    lines = ["text,label"]
    for number in range(count):
        label = list(WORDS)[number % 3]
        words = generator.choices(["a", "the", "film", "story", "one", "two", "three"], k=6)
        words.insert(generator.randint(0, 6), generator.choice(WORDS[label]))
        lines.append(f"{' '.join(words)},{label}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def job(weights: Path, tmp_path: Path) -> TrainingJob:
    return TrainingJob(
        architecture="lstm",
        name="own",
        sources=[(write_rows(tmp_path / "own" / "train.csv"), 1.0)],
        labels=None,
        teachers=(),
        pooling=None,
        from_pretrained=False,
        start=None,
        weights=weights,
        work=tmp_path / "work",
        recipe=RECIPE,
        precision="float32",
        command="lockstep train lstm --data own/train.csv",
    )


def test_training_writes_a_model_that_answers(job: TrainingJob) -> None:
    folder = train(job)
    loaded, predictor = load_predictor(job.weights, "own")
    assert loaded == folder
    assert folder.labels == ("bad", "fair", "good")
    predictions = predictor.predict(["a film , awful", "the great story", "one slow two"])
    assert [p.verdict.label for p in predictions] == ["bad", "good", "fair"]


def test_training_in_bfloat16_learns_as_well(job: TrainingJob) -> None:
    train(replace(job, precision="bfloat16"))
    _, predictor = load_predictor(job.weights, "own")
    predictions = predictor.predict(["a film , awful", "the great story", "one slow two"])
    assert [p.verdict.label for p in predictions] == ["bad", "good", "fair"]


def test_pooling_can_be_chosen(job: TrainingJob) -> None:
    train(replace(job, pooling="last"))
    _, predictor = load_predictor(job.weights, "own")
    assert predictor.classifier.config.pooling == "last"


def test_texts_are_cut_to_the_window(job: TrainingJob) -> None:
    job = replace(job, architecture="transformer")
    window = registry.ARCHITECTURES["transformer"].config().max_length
    assert window is not None
    assert job.recipe.max_length > window
    train(replace(job, recipe=replace(RECIPE, passes=1, slices=1)))


def test_card_says_how_the_model_was_made(job: TrainingJob) -> None:
    card = train(job).card
    assert card["training"]["command"] == job.command
    assert card["training"]["recipe"]["learning_rate"] == 0.02
    assert card["training"]["steps"] == 4 * 14
    assert card["calibration"]["rows"] > 0
    assert card["cost"]["parameters"]["encoder"] > 0
    assert card["accuracy"] == {}


def test_curve_is_kept_as_csv(job: TrainingJob) -> None:
    train(job)
    with (job.work / "own" / "curve" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["loss"]]) == RECIPE.slices
    assert any(row["loss/own/train"] for row in rows)


def test_student_learns_from_its_teachers_logits(job: TrainingJob) -> None:
    write_model(job.weights, "teacher", labels=("bad", "fair", "good"))
    card = train(replace(job, teachers=("teacher",))).card
    assert card["training"]["teachers"][0]["name"] == "teacher"
    assert card["training"]["started_from"] is None
    assert "teacher's logits" in card["training"]["loss"]
    assert list((job.work / "teacher").glob("*.safetensors"))


def test_student_takes_hints_from_its_first_teacher(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    weighed: list[float] = []
    step = Fitting.training_step

    def noting(self: Fitting, batch: Any, index: int) -> torch.Tensor:
        hints = batch[-1]
        assert hints.shape == (len(batch[0]), self.hint.turn.out_features)
        with torch.no_grad():
            assert torch.allclose(told(*batch[:2]), hints.float(), atol=0.01)
            weighed.append(float(self.hint(self.classifier.summarize(*batch[:2]), hints)))
        return step(self, batch, index)

    monkeypatch.setattr(Fitting, "training_step", noting)
    for seed, name in enumerate(("first", "second")):
        write_model(job.weights, name, seed=seed, labels=("bad", "fair", "good"))
    _, first_teacher = load_predictor(job.weights, "first")
    told = first_teacher.classifier.summarize
    recipe = replace(RECIPE, hints=1.0)
    card = train(replace(job, teachers=("first", "second"), recipe=recipe)).card
    assert "first teacher's pooled vector (arXiv 1412.6550)" in card["training"]["loss"]
    first, last = weighed[:5], weighed[-5:]
    assert sum(last) < 0.7 * sum(first)  # its vectors come to tell what the teacher's do


def test_hints_need_a_teacher(job: TrainingJob) -> None:
    with pytest.raises(DataError, match="--hints: there is no teacher"):
        train(replace(job, recipe=replace(RECIPE, hints=1.0)))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_training_goes_on_from_a_model(job: TrainingJob, elsewhere: bool) -> None:
    first = train(job)
    still = replace(RECIPE, learning_rate=1e-12, passes=1)
    start = str(job.weights / "own") if elsewhere else "own"
    second = train(replace(job, name="on", start=start, recipe=still))
    texts = ["a film , awful", "the great story"]
    answers = [load_predictor(job.weights, name)[1].predict(texts) for name in ("own", "on")]
    assert [p.verdict.label for p in answers[0]] == [p.verdict.label for p in answers[1]]
    assert second.card["training"]["started_from"]["sha256"] == first.sha256["weights"]


def test_training_goes_on_from_the_same_kind_alone(job: TrainingJob) -> None:
    write_model(job.weights, "binary")
    with pytest.raises(DataError, match="other labels"):
        train(replace(job, start="binary"))


def test_teacher_of_other_labels_is_refused(job: TrainingJob) -> None:
    write_model(job.weights, "teacher")
    with pytest.raises(DataError, match=r"the teacher's labels are .*'negative'"):
        train(replace(job, teachers=("teacher",)))


def test_two_files_of_one_name_are_both_held_back(job: TrainingJob, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = write_rows(tmp_path / "b" / "own" / "train.csv", seed=2)
    recipe = replace(RECIPE, passes=1, slices=1)
    train(replace(job, sources=[*job.sources, (other, 2.0)], recipe=recipe))
    with (job.work / "own" / "curve" / "metrics.csv").open() as file:
        assert {"loss/own/train", f"loss/{other}"} <= set(csv.DictReader(file).fieldnames or ())


def test_few_rows_are_trained_on_in_fewer_slices(job: TrainingJob, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "few" / "train.csv", count=9)
    folder = train(
        replace(job, sources=[(source, 1.0)], recipe=replace(RECIPE, passes=1, slices=12))
    )
    assert folder.card["training"]["steps"] == 1


def test_too_few_rows_are_refused(job: TrainingJob, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "few" / "train.csv", count=4)
    with pytest.raises(DataError, match=r"few/train\.csv has too few rows"):
        train(replace(job, sources=[(source, 1.0)]))


def test_training_is_repeatable(job: TrainingJob) -> None:
    first, second = train(job), train(replace(job, name="again"))
    assert first.sha256["weights"] == second.sha256["weights"]


class Interruption(Exception):
    """As if the machine had gone."""


@pytest.mark.parametrize("learning_rate", [0.02, 1e-9])  # each slice the best, or only the first
def test_interrupted_run_ends_as_if_it_hadnt_been(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch, learning_rate: float
) -> None:
    job = replace(job, recipe=replace(RECIPE, learning_rate=learning_rate))
    whole = train(replace(job, name="whole"))
    step = Fitting.training_step

    def interrupted(self: Fitting, *arguments: Any) -> torch.Tensor:
        if self.trainer.current_epoch == 2 and self.trainer.global_step == 30:
            raise Interruption  # in the middle of the third slice
        return step(self, *arguments)

    monkeypatch.setattr(Fitting, "training_step", interrupted)
    with pytest.raises(Interruption):
        train(job)
    monkeypatch.setattr(Fitting, "training_step", step)
    resumed = train(job)
    for name, tensor in last_state(job.work / "whole").items():
        assert torch.equal(tensor, last_state(job.work / "own")[name]), name
    assert resumed.sha256 == whole.sha256
    assert resumed.card["training"]["steps"] == whole.card["training"]["steps"]
    assert epochs(job.work / "own" / "curve") == {"0", "1"}
    assert epochs(job.work / "own" / "curve-2") == {"2", "3"}


def epochs(curve: Path) -> set[str]:
    with (curve / "metrics.csv").open() as file:
        return {row["epoch"] for row in csv.DictReader(file)}


def last_state(folder: Path) -> dict[str, torch.Tensor]:
    """The weights with which a run ended, be they its best or not."""
    state: dict[str, torch.Tensor] = torch.load(folder / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    return state


def test_finished_run_is_only_written_again(job: TrainingJob) -> None:
    first, second = train(job), train(job)
    assert second == first


def test_training_stops_when_it_gets_no_better(job: TrainingJob) -> None:
    recipe = replace(RECIPE, learning_rate=1e-9, slices=8, patience=1)
    job = replace(job, recipe=recipe)
    first, second = train(job), train(job)
    assert first.card["training"]["stopped_early"]
    assert first.card["training"]["steps"] < 48
    assert second == first


def test_finished_run_isnt_taken_up_on_other_data(job: TrainingJob, tmp_path: Path) -> None:
    train(job)
    other = write_rows(tmp_path / "other" / "train.csv", seed=3)
    with pytest.raises(DataError, match="another run"):
        train(replace(job, sources=[(other, 1.0)]))
