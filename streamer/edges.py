"""Where in a window a sound sets in or breaks off, told from its level.

The network says *what* is in a window, not where. Once it has said so, the sharpest rise or fall of
the level tells the time far better than the window does; where there is none (a sound that fades in,
or one of many), the tracker falls back on calibrated times.
"""

from __future__ import annotations

import math

import numpy as np

from streamer.frontend import FrontEndSpec, decibels_of
from streamer.types import FloatArray, Window

QUIET_SIDE_S = 0.2
"""The level on the quiet side of an edge is averaged over this."""

LOUD_SIDE_S = 0.1
LEAST_DB = 6.0
"""A smaller step of the level is no edge."""

ALMOST = 0.7
"""An edge of at least this share of the sharpest one counts as well: the first of them is the onset
of a sound that repeats, the last of them its end."""


class EdgeFinder:
    """Finds edges of the level in windows of one front end."""

    def __init__(self, spec: FrontEndSpec) -> None:
        self._log_mel = spec.columns("log_mel") if "log_mel" in spec.features else None
        self._spec = spec
        self._hop_samples = spec.hop_samples
        self._centre_samples = spec.fft_samples // 2
        frames_per_s = spec.sample_rate_hz / spec.hop_samples
        self._quiet = max(1, round(QUIET_SIDE_S * frames_per_s))
        self._loud = max(1, round(LOUD_SIDE_S * frames_per_s))

    def onset(self, window: Window) -> int | None:
        """Sample at which the level first rises sharply; None where it does not."""
        if self._log_mel is None:
            return None
        frame = self._first_rise(level_db(decibels_of(window.values[:, self._log_mel], self._spec)))
        if frame is None:
            return None
        return window.start_sample + frame * self._hop_samples + self._centre_samples

    def offset(self, window: Window) -> int | None:
        """Sample at which the level last falls sharply; None where it does not."""
        if self._log_mel is None:
            return None
        frame = self._first_rise(level_db(decibels_of(window.values[::-1, self._log_mel], self._spec)))
        if frame is None:
            return None
        last = len(window.values) - 1 - frame
        return window.start_sample + last * self._hop_samples + self._centre_samples

    def _first_rise(self, level: FloatArray) -> int | None:
        """First frame of the first sharp rise."""
        if len(level) < self._quiet + self._loud:
            return None
        before = np.convolve(level, np.ones(self._quiet) / self._quiet, "valid")
        after = np.convolve(level, np.ones(self._loud) / self._loud, "valid")
        step = after[self._quiet :] - before[: len(after) - self._quiet]
        sharpest = float(step.max())
        if not LEAST_DB <= sharpest < math.inf:
            return None
        first = int(np.flatnonzero(step >= max(LEAST_DB, ALMOST * sharpest))[0])
        return first + int(step[first : first + self._loud].argmax()) + self._quiet


def level_db(log_mel: FloatArray) -> FloatArray:
    """Level of each frame, shape (frames,), of log-mel in dB, shape (frames, bands)."""
    level: FloatArray = 10.0 * np.log10(np.power(10.0, log_mel / 10.0).sum(axis=1))
    return level
