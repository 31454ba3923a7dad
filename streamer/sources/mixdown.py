"""Any number of channels to one, and whether they cancel each other on the way."""

from __future__ import annotations

import numpy as np

from streamer.errors import SourceError
from streamer.types import FloatArray


def check_channel(channel: int | None, channels: int) -> None:
    """Refuse a channel that an input of so many channels does not have.

    Raises:
        SourceError: `channel` is below 1 or above `channels`.
    """
    if channel is not None and not 1 <= channel <= channels:
        there = "one channel" if channels == 1 else f"channels 1 to {channels}"
        raise SourceError(f"there is no channel {channel}: this input has {there}")


def to_mono(samples: FloatArray, channel: int | None) -> FloatArray:
    """Mix all channels, or pick one.

    Args:
        samples: shape (n, channels).
        channel: the one to pick, counted from 1; None for the mean of all.

    Returns:
        Shape (n,), float32.

    Raises:
        SourceError: there is no such channel.
    """
    channels = samples.shape[1]
    check_channel(channel, channels)
    if channel is not None or channels == 1:
        return np.ascontiguousarray(samples[:, (channel or 1) - 1], np.float32)
    # Summed channel by channel, so that the rounding does not depend on the number of samples.
    total = samples[:, 0].astype(np.float64)
    for other in range(1, channels):
        total += samples[:, other]
    total /= channels
    return total.astype(np.float32)


CANCELS = "the channels cancel each other: nothing is left of their mix; listen to one of them: --channel 1"

CANCELLED = 0.01
"""Of channels that share no sound, the mean of two has half of the power. Less than a hundredth is left only
where one of them is the other turned upside down: a cable or a plug is wired the wrong way round."""

LEAST_POWER = 1e-8
"""Below -80 dBFS there is nothing to judge."""

JUDGED_AFTER_S = 10.0


class Cancelling:
    """Compares the mix with what it was made of.

    Args:
        rate_hz: of the samples.
        channel: the one that is listened to, from 1; None for the mean of all.
    """

    def __init__(self, rate_hz: int, channel: int | None) -> None:
        self._wanted = round(JUDGED_AFTER_S * rate_hz)
        self._done = channel is not None
        self._samples = 0
        self._apart = self._mixed = 0.0

    def hear(self, samples: FloatArray, mono: FloatArray) -> bool:
        """Take in a block; true once, after ten seconds of sound of which almost nothing is left.

        Args:
            samples: shape (n, channels).
            mono: the mix of them, shape (n,).
        """
        if self._done or samples.shape[1] < 2:
            return False
        flat = samples.ravel()
        apart = float(np.dot(flat, flat)) / samples.shape[1]
        if apart <= LEAST_POWER * len(samples):
            return False
        self._samples += len(samples)
        self._apart += apart
        self._mixed += float(np.dot(mono, mono))
        return self._samples >= self._wanted and self.judge()

    def judge(self) -> bool:
        """What has been heard so far, at the end of something shorter; true once."""
        found = not self._done and self._samples > 0 and cancelled(self._mixed, self._apart)
        self._done = True
        return found


def cancelled(mixed: float, apart: float) -> bool:
    """Whether channels cancel each other.

    Args:
        mixed: power of their mean.
        apart: mean of their powers.
    """
    return mixed < CANCELLED * apart
