"""At which probability a single window counts as containing a sound, among others or alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.types import BoolArray, FloatArray
from trainer.calibration.evidence import Examiner
from trainer.datasets import DatasetError
from trainer.datasets.mix import read_mixes
from trainer.judging.mixes import score_mixes
from trainer.soundscapes.overlaps import Order, write_mixes

CANDIDATES: FloatArray = np.round(np.arange(0.05, 0.951, 0.01), 2).astype(np.float32)

COMMON_WINDOWS = 50.0
"""A class follows the mean of all classes as much as so many windows of its own."""


@dataclass(frozen=True)
class HeardWindows:
    """Windows of mixes: what sounds in them, and what the network says. Both of shape (windows, labels)."""

    truth: BoolArray
    probabilities: FloatArray


def hear_mixes(examiners: Sequence[Examiner], dataset: str, root: Path, count: int) -> HeardWindows:
    """Let models hear ``free`` mixes (`trainer.soundscapes.overlaps`) of the clips they did not learn from.

    Args:
        dataset, root: where the clips come from.
        count: mixes for each fold of each model.

    Raises:
        DatasetError: a fold has too few sounds to be mixed.
    """
    truths, heard = [], []
    for examiner in examiners:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "mixes"
            write_mixes(Order("free", count=count), dataset, root, examiner.clips, written)
            for judged in score_mixes(read_mixes(written).mixes, written, examiner.model):
                if judged is not None:
                    truths.append(judged.truth)
                    heard.append(judged.probabilities)
    if not heard:
        raise DatasetError("none of the mixes can be read")
    return HeardWindows(np.concatenate(truths), np.concatenate(heard))


def choose_decisions(heard: HeardWindows) -> tuple[float, ...]:
    """A threshold for each class: halfway between its own best one and the best one for all.

    Its own is the one with the highest F1. It says a sound rather too often than too seldom, and with many
    classes some sound too many is said in most windows. The one for all has the highest sum of macro-F1 and
    the share of windows in which every class is right.
    """
    middle = (np.array(_own_decisions(heard)) + _common_decision(heard)) / 2
    return tuple(round(float(value), 3) for value in middle)


def _own_decisions(heard: HeardWindows) -> tuple[float, ...]:
    """For each class the threshold with the highest F1; a class that is rare follows the others."""
    truth = heard.truth.sum(axis=0)
    hits, predicted = [], []
    for threshold in CANDIDATES:
        above = heard.probabilities >= threshold
        hits.append((above & heard.truth).sum(axis=0))
        predicted.append(above.sum(axis=0))
    # Counts of a class, joined by those of an average class that is scaled to COMMON_WINDOWS windows.
    share = COMMON_WINDOWS / max(1, int(truth.sum()))

    def joined(counts: np.ndarray) -> FloatArray:
        mixed: FloatArray = counts + share * counts.sum(axis=-1, keepdims=True)
        return mixed

    f1 = 2 * joined(np.array(hits)) / np.maximum(1e-9, joined(np.array(predicted)) + joined(truth))
    return tuple(round(float(CANDIDATES[at]), 2) for at in f1.argmax(axis=0))


def _common_decision(heard: HeardWindows) -> float:
    """The threshold that serves all classes best."""
    truth = heard.truth.sum(axis=0)
    worth = []
    for threshold in CANDIDATES:
        above = heard.probabilities >= threshold
        f1 = 2 * (above & heard.truth).sum(axis=0) / np.maximum(1, above.sum(axis=0) + truth)
        worth.append((above == heard.truth).all(axis=1).mean() + f1.mean())
    return float(CANDIDATES[int(np.argmax(worth))])
