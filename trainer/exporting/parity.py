"""What a conversion costs: two files of one network, heard on the same clips through the streaming code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.model import load_model
from streamer.types import FloatArray
from trainer.datasets import Clip
from trainer.errors import ExportError
from trainer.judging.clips import score_clips
from trainer.training.votes import count_votes


@dataclass(frozen=True)
class Parity:
    """How two files of one network agree; shares and probabilities from 0 to 1."""

    clips: int
    windows: int
    float_accuracy: float
    """Clips that the original gets right by mean probability."""

    accuracy: float
    """Clips that the converted file gets right."""

    same_clips: float
    """Clips with anything to hear for which both name the same label, right or wrong."""

    same_windows: float
    largest_change: float
    """Of any probability in any window."""

    mean_change: float
    """Mean of the absolute changes of all probabilities."""

    labels: int
    """Of the network. With one, every answer is right and the same: only probabilities can change."""

    def table(self) -> dict[str, Any]:
        """As the manifest has it."""
        if self.labels == 1:
            return {
                "largest_change": round(self.largest_change, 4),
                "mean_change": round(self.mean_change, 5),
                "clips": self.clips,
                "windows": self.windows,
            }
        return {
            "clip_accuracy_float": round(self.float_accuracy, 4),
            "clip_accuracy": round(self.accuracy, 4),
            "same_label_clips": round(self.same_clips, 4),
            "same_label_windows": round(self.same_windows, 4),
            "largest_change": round(self.largest_change, 4),
            "mean_change": round(self.mean_change, 5),
            "clips": self.clips,
            "windows": self.windows,
        }

    def line(self) -> str:
        """For people."""
        change = (
            f"probabilities differ by {self.mean_change:.4f} on average, {self.largest_change:.3f} at most"
        )
        if self.labels == 1:
            return f"{change}, in {self.windows} windows of {self.clips} clips"
        return (
            f"{100 * self.float_accuracy:.1f} % -> {100 * self.accuracy:.1f} % of {self.clips} clips right; "
            f"same label for {100 * self.same_clips:.1f} % of clips and {100 * self.same_windows:.1f} % of "
            f"{self.windows} windows; {change}"
        )


def compare_scores(
    originals: Sequence[FloatArray | None], converted: Sequence[FloatArray | None], truths: Sequence[int]
) -> Parity:
    """Compare the window probabilities of two files on the same clips.

    Args:
        originals, converted: for each clip probabilities of shape (windows, labels); no windows where
            there is nothing to hear, None where the clip cannot be read.
        truths: index of each clip's label.

    Raises:
        ExportError: there is no window to compare.
        ValueError: the windows are not the same ones.
    """
    pairs = [
        (one, other, truth)
        for one, other, truth in zip(originals, converted, truths, strict=True)
        if one is not None and other is not None
    ]
    heard = [(one, other) for one, other, _ in pairs if len(one)]
    if not heard:
        raise ExportError("there is no clip to compare the network before and after on")
    if any(one.shape != other.shape for one, other, _ in pairs):
        raise ValueError("the two files cut other windows or know other labels")
    one, other = (np.concatenate(scores) for scores in zip(*heard, strict=True))
    change = np.abs(one - other)
    known = [truth for _, _, truth in pairs]
    return Parity(
        clips=len(pairs),
        windows=len(one),
        float_accuracy=count_votes([a for a, _, _ in pairs], known).probability,
        accuracy=count_votes([b for _, b, _ in pairs], known).probability,
        same_clips=float(np.mean([a.mean(0).argmax() == b.mean(0).argmax() for a, b in heard])),
        same_windows=float((one.argmax(axis=1) == other.argmax(axis=1)).mean()),
        largest_change=float(change.max()),
        mean_change=float(change.mean()),
        labels=one.shape[1],
    )


def compare_models(original: Path, converted: Path, clips: Sequence[Clip]) -> Parity:
    """Compare two model files of one network; clips of unknown labels are left out.

    Raises:
        ExportError: no clip can be heard.
    """
    labels = load_model(original).labels
    known = [clip for clip in clips if clip.label in labels]
    truths = [labels.index(clip.label) for clip in known]
    return compare_scores(score_clips(known, original), score_clips(known, converted), truths)
