"""Whether samples can come from a working microphone at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray

STILL = 2.0 / 32_768
"""Dead converters give zeros, a constant, or one whose last bit of 16 flickers. The noise of a working
microphone in a quiet room swings a hundred times as far."""

TOLERANCE = 1.01
"""For the rounding of 32-bit floats around a constant."""


def swing(samples: FloatArray) -> NDArray[np.float64]:
    """How far each channel swings, from its lowest sample to its highest.

    Args:
        samples: shape (n, channels).

    Returns:
        Shape (channels,); zeros for no samples.
    """
    if len(samples) == 0:
        return np.zeros(samples.shape[1])
    far: NDArray[np.float64] = np.ptp(samples, axis=0).astype(np.float64)
    return far


def is_alive(samples: FloatArray, channel: int | None = None) -> bool:
    """True when a block of a tenth of a second or so may be the sound of a microphone.

    Args:
        samples: shape (n, channels).
        channel: the one that counts, from 1; None for any of them.
    """
    heard = samples if channel is None else samples[:, channel - 1 : channel]
    return bool((swing(heard) > TOLERANCE * STILL).any())
