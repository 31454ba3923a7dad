"""Whole numbers that were stored as floating point numbers without being scaled.

Full scale of floats is 1. Some programs convert integers to floats and leave them as they are: 32,768 is
full scale then, or 8,388,608.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.decoding import DecodeError, Decoder

LOOK_S = 30
"""Seconds of sound that tell how large the numbers are."""

MOST_SILENCE_S = 600

LOUD = 4.0
"""12 dB above full scale: single samples may be there, but no half of a second."""


@dataclass(frozen=True)
class Scale:
    """What the numbers are."""

    bits: int

    @property
    def factor(self) -> np.float32:
        """Makes samples of them."""
        return np.float32(2.0 ** (1 - self.bits))


def integers_in(decoder: Decoder) -> Scale | None:
    """Look at the beginning of a file of floats; None if they are what they should be.

    Args:
        decoder: at its beginning; it is read on.
    """
    peak, whole, seconds, loud = 0.0, True, 0, 0
    for _ in range(MOST_SILENCE_S):
        try:
            samples = decoder.read(decoder.rate_hz)
        except DecodeError:
            break
        if not len(samples):
            break
        size = np.abs(samples[np.isfinite(samples) & (samples != 0.0)])
        if not len(size):
            continue
        seconds += 1
        peak = max(peak, float(size.max()))
        whole = whole and bool((size == np.rint(size)).all())
        loud += bool(np.median(size) > LOUD)
        if (not whole and not loud) or seconds == LOOK_S:
            break
    bits = next((bits for bits in (16, 24, 32) if peak <= 2.0 ** (bits - 1)), 0)
    return Scale(bits) if bits and peak >= 2.0 and (whole or 2 * loud > seconds) else None
