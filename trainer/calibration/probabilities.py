"""Temperature and offsets that make probabilities mean what they say (see `streamer.calibration`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamer.calibration import Calibration
from streamer.types import FloatArray
from trainer.calibration.evidence import HeardClip
from trainer.judging.clips import calibration_error

Method = Literal["temperature", "offset", "per-class", "none"]

CLOSEST = 1 / 512
"""Half a step of an 8-bit output."""

OFFSETS = np.round(np.arange(-3.0, 3.01, 0.1), 1)
"""Offsets that are tried."""

WITHIN = 0.05
"""An offset goes no further: it makes single windows surer than they should be, and their votes blunter."""

COMMON_CLIPS = 10
"""A class follows all others as much as so many clips of its own."""

BOUNDS = (0.5, 5.0)
"""Temperatures that are tried: a few clips that are all right would make it surer without end."""


@dataclass(frozen=True)
class Fitted:
    """A calibration, and what it was worth on the clips that it was found on."""

    temperature: float
    offsets: tuple[float, ...]
    error_before: float
    error_after: float

    @property
    def calibration(self) -> Calibration:
        """Applies it."""
        return Calibration(self.temperature, self.offsets, CLOSEST)


def fit_calibration(clips: Sequence[HeardClip], labels: int, method: Method) -> Fitted:
    """The temperature with the lowest cross-entropy, or offsets, or both.

    The unit is the clip, as in the calibration error: its probabilities are means over its windows. The
    temperature makes the probability of what a clip is taken for mean how often that is right, over all
    clips; ``offset``, the smallest one for all classes that brings their mean within `WITHIN` of the share
    that is right, helps a network that is not sure enough about clips (means over windows are never
    extreme); ``per-class`` is the temperature and an offset of each class, found on the clips that are
    taken for it.
    """
    from scipy.optimize import minimize_scalar

    heard = [clip for clip in clips if len(clip.alone)]
    nothing = (0.0,) * labels
    before = clip_calibration_error(heard, Calibration(1.0, nothing))
    if method == "none" or not heard:
        return Fitted(1.0, nothing, before, before)
    rows = np.concatenate([clip.alone for clip in heard])
    starts = np.cumsum([0, *(len(clip.alone) for clip in heard)])[:-1]
    counts = np.array([len(clip.alone) for clip in heard])[:, np.newaxis]
    truth = np.eye(labels, dtype=bool)[[clip.truth for clip in heard]]

    def means(temperature: float, offsets: Sequence[float]) -> FloatArray:
        """Probabilities of the clips, shape (clips, labels)."""
        windows = Calibration(temperature, offsets, CLOSEST)(rows)
        clipped: FloatArray = np.clip(np.add.reduceat(windows, starts) / counts, 1e-7, 1 - 1e-7)
        return clipped

    def too_sure(offset: float) -> float:
        found = means(1.0, (offset,) * labels)
        return float(found.max(axis=1).mean() - (found.argmax(axis=1) == truth.argmax(axis=1)).mean())

    def loss_of_decisions(logarithm: float) -> float:
        found = means(float(np.exp(logarithm)), nothing)
        right = found.argmax(axis=1) == truth.argmax(axis=1)
        return -float(np.log(np.where(right, found.max(axis=1), 1 - found.max(axis=1))).sum())

    if method == "offset":
        nearest = sorted(OFFSETS.tolist(), key=abs)
        enough = (offset for offset in nearest if abs(too_sure(offset)) <= WITHIN)
        offsets = (next(enough, min(nearest, key=lambda offset: abs(too_sure(offset)))),) * labels
        return Fitted(1.0, offsets, before, clip_calibration_error(heard, Calibration(1.0, offsets, CLOSEST)))
    low, high = np.log(BOUNDS)
    best = minimize_scalar(loss_of_decisions, bounds=(low, high), method="bounded").x
    temperature, offsets = round(float(np.exp(best)), 3), nothing
    if method == "per-class":
        taken_for = means(temperature, nothing).argmax(axis=1)
        own = truth[np.arange(len(heard)), taken_for]
        losses = []
        for offset in OFFSETS:
            confidence = means(temperature, (offset,) * labels)[np.arange(len(heard)), taken_for]
            losses.append(np.bincount(taken_for, -np.log(np.where(own, confidence, 1 - confidence)), labels))
        table = np.array(losses)
        everywhere = table.sum(axis=1, keepdims=True) / len(heard)
        offsets = tuple(float(OFFSETS[at]) for at in (table + COMMON_CLIPS * everywhere).argmin(axis=0))
    after = clip_calibration_error(heard, Calibration(temperature, offsets, CLOSEST))
    return Fitted(temperature, offsets, before, after)


def clip_calibration_error(clips: Sequence[HeardClip], calibration: Calibration) -> float:
    """Expected calibration error of clip decisions (see `trainer.judging.clips`)."""
    means = [calibration(clip.alone).mean(axis=0) for clip in clips if len(clip.alone)]
    if not means:
        return 0.0
    right = [int(m.argmax()) == clip.truth for m, clip in zip(means, clips, strict=True)]
    return calibration_error(np.array([m.max() for m in means]), np.array(right, float))
