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
from models.folder import ModelFolder
from models.predict import Predictor
from models.tokenizer import Tokenizer
from models.windows import prepare
from training import data, pretrained
from training.calibrate import fit_temperature
from training.data import DataError, DataSet, Row
from training.distil import teacher_logits
from training.examples import Example, augment, examples, excerpts
from training.fit import Fitting, claim, fit
from training.job import TrainingJob, training_facts
from training.plan import TrainingSet
from training.precision import LIGHTNING_NAMES, choose_precision

HELD_BACK_ROWS = 1500  # of each source: one standard error of accuracy is then 0.8 points


def train(job: TrainingJob) -> ModelFolder:
    """Trains a model and writes its folder.

    Raises:
        DataError: a source can't be read, or ``work`` holds checkpoints of another run.
        CheckpointError: the teacher or the pretrained encoder can't be.
    """
    torch.manual_seed(job.recipe.seed)
    wordpiece = job.weights / folders.WORDPIECE
    if job.from_pretrained and not wordpiece.exists():
        pretrained.write_wordpiece(wordpiece, pretrained.pretrained_folder())
    tokenizer = Tokenizer.load(wordpiece)
    embedding = checkpoint.load_embedding(wordpiece)
    sets = [data.read(source) for source, _ in job.sources]
    labels = job.labels or data.label_names(row for one in sets for row in one.rows)

    config = registry.ARCHITECTURES[job.architecture].config(labels=labels)
    config = replace(config, pooling=job.pooling or config.pooling)
    max_length = min(job.recipe.max_length, config.max_length or job.recipe.max_length)
    classifier = registry.build(job.architecture, config, embedding)
    if job.from_pretrained:
        pretrained.load_encoder(classifier, pretrained.pretrained_folder())
    start = _start(job, classifier)
    teacher = _load_teacher(job, labels)
    claim(job.work / job.name, _identity(job, sets, labels, teacher and teacher[0], start))

    training_sets: list[TrainingSet] = []
    held_back: dict[str, list[Example]] = {}
    held_back_rows: list[Row] = []
    for one, (name, weight) in zip(sets, job.sources, strict=True):
        rows, held = data.hold_back(data.distinct(one.rows), HELD_BACK_ROWS)
        if not held:
            raise DataError(f"{name} has too few rows: hold back needs 5 distinct texts")
        held_back_rows.extend(held)
        # Two files may have one name: each still needs a curve of its own.
        held_back[one.name if one.name not in held_back else name] = examples(
            held, tokenizer, labels, max_length
        )
        source = examples(rows, tokenizer, labels, max_length)
        targets = None
        if teacher is not None:
            copies = augment(source, job.recipe.augment, tokenizer, job.recipe.seed)
            drawn = excerpts(rows, job.recipe.excerpts, tokenizer, job.recipe.seed)
            # Apart, so that a student that wants more copies finds what another asked for.
            answers = [
                teacher_logits(teacher[1], teacher[0], part, job.work / "teacher")
                for part in (source, copies, drawn)
                if part
            ]
            source, targets = source + copies + drawn, torch.cat(answers)
        training_sets.append(TrainingSet(source, targets, weight))

    module = Fitting(classifier, training_sets, held_back, job.recipe)
    dtype = choose_precision(job.architecture, job.precision)
    report = fit(module, job.work / job.name, LIGHTNING_NAMES[dtype])
    made = training_facts(job, report, teacher and teacher[0], start)
    return _save(job, classifier.float().eval(), tokenizer, held_back_rows, made)


def _start(job: TrainingJob, classifier: Classifier) -> ModelFolder | None:
    """Fills a new classifier with the weights of the model to go on from, if there is one."""
    if job.start is None:
        return None
    folder, predictor = checkpoint.load_predictor(job.weights, job.start)
    if predictor.classifier.config != classifier.config:
        raise DataError(f"{job.start} has another architecture, other sizes or other labels")
    classifier.load_state_dict(predictor.classifier.state_dict())
    return folder


def _load_teacher(job: TrainingJob, labels: Sequence[str]) -> tuple[ModelFolder, Predictor] | None:
    if job.teacher is None:
        return None
    folder, predictor = checkpoint.load_predictor(job.weights, job.teacher)
    if folder.labels != tuple(labels):
        raise DataError(f"the teacher's labels are {folder.labels}; the data's are {labels}")
    predictor.classifier.cast(choose_precision(folder.architecture, job.precision))
    return folder, predictor


def _identity(
    job: TrainingJob,
    sets: Sequence[DataSet],
    labels: Sequence[str],
    teacher: ModelFolder | None,
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
        "teacher": teacher and teacher.sha256["weights"],
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
    stored = checkpoint.load(saved, classifier.embedding)
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
