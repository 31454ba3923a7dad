"""Thresholds of each class, chosen for a stated budget of false alarms.

A lower threshold hears more and reports more that is not there. What counts is how much hearing a false
alarm buys: each class gets the threshold at which (share of its clips that are heard) - price * (its
false alarms) is greatest, at one price for all classes. The price is the lowest that keeps the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.calibration import Calibration
from streamer.smoothing import Smoother
from streamer.types import FloatArray
from trainer.calibration.evidence import Evidence

LOGITS: FloatArray = np.linspace(-2.5, 5.4, 80, dtype=np.float32)
"""Of the candidates, before calibration: 8 % to 99.5 %, which an 8-bit output can reach."""

OFF_SHARE = 0.6
"""``off`` lies at this share of ``on``."""

COMMON_CLIPS = 8
"""A class follows the mean of all classes as much as so many clips of its own."""

COMMON_ALARMS = 0.3
"""Share of the mean of all classes in what is expected of a class's false alarms."""

PRICES = np.geomspace(1e-4, 1e4, 400)


@dataclass(frozen=True)
class Budget:
    """False alarms that are allowed."""

    alarms_per_hour: float
    """Events in an hour of background, all classes together."""

    wrong: float
    """Share of clips that give an event of any wrong class."""


@dataclass(frozen=True)
class Curves:
    """What every threshold would do: first axis thresholds, second labels where there are two."""

    thresholds: FloatArray
    """Candidates, shape (thresholds, labels)."""

    truths: np.ndarray
    """Label of every clip, shape (clips,)."""

    peaks: FloatArray
    """Highest smoothed probability in each clip's stream, shape (clips, labels), 0 where not judged."""

    alarms: np.ndarray
    """Events in the background, shape (thresholds, labels)."""

    hours: float

    def chosen(self, places: np.ndarray) -> FloatArray:
        """Thresholds at the given places, shape (labels,)."""
        values: FloatArray = self.thresholds[places, np.arange(len(places))]
        return values

    def outcome(self, places: np.ndarray) -> tuple[float, float, float]:
        """Shares of clips heard right and wrong, and false alarms an hour.

        Args:
            places: for each label its threshold's place among the candidates, shape (labels,).
        """
        heard = self.peaks >= self.chosen(places)
        own = heard[np.arange(len(heard)), self.truths]
        others = heard.sum(axis=1) - own
        alarms = self.alarms[places, np.arange(len(places))].sum()
        return float(own.mean()), float((others > 0).mean()), float(alarms / self.hours if self.hours else 0)


def smoothed_streams(
    rows: FloatArray, hop_s: float, smoothing_s: float, calibration: Calibration
) -> FloatArray:
    """Smoothed probabilities as the listener has them, shape (windows, labels).

    Args:
        rows: probabilities of the network, NaN where nothing was audible.
    """
    smoother = Smoother(smoothing_s)
    values = calibration(np.nan_to_num(rows))
    values = np.where(np.isnan(rows), np.float32(0.0), values)
    if not len(values):
        return values
    return np.stack([smoother.push(row, at * hop_s) for at, row in enumerate(values)])


def candidate_thresholds(calibration: Calibration, labels: int) -> FloatArray:
    """Thresholds that are tried, ascending, shape (thresholds, labels)."""
    probabilities = np.repeat((1 / (1 + np.exp(-LOGITS)))[:, np.newaxis], labels, axis=1).astype(np.float32)
    # Rounded down, so that what the network can just reach stays in reach.
    rounded: FloatArray = (np.floor(calibration(probabilities) * 1e4) / 1e4).astype(np.float32)
    return rounded


def count_events(smoothed: FloatArray, thresholds: FloatArray) -> np.ndarray:
    """Events at every threshold, shape (thresholds, labels).

    Args:
        smoothed: probabilities, shape (windows, labels).
        thresholds: shape (thresholds, labels).
    """
    counts = np.zeros(thresholds.shape, np.int64)
    going_on = np.zeros(counts.shape, np.bool_)
    for row in smoothed:
        begins = ~going_on & (row >= thresholds)
        counts += begins
        going_on = (going_on | begins) & (row >= OFF_SHARE * thresholds)
    return counts


def curves(evidence: Evidence, smoothing_s: float, calibration: Calibration) -> Curves:
    """What every threshold would do to the evidence."""
    labels = len(evidence.labels)
    thresholds = candidate_thresholds(calibration, labels)
    peaks = [
        smoothed_streams(clip.surrounded, evidence.hop_s, smoothing_s, calibration).max(axis=0, initial=0.0)
        * clip.judged
        for clip in evidence.clips
    ]
    alarms = np.zeros(thresholds.shape, np.int64)
    for item in evidence.backgrounds:
        smoothed = smoothed_streams(item.probabilities, evidence.hop_s, smoothing_s, calibration)
        alarms += count_events(smoothed, thresholds) * item.judged
    return Curves(
        thresholds,
        np.array([clip.truth for clip in evidence.clips], np.int64),
        np.array(peaks, np.float32).reshape(len(peaks), labels),
        alarms,
        evidence.hours,
    )


def choose_thresholds(found: Curves, budget: Budget) -> np.ndarray:
    """Place of each label's threshold among the candidates, shape (labels,).

    If even the highest price does not keep the budget, the thresholds of the highest price are given.
    """
    highest, labels = len(found.thresholds) - 1, found.peaks.shape[1]
    above = found.peaks[np.newaxis] >= found.thresholds[:, np.newaxis]
    is_own = found.truths[:, np.newaxis] == np.arange(labels)
    clips = is_own.sum(axis=0)
    hits = (above & is_own).sum(axis=1)
    everywhere = hits.sum(axis=1, keepdims=True) / max(1, int(clips.sum()))
    heard = (hits + COMMON_CLIPS * everywhere) / (clips + COMMON_CLIPS)

    def common(counts: np.ndarray) -> FloatArray:
        mean = counts.mean(axis=1, keepdims=True)
        mixed: FloatArray = (1 - COMMON_ALARMS) * counts + COMMON_ALARMS * mean
        return mixed

    cost = common((above & ~is_own).sum(axis=1)) / (max(1, len(found.truths)) * budget.wrong)
    if found.hours:
        cost = cost + common(found.alarms) / (found.hours * budget.alarms_per_hour)
    places = np.full(labels, highest)
    for price in PRICES:
        # Of equally good thresholds the highest: it is the calmest.
        worth = (heard - price * cost)[::-1]
        places = highest - worth.argmax(axis=0)
        _, wrong, alarms_per_hour = found.outcome(places)
        if wrong <= budget.wrong and alarms_per_hour <= budget.alarms_per_hour:
            break
    return places


def detection_delay_s(
    evidence: Evidence, thresholds: FloatArray, smoothing_s: float, calibration: Calibration
) -> float:
    """Median time from the begin of a clip to the event of its class, of the clips that are heard."""
    delays = []
    for clip in evidence.clips:
        stream = smoothed_streams(clip.surrounded, evidence.hop_s, smoothing_s, calibration)
        reached = np.flatnonzero(stream[:, clip.truth] >= thresholds[clip.truth])
        if len(reached):
            delays.append(evidence.window_s + float(reached[0]) * evidence.hop_s - evidence.lead_s)
    return float(np.median(delays)) if delays else float("nan")
