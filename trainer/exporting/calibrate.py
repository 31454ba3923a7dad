"""From probabilities to trustworthy events: thresholds and onset times of a model, from data.

Thresholds are chosen on validation clips (never on a test fold), times on training clips laid over
real background at a known place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamer.classifier import Classifier
from streamer.manifest import Manifest
from streamer.model import load_model
from streamer.scorer import Scorer
from streamer.smoothing import Smoother
from streamer.types import Block, FloatArray
from trainer.datasets import Clip
from trainer.judging.clips import score_clips
from trainer.soundscapes.streams import lay_over_background

OFF_SHARE = 0.6
"""``off`` lies at this share of ``on``."""

CANDIDATES = np.round(np.arange(0.30, 0.96, 0.01), 2)
FINE_HOP_S = 0.1
BACKGROUND_BELOW_DB = 20.0


def choose_threshold(
    scores: Sequence[FloatArray], truths: Sequence[int], manifest: Manifest, wrong_budget: float
) -> float:
    """The lowest threshold at which few clips give an event of a wrong class.

    Args:
        scores: window probabilities of each clip, shape (windows, labels).
        truths: index of each clip's label.
        wrong_budget: largest share of clips that may give an event of a wrong class.
    """
    highest_wrong = []
    for clip, truth in zip(scores, truths, strict=True):
        smoother = Smoother(manifest.smoothing_s)
        smoothed = [smoother.push(row, at * manifest.hop_s) for at, row in enumerate(clip)]
        peaks = np.max(smoothed, axis=0) if smoothed else np.zeros(len(manifest.labels))
        highest_wrong.append(np.delete(peaks, truth).max(initial=0.0))
    shares = (np.array(highest_wrong) >= CANDIDATES[:, np.newaxis]).mean(axis=1)
    enough = CANDIDATES[shares <= wrong_budget]
    return float(enough[0]) if len(enough) else float(CANDIDATES[-1])


def onset_delays(
    clips: Sequence[Clip], background: FloatArray, model_path: Path, visible: float
) -> tuple[float, float]:
    """How much of a sound a window must hold before it is told, and still holds when it is lost.

    Each clip is laid over background that leads in and out; the network looks every 0.1 s.

    Returns:
        Medians in seconds: visible onset, visible offset (see `Manifest`).
    """
    model = load_model(model_path)
    classifier = Classifier(model)
    spec = model.manifest.front_end
    random = np.random.default_rng(0)
    onsets, offsets = [], []
    for clip in clips:
        stream = lay_over_background(clip, background, spec, BACKGROUND_BELOW_DB, random)
        if stream is None:
            continue
        label = model.labels.index(clip.label)
        heard = [
            score.window
            for score in Scorer(classifier, FINE_HOP_S).push(Block(0, stream.samples))[1]
            if score.probabilities is not None and score.probabilities[label] >= visible
        ]
        if not heard or heard[0].end_sample / spec.sample_rate_hz < stream.begin_s:
            continue
        onsets.append(heard[0].end_sample / spec.sample_rate_hz - stream.begin_s - FINE_HOP_S / 2)
        offsets.append(stream.end_s - heard[-1].start_sample / spec.sample_rate_hz - FINE_HOP_S / 2)
    if not onsets:
        return model.manifest.visible_onset_s, model.manifest.visible_offset_s
    return float(np.median(onsets)), float(np.median(offsets))


def chosen_thresholds(
    manifest: Manifest, model_path: Path, validation: Sequence[Clip], wrong_budget: float
) -> Manifest:
    """The manifest with thresholds chosen for the network in `model_path`.

    They stay as they are when no validation clip can be read.
    """
    known = [clip for clip in validation if clip.label in manifest.labels]
    pairs = [
        (score, manifest.labels.index(clip.label))
        for clip, score in zip(known, score_clips(known, model_path), strict=True)
        if score is not None
    ]
    if not pairs:
        return manifest
    on = choose_threshold([p[0] for p in pairs], [p[1] for p in pairs], manifest, wrong_budget)
    off = round(OFF_SHARE * on, 3)
    rules = tuple(dataclasses.replace(rule, on=on, off=off) for rule in manifest.classes)
    return dataclasses.replace(manifest, classes=rules)


def chosen_times(
    manifest: Manifest, model_path: Path, training: Sequence[Clip], background: FloatArray
) -> Manifest:
    """The manifest with the times by which onsets and offsets are placed (see `onset_delays`)."""
    onset_s, offset_s = onset_delays(training, background, model_path, manifest.visible)
    return dataclasses.replace(
        manifest, visible_onset_s=round(onset_s, 2), visible_offset_s=round(offset_s, 2)
    )
