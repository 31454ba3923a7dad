"""Score a ``.tflite`` on labelled clips through the streaming code.

Windows every 0.5 s inside the clip (a shorter clip is padded with zeros to one window), raw
probabilities; windows in which nothing rises above the front end's floor do not count. A clip is
decided by the largest mean probability.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.model import Model, load_model
from streamer.scorer import Scorer
from streamer.types import Block, FloatArray
from trainer.datasets import Clip
from trainer.examples.spectrograms import read_mono
from trainer.training.votes import count_votes

HOP_S = 0.5
ECE_BINS = 15


def window_probabilities(samples: FloatArray, classifier: Classifier) -> FloatArray:
    """Probabilities of every audible window of a recording, shape (windows, labels)."""
    scorer = Scorer(classifier, HOP_S)
    scores = scorer.push(Block(0, samples))[1] + scorer.finish()[1]
    heard = [item.probabilities for item in scores if item.probabilities is not None]
    if not heard:
        return np.empty((0, len(classifier.model.labels)), np.float32)
    return np.stack(heard)


def to_peak(samples: FloatArray) -> FloatArray:
    """Samples scaled so that the largest is 1, as some published protocols do. No stream can."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples


def _score_clips(clips: Sequence[Clip], model: Path, scaled_to_peak: bool) -> list[FloatArray | None]:
    loaded = load_model(model)
    classifier = Classifier(loaded)
    scores: list[FloatArray | None] = []
    for clip in clips:
        try:
            samples = read_mono(clip.path, loaded.manifest.front_end.sample_rate_hz)
        except SourceError:
            scores.append(None)
            continue
        scores.append(window_probabilities(to_peak(samples) if scaled_to_peak else samples, classifier))
    return scores


def score_clips(clips: Sequence[Clip], model: Path, scaled_to_peak: bool = False) -> list[FloatArray | None]:
    """`window_probabilities` of many clips on all cores; None where a file cannot be read.

    Args:
        scaled_to_peak: see `to_peak`.
    """
    size = 32
    chunks = [clips[at : at + size] for at in range(0, len(clips), size)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        parts = pool.map(partial(_score_clips, model=model, scaled_to_peak=scaled_to_peak), chunks)
        return [score for part in parts for score in part]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one set of clips."""

    labels: tuple[str, ...]
    clips: int
    windows: int
    clip_accuracy: float
    majority_accuracy: float
    """Clips right by the majority of their windows."""

    window_accuracy: float
    per_class_recall: dict[str, float]
    ece: float
    left_out: int
    """Clips whose label the model does not know, or that could not be read."""

    def table(self) -> dict[str, Any]:
        """As the JSON output has it."""
        return {
            "labels": list(self.labels),
            "clips": self.clips,
            "windows": self.windows,
            "clip_accuracy": round(self.clip_accuracy, 5),
            "majority_accuracy": round(self.majority_accuracy, 5),
            "window_accuracy": round(self.window_accuracy, 5),
            "per_class_recall": {k: round(v, 4) for k, v in self.per_class_recall.items()},
            "ece": round(self.ece, 5),
            "left_out": self.left_out,
        }


def evaluate(
    model: Model, clips: Sequence[Clip], only: Sequence[str] = (), scaled_to_peak: bool = False
) -> Evaluation:
    """Accuracy of a model on clips.

    Args:
        only: labels to which clips and decisions are restricted; all of the model by default.
        scaled_to_peak: see `to_peak`.
    """
    labels = tuple(only) or model.labels
    columns = [model.labels.index(label) for label in labels]
    clips = [clip for clip in clips if not only or clip.label in labels]
    known = [clip for clip in clips if clip.label in labels]
    right, confidences, heard, truths = [], [], [], []
    per_class: dict[str, list[bool]] = {label: [] for label in labels}
    left_out = len(clips) - len(known)
    for clip, scores in zip(known, score_clips(known, model.path, scaled_to_peak), strict=True):
        if scores is None:
            left_out += 1
            continue
        truth = labels.index(clip.label)
        restricted = scores[:, columns]
        heard.append(restricted)
        truths.append(truth)
        mean = restricted.mean(axis=0) if len(restricted) else np.zeros(len(labels))
        # A clip of nothing but digital silence is never right.
        hit = bool(len(restricted)) and int(mean.argmax()) == truth
        right.append(hit)
        confidences.append(float(mean.max()))
        per_class[clip.label].append(hit)
    counted = count_votes(heard, truths)
    return Evaluation(
        labels=labels,
        clips=counted.clips,
        windows=counted.segments,
        clip_accuracy=counted.probability,
        majority_accuracy=counted.majority,
        window_accuracy=counted.segment_accuracy,
        per_class_recall={k: float(np.mean(v)) for k, v in per_class.items() if v},
        ece=calibration_error(np.array(confidences), np.array(right, float)),
        left_out=left_out,
    )


def calibration_error(confidences: np.ndarray, right: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error over equal bins of confidence (Guo et al., 2017)."""
    if len(right) == 0:
        return 0.0
    at = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = [
        abs(confidences[at == b].mean() - right[at == b].mean()) * (at == b).mean()
        for b in range(bins)
        if (at == b).any()
    ]
    return float(sum(gaps))
