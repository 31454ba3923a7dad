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
from trainer.augment import active_frames
from trainer.datasets import Clip
from trainer.evaluate import score_clips
from trainer.spectrograms import read_mono, spectrogram_of

OFF_SHARE = 0.6
"""``off`` lies at this share of ``on``."""

CANDIDATES = np.round(np.arange(0.30, 0.96, 0.01), 2)
FINE_HOP_S = 0.1
LEAD_S = 3.0
"""Background before and after a clip whose onset is to be found."""

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
        highest_wrong.append(np.delete(peaks, truth).max())
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
    rate_hz = spec.sample_rate_hz
    random = np.random.default_rng(0)
    onsets, offsets = [], []
    for clip in clips:
        samples = read_mono(clip.path, rate_hz)
        power = spectrogram_of(clip.path, spec, (1.0,))
        if power is None:
            continue
        active = np.flatnonzero(active_frames(power.by_speed[1.0], spec.floor))
        if len(active) < 2:
            continue
        lead = round(LEAD_S * rate_hz)
        begin_s = LEAD_S + (active[0] * spec.hop_samples + spec.fft_samples / 2) / rate_hz
        end_s = LEAD_S + (active[-1] * spec.hop_samples + spec.fft_samples / 2) / rate_hz
        at = int(random.integers(max(1, len(background) - len(samples) - 2 * lead)))
        stream = background[at : at + len(samples) + 2 * lead].copy()
        below = 10 ** (-BACKGROUND_BELOW_DB / 20)
        stream *= below * np.sqrt(np.mean(samples**2)) / max(1e-9, np.sqrt(np.mean(stream**2)))
        stream[lead : lead + len(samples)] += samples[: max(0, len(stream) - lead)]
        label = model.labels.index(clip.label)
        heard = [
            (score.window.start_sample / rate_hz, score.window.end_sample / rate_hz)
            for score in Scorer(classifier, FINE_HOP_S).push(Block(0, stream))[1]
            if score.probabilities is not None and score.probabilities[label] >= visible
        ]
        if not heard or heard[0][1] < begin_s:
            continue
        onsets.append(heard[0][1] - begin_s - FINE_HOP_S / 2)
        offsets.append(end_s - heard[-1][0] - FINE_HOP_S / 2)
    if not onsets:
        return model.manifest.visible_onset_s, model.manifest.visible_offset_s
    return float(np.median(onsets)), float(np.median(offsets))


def calibrated(
    manifest: Manifest,
    model_path: Path,
    validation: Sequence[Clip],
    training: Sequence[Clip],
    background: FloatArray,
    wrong_budget: float,
) -> Manifest:
    """The manifest with thresholds and times chosen for the network in `model_path`."""
    known = [clip for clip in validation if clip.label in manifest.labels]
    pairs = [
        (score, manifest.labels.index(clip.label))
        for clip, score in zip(known, score_clips(known, model_path), strict=True)
        if score is not None
    ]
    on = choose_threshold([p[0] for p in pairs], [p[1] for p in pairs], manifest, wrong_budget)
    off = round(OFF_SHARE * on, 3)
    visible_onset_s, visible_offset_s = onset_delays(training, background, model_path, manifest.visible)
    return dataclasses.replace(
        manifest,
        classes=tuple(dataclasses.replace(rule, on=on, off=off) for rule in manifest.classes),
        visible_onset_s=round(visible_onset_s, 2),
        visible_offset_s=round(visible_offset_s, 2),
    )
