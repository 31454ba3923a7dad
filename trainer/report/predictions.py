"""What the int8 models of a system say about every clip of their test folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.model import Model, load_model
from streamer.smoothing import Smoother
from streamer.types import BoolArray, FloatArray
from trainer.datasets import Clip, DatasetError, read_dataset
from trainer.judging.clips import HOP_S, calibration_error, score_clips
from trainer.report.runs import ReportError, System

IntArray = NDArray[np.int64]

SAME_FOLDS = ({"esc50", "esc10"},)
"""Datasets whose folds hold the same recordings."""


@dataclass(frozen=True)
class Predictions:
    """One decision for every clip, each by a model that was tested on its fold."""

    labels: tuple[str, ...]
    truths: IntArray
    """Index of each clip's label, shape (clips,)."""

    folds: IntArray
    """Fold of each clip, shape (clips,)."""

    probabilities: FloatArray
    """Mean over the windows of each clip, shape (clips, labels); zeros where nothing was heard."""

    peaks: FloatArray
    """Highest smoothed probability in each clip, shape (clips, labels)."""

    heard: BoolArray
    """False for a clip of nothing but digital silence, which is never right. Shape (clips,)."""

    windows: IntArray
    """Windows of each clip, and how many of them are right, shape (clips, 2)."""

    left_out: int = 0
    """Clips whose label the model does not know, or that could not be read."""

    seen: Mapping[int, str] | None = None
    """Folds that are not test folds, and what they served for: ``training`` or ``validation``."""

    @property
    def decided(self) -> IntArray:
        """Index of the label each clip is taken for, -1 where nothing was heard."""
        taken: IntArray = np.where(self.heard, self.probabilities.argmax(axis=1), -1)
        return taken

    @property
    def right(self) -> BoolArray:
        """Which clips are right."""
        right: BoolArray = self.decided == self.truths
        return right

    @property
    def confidence(self) -> FloatArray:
        """Probability of what each clip is taken for."""
        highest: FloatArray = self.probabilities.max(axis=1)
        return highest

    @property
    def fold_numbers(self) -> list[int]:
        """Folds that occur, in order."""
        return sorted({int(fold) for fold in self.folds})

    @property
    def accuracy(self) -> float:
        """Share of all clips that are right."""
        return float(self.right.mean())

    @property
    def window_accuracy(self) -> float:
        """Share of all windows that are right."""
        return float(self.windows[:, 1].sum() / max(1, self.windows[:, 0].sum()))

    @property
    def ece(self) -> float:
        """Expected calibration error of all clips."""
        return calibration_error(self.confidence, self.right.astype(float))

    def of_fold(self, fold: int) -> Predictions:
        """Those of one fold."""
        those = self.folds == fold
        arrays = (self.truths, self.folds, self.probabilities, self.peaks, self.heard, self.windows)
        return Predictions(self.labels, *(array[those] for array in arrays))

    def recall(self, label: int) -> float:
        """Share of the clips of one class that are right; not a number where there are none."""
        those = self.truths == label
        return float(self.right[those].mean()) if those.any() else float("nan")

    @property
    def known(self) -> list[int]:
        """Indices of the classes that have clips."""
        return sorted({int(truth) for truth in self.truths})

    def worst(self, count: int) -> list[int]:
        """Indices of the classes that are recognised least, the worst first."""
        return sorted(self.known, key=lambda label: (self.recall(label), label))[:count]


@dataclass(frozen=True)
class Missing:
    """Why there are no predictions, in one sentence."""

    why: str


@dataclass(frozen=True)
class Trial:
    """A model and what its folds served for."""

    model: Model
    folds: tuple[int, ...]
    """That it is to be tested on; empty where nobody has said so."""

    train_folds: tuple[int, ...]
    validation_folds: tuple[int, ...]

    def on(self, there: Sequence[int], asked: Sequence[int]) -> tuple[int, ...]:
        """The folds to score: those asked for, its own, those it never saw, or else those it only watched."""
        fresh = tuple(fold for fold in there if fold not in (*self.train_folds, *self.validation_folds))
        watched = tuple(fold for fold in there if fold not in self.train_folds)
        return tuple(asked) or self.folds or fresh or watched

    def role(self, fold: int) -> str | None:
        """What a fold served for: ``training``, ``validation``, or None when it was held out."""
        if fold in self.train_folds:
            return "training"
        return "validation" if fold in self.validation_folds else None


def trials_of(system: System, data: str, there: Sequence[int]) -> list[Trial]:
    """The models of a system with what the folds of a dataset were for them.

    Args:
        data: name of the dataset.
        there: its folds.
    """
    if system.model is not None and not system.runs:
        origin = system.model.manifest.provenance
        train, validation = origin.train_folds, origin.validation_folds
        if data in system.datasets[1:]:
            train, validation = tuple(there), ()  # further data is learnt from as a whole
        elif not same_folds(data, system.dataset):
            train, validation = (), ()
        return [Trial(system.model, (), train, validation)]
    found = []
    for run in system.runs:
        model = system.model or (load_model(run.model) if run.model is not None else None)
        if model is not None:
            own = run.recipe.data
            folds = () if run.fold is None else (run.fold,)
            found.append(Trial(model, folds, own.train_folds, own.validation_folds))
    return found


def predict(
    system: System,
    datasets: Mapping[str, Path],
    folds: Sequence[int] = (),
    tell: Callable[[str], None] = print,
) -> Predictions | Missing:
    """Score the models of a system on their test folds.

    Args:
        datasets: folder of each dataset, by name.
        folds: for a single model: score these instead of the folds that it was not trained on.
        tell: is told about every model that is scored.

    Raises:
        DatasetError: a folder is not the dataset, or lacks a fold.
        ReportError: folds are asked for of several models, or no clip is of a known class.
    """
    name = dataset_of(system, datasets)
    if name is None:
        return Missing(f"Give --data {system.dataset}=DIR to see what it takes each clip for.")
    clips = read_dataset(name, datasets[name])
    there = sorted({clip.fold for clip in clips})
    trials = trials_of(system, name, there)
    if folds and len(trials) > 1:
        raise ReportError("--folds is for a single model; each model of a cross-validation has its own fold")
    if not trials:
        return Missing("There is no int8 model yet: finish the crossval, or export the run and give --model.")
    parts = []
    seen: dict[int, str] = {}
    for trial in trials:
        chosen = trial.on(there, folds)
        if not chosen:
            return Missing("All folds of this data were trained on; --folds chooses some all the same.")
        for fold in chosen:
            if fold not in there:
                known = ", ".join(map(str, there))
                raise DatasetError(f"there are no clips of fold {fold} in {datasets[name]}, only of {known}")
            if role := trial.role(fold):
                seen[fold] = role
        part = scored(trial.model, [clip for clip in clips if clip.fold in chosen])
        numbers = ", ".join(map(str, chosen))
        tell(f"{system.name}: scored {len(part.truths)} clips of fold {numbers}")
        parts.append(part)
    return joined(parts, seen)


def dataset_of(system: System, datasets: Mapping[str, Path]) -> str | None:
    """The dataset to score on: the system's own, or else the only one that is given for a lone model."""
    if system.dataset in datasets:
        return system.dataset
    if not system.runs and len(datasets) == 1:
        return next(iter(datasets))
    return None


def same_folds(one: str, other: str) -> bool:
    """Whether equal fold numbers of two datasets mean the same recordings."""
    return one == other or any({one, other} <= family for family in SAME_FOLDS)


def scored(model: Model, clips: Sequence[Clip]) -> Predictions:
    """Predictions of one model.

    Raises:
        ReportError: no clip is of a class that the model knows.
    """
    labels = model.labels
    known = [clip for clip in clips if clip.label in labels]
    pairs = [
        (clip, scores)
        for clip, scores in zip(known, score_clips(known, model.path), strict=True)
        if scores is not None
    ]
    if not pairs:
        raise ReportError(f"the model {model.name} knows the class of no readable clip; give other --data")
    return collected(
        labels,
        [labels.index(clip.label) for clip, _ in pairs],
        [clip.fold for clip, _ in pairs],
        [scores for _, scores in pairs],
        model.manifest.smoothing_s,
        left_out=len(clips) - len(pairs),
    )


def collected(
    labels: tuple[str, ...],
    truths: Sequence[int],
    folds: Sequence[int],
    scores: Sequence[FloatArray],
    smoothing_s: float = 0.0,
    left_out: int = 0,
) -> Predictions:
    """Predictions from the window probabilities of each clip, shape (windows, labels) each."""
    silent = np.zeros(len(labels), np.float32)
    heard = [len(clip) > 0 for clip in scores]
    right = [int((clip.argmax(axis=1) == truth).sum()) for clip, truth in zip(scores, truths, strict=True)]
    return Predictions(
        labels=labels,
        truths=np.array(truths, np.int64),
        folds=np.array(folds, np.int64),
        probabilities=np.stack([clip.mean(axis=0) if len(clip) else silent for clip in scores]),
        peaks=np.stack([_smoothed_peak(clip, smoothing_s) if len(clip) else silent for clip in scores]),
        heard=np.array(heard, np.bool_),
        windows=np.array([[len(clip), hits] for clip, hits in zip(scores, right, strict=True)], np.int64),
        left_out=left_out,
    )


def joined(parts: Sequence[Predictions], seen: Mapping[int, str]) -> Predictions:
    """Predictions of several models as one, in the order of the folds.

    Raises:
        ReportError: the models know different classes.
    """
    if any(part.labels != parts[0].labels for part in parts):
        raise ReportError("the models of the folds know different classes; train them on the same data")

    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Predictions(
        labels=parts[0].labels,
        truths=all_of("truths"),
        folds=all_of("folds"),
        probabilities=all_of("probabilities"),
        peaks=all_of("peaks"),
        heard=all_of("heard"),
        windows=all_of("windows"),
        left_out=sum(part.left_out for part in parts),
        seen=dict(seen),
    )


def _smoothed_peak(windows: FloatArray, smoothing_s: float) -> FloatArray:
    smoother = Smoother(smoothing_s)
    peak: FloatArray = np.max([smoother.push(row, at * HOP_S) for at, row in enumerate(windows)], axis=0)
    return peak
