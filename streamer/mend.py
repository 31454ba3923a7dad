"""Samples that cannot be sound."""

from __future__ import annotations

import numpy as np

from streamer.types import FloatArray

LOUDEST = 1_000.0
"""60 dB above full scale: no converter gives that. A broken file does."""


def mended(samples: FloatArray) -> tuple[FloatArray, int]:
    """Put zero in the place of every sample that is not a number, infinite or absurdly large.

    Without this, one such sample would spread over all that is filtered or transformed with it.

    Returns:
        The samples (the same array when nothing is broken) and how many were broken.
    """
    if samples.size == 0 or np.abs(samples).max() <= LOUDEST:
        return samples, 0
    sound = np.abs(samples) <= LOUDEST
    return np.where(sound, samples, np.float32(0)), int(samples.size - sound.sum())
