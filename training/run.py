"""From data sets to a checkpoint folder: the whole of ``lockstep train``, without its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from models import checkpoint, registry
from models import folder as folders
from models.base import Classifier
from models.cost import cost
from models.device import resolve_device
from models.folder import ModelFolder
from models.predict import Predictor
from models.tokenizer import Tokenizer
from models.windows import prepare
from training import data, pretrained
from training.calibrate import fit_temperature
from training.data import DataError, DataSet, Row
from training.fit import claim, fit
from training.fitting import Fitting
from training.job import TrainingJob, training_facts
from training.masked import adapt
from training.material import Reader, Source, split, training_set
from training.precision import LIGHTNING_NAMES, choose_precision
from training.recipes import masked
from training.teachers import Teachers


def train(job: TrainingJob) -> ModelFolder:
    """Trains a model and writes its folder.

    Raises:
        DataError: a source can't be read, or ``work`` holds checkpoints of another run.
        CheckpointError: a teacher or the pretrained encoder can't be.
    """
    torch.manual_seed(job.recipe.seed)
    wordpiece = job.weights / folders.WORDPIECE
    if job.from_pretrained and not wordpiece.exists():
        pretrained.write_wordpiece(wordpiece, pretrained.pretrained_folder())
    tokenizer = Tokenizer.load(wordpiece)
    sets = [data.read(source) for source, _ in job.sources]
    labels = job.labels or data.label_names(row for one in sets for row in one.rows)

    classifier = _new_classifier(job, labels)
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
    held_back = [row for source in sources for row in source.held_back]
    return _save(job, classifier.float().eval(), tokenizer, held_back, made)


def _new_classifier(job: TrainingJob, labels: tuple[str, ...]) -> Classifier:
    embedding = checkpoint.load_embedding(job.weights / folders.WORDPIECE)
    config = registry.ARCHITECTURES[job.architecture].config(labels=labels)
    config = replace(config, pooling=job.pooling or config.pooling)
    classifier = registry.build(job.architecture, config, embedding)
    if job.from_pretrained:
        pretrained.load_encoder(classifier, pretrained.pretrained_folder())
    return classifier


def _start(job: TrainingJob, classifier: Classifier) -> ModelFolder | None:
    """Fills a new classifier with the weights of the model to go on from, if there is one."""
    if job.start is None:
        return None
    folder, predictor = checkpoint.load_predictor(job.weights, job.start)
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


def _save(
    job: TrainingJob,
    classifier: Classifier,
    tokenizer: Tokenizer,
    held_back: Sequence[Row],
    made: dict[str, Any],
) -> ModelFolder:
    folder = ModelFolder(
        name=job.name,
        path=job.weights / job.name,
        architecture=job.architecture,
        config=classifier.config.to_dict(),
        temperature=1.0,
        sha256={},
        card={
            "licence": "Apache-2.0",
            "cost": cost(classifier).to_dict(),
            "training": made,
            "accuracy": {},
        },
    )
    saved = checkpoint.save(folder, classifier)
    # From here on what is measured is what was stored: float16 weights, read back.
    stored = checkpoint.load(saved, classifier.embedding).to(resolve_device("auto"))
    temperature = _held_back_temperature(stored, tokenizer, held_back)
    final = _with_temperature(saved, temperature, len(held_back))
    folders.write(final)
    return final


def _held_back_temperature(
    classifier: Classifier, tokenizer: Tokenizer, held_back: Sequence[Row]
) -> float:
    labels = classifier.config.labels
    prepared = prepare([row.text for row in held_back], tokenizer, classifier.config.max_length)
    windows = [text.windows[0] for text in prepared]
    logits = torch.tensor(Predictor(tokenizer, classifier).logits(windows))
    truth = torch.tensor([data.label_index(row.label, labels) for row in held_back])
    return fit_temperature(logits, truth)


def _with_temperature(folder: ModelFolder, temperature: float, rows: int) -> ModelFolder:
    calibration = {
        "method": "temperature scaling (arXiv 1706.04599) on held-back training rows",
        "temperature": round(temperature, 4),
        "rows": rows,
    }
    card = folder.card | {"calibration": calibration}
    return replace(folder, temperature=round(temperature, 4), card=card)
