"""From data sets to a checkpoint folder: the whole of ``lockstep train``, without its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from models import checkpoint, registry
from models import folder as folders
from models.base import Classifier
from models.folder import ModelFolder
from models.tokenizer import Tokenizer
from training import data, pretrained
from training.data import DataError, DataSet
from training.fit import claim, fit
from training.fitting import Fitting
from training.job import TrainingJob, training_facts
from training.masked import adapt
from training.material import Reader, Source, split, training_set
from training.precision import LIGHTNING_NAMES, choose_precision
from training.recipes import masked
from training.store import store
from training.teachers import Teachers, locate


def train(job: TrainingJob) -> ModelFolder:
    """Trains a model and writes its folder.

    Raises:
        DataError: a source can't be read, or ``work`` holds checkpoints of another run.
        CheckpointError: a teacher or the pretrained encoder can't be.
    """
    if job.recipe.hints and not job.teachers:
        raise DataError("--hints: there is no teacher to take them from")
    torch.manual_seed(job.recipe.seed)
    wordpiece = job.weights / folders.WORDPIECE
    known = pretrained.read(job.architecture) if job.from_pretrained else None
    if known and not wordpiece.exists():
        pretrained.write_wordpiece(wordpiece, known.words)
    tokenizer = Tokenizer.load(wordpiece)
    sets = [data.read(source) for source, _ in job.sources]
    labels = job.labels or data.label_names(row for one in sets for row in one.rows)

    classifier = _new_classifier(job, labels)
    if known:
        known.fill(classifier)
        del known  # half a gigabyte of it
    start = _start(job, classifier)
    teachers = Teachers.load(job.weights, job.teachers, labels, job.precision)
    claim(job.work / job.name, _identity(job, sets, labels, teachers.folders, start))

    sources = split(sets, job.sources)
    precision = LIGHTNING_NAMES[choose_precision(job.architecture, job.precision)]
    guessed = _guess_words(job, classifier, sources, tokenizer, precision)
    window = classifier.config.max_length or job.recipe.max_length
    reader = Reader(tokenizer, labels, min(job.recipe.max_length, window))
    module = Fitting(
        classifier,
        [training_set(s, reader, job.recipe, teachers, job.work / "teacher") for s in sources],
        {source.name: reader.read(source.held_back) for source in sources},
        job.recipe,
    )
    report = fit(module, job.work / job.name, precision)
    made = training_facts(job, report, teachers.folders, start, guessed)
    path = job.weights / job.name
    return store(classifier, job.architecture, path, tokenizer, sources, made)


def _new_classifier(job: TrainingJob, labels: tuple[str, ...]) -> Classifier:
    embedding = checkpoint.load_embedding(job.weights / folders.WORDPIECE)
    config = registry.find(job.architecture).config(labels=labels)
    config = replace(config, pooling=job.pooling or config.pooling)
    return registry.build(job.architecture, config, embedding)


def _start(job: TrainingJob, classifier: Classifier) -> ModelFolder | None:
    """Fills a new classifier with the weights of the model to go on from, if there is one."""
    if job.start is None:
        return None
    folder, predictor = checkpoint.load_predictor(*locate(job.weights, job.start))
    if predictor.classifier.config != classifier.config:
        raise DataError(f"{job.start} has another architecture, other sizes or other labels")
    classifier.load_state_dict(predictor.classifier.state_dict())
    return folder


def _guess_words(
    job: TrainingJob,
    classifier: Classifier,
    sources: Sequence[Source],
    tokenizer: Tokenizer,
    precision: str,
) -> dict[str, Any] | None:
    """The run's first stage, if it has one: the encoder learns the texts before their labels."""
    if not (job.from_pretrained and job.recipe.masked_passes):
        return None
    return adapt(
        classifier,
        [row for source in sources for row in source.rows],
        [row for source in sources for row in source.held_back],
        tokenizer,
        masked(job.recipe, classifier.config.max_length or job.recipe.max_length),
        job.work,
        precision,
    )


def _identity(
    job: TrainingJob,
    sets: Sequence[DataSet],
    labels: Sequence[str],
    teachers: Sequence[ModelFolder],
    start: ModelFolder | None,
) -> dict[str, Any]:
    """What two runs must share for one to go on where the other stopped."""
    return {
        "architecture": job.architecture,
        "labels": list(labels),
        "data": [
            {"source": source, "weight": weight, "sha256": data.fingerprint(one.rows)}
            for one, (source, weight) in zip(sets, job.sources, strict=True)
        ],
        "teachers": [teacher.sha256["weights"] for teacher in teachers],
        "from_pretrained": job.from_pretrained,
        "start": start and start.sha256["weights"],
        "pooling": job.pooling,
        "recipe": asdict(job.recipe),
    }
