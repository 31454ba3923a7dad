"""From the probabilities of a clip's segments to one decision for the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.types import FloatArray


@dataclass(frozen=True)
class ClipScores:
    """Accuracy of segments, and of clips by both votes."""

    clips: int
    segments: int
    segment_accuracy: float
    majority: float
    """Clips right by the majority of their segments."""

    probability: float
    """Clips right by the mean probability of their segments."""


def majority_vote(probabilities: FloatArray) -> int:
    """The sound that most segments of a clip take for the most probable one.

    In a tie the mean probability decides. Probabilities have the shape (segments, labels).
    """
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    tied = np.flatnonzero(counts == counts.max())
    return int(tied[probabilities.mean(axis=0)[tied].argmax()])


def count_votes(scores: Sequence[FloatArray], truths: Sequence[int]) -> ClipScores:
    """Accuracy of clips from the probabilities of their segments, shape (segments, labels) each.

    A clip without segments, which is nothing but silence, is never right.
    """
    heard = [(clip, truth) for clip, truth in zip(scores, truths, strict=True) if len(clip)]
    segments = sum(len(clip) for clip, _ in heard)
    right = sum(int((clip.argmax(axis=1) == truth).sum()) for clip, truth in heard)
    clips = max(1, len(truths))
    return ClipScores(
        clips=len(truths),
        segments=segments,
        segment_accuracy=right / max(1, segments),
        majority=sum(majority_vote(clip) == truth for clip, truth in heard) / clips,
        probability=sum(int(clip.mean(axis=0).argmax()) == truth for clip, truth in heard) / clips,
    )
