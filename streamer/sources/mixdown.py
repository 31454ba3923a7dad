"""Any number of channels to one."""

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
