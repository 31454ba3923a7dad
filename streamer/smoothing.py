"""Probabilities to smoothed probabilities."""

from __future__ import annotations

import math

from streamer.types import FloatArray


class Smoother:
    """Exponential smoothing with a time constant in seconds.

    The weight of the past is ``exp(-elapsed / time_constant)``, so that the hop can change without
    changing what the smoothing means. The first window of a run is taken as it is: neither silence
    nor any class has a head start.
    """

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._state: FloatArray | None = None
        self._at_s = 0.0

    def reset(self) -> None:
        """Forget the past, as after a gap."""
        self._state = None

    def push(self, probabilities: FloatArray, at_s: float) -> FloatArray:
        """Take the probabilities, shape (labels,), of the window that ends at `at_s`."""
        if self._state is None or self._time_constant_s <= 0.0:
            self._state = probabilities.copy()
        else:
            past = math.exp(-(at_s - self._at_s) / self._time_constant_s)
            self._state = self._state * past + probabilities * (1.0 - past)
        self._at_s = at_s
        return self._state
