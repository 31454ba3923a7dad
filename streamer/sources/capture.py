"""One opened stream of a device: what its audio thread leaves behind for the consumer.

    audio thread: callback -> SampleRing (samples) and TickLog (when they came)

The callback copies and counts; what its notes mean is found out where they are read (`placement`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.ring import SampleRing
from streamer.types import FloatArray

TICK_ROWS = 4_096


@dataclass(frozen=True)
class Tick:
    """One callback."""

    end: int
    """Position in the ring just after its samples."""

    monotonic_s: float
    """When it was called."""

    latency_s: float
    """What the sound system claims to lie between the converter and the callback, for the first sample;
    0 where it does not tell."""

    overflow: bool
    """The sound system dropped input before these samples."""


class TickLog:
    """The latest callbacks; one producer, one consumer, no lock."""

    def __init__(self) -> None:
        self._rows: NDArray[np.float64] = np.zeros((TICK_ROWS, 4))
        self._written = 0
        self._read = 0

    def note(self, end: int, monotonic_s: float, latency_s: float, overflow: bool) -> None:
        """Keep a row. For the audio thread."""
        self._rows[self._written % TICK_ROWS] = (end, monotonic_s, latency_s, overflow)
        self._written += 1

    def take(self) -> list[Tick]:
        """What was noted since the last time; only the newest half of the log if it was long ago."""
        written = self._written
        if written == self._read:
            return []
        begin = max(self._read, written - TICK_ROWS // 2)
        rows = self._rows[np.arange(begin, written) % TICK_ROWS].tolist()
        self._read = written
        return [Tick(int(end), at_s, latency_s, bool(over)) for end, at_s, latency_s, over in rows]


class Capture(Protocol):
    """A device that has been opened and runs."""

    @property
    def name(self) -> str:
        """Name of the device."""

    @property
    def rate_hz(self) -> int:
        """Rate of the samples in the ring."""

    @property
    def ring(self) -> SampleRing:
        """The samples."""

    @property
    def ticks(self) -> TickLog:
        """When they came."""

    @property
    def overflows(self) -> int:
        """Times that the sound system reported dropped input."""

    @property
    def problem(self) -> str:
        """Why it has ended, for people; empty while it runs."""

    def close(self) -> None:
        """Release the device; may block when the sound system hangs."""


class CaptureBuffer:
    """Ring, ticks and the callback that fills them; what a device is opened with.

    Args:
        rate_hz, channels: as the device was opened.
        ring_s: how far the consumer may fall behind before sound is lost.
    """

    def __init__(self, rate_hz: int, channels: int, ring_s: float) -> None:
        self.rate_hz = rate_hz
        self.ring = SampleRing(round(ring_s * rate_hz), channels)
        self.ticks = TickLog()
        self.overflows = 0
        self.error: Exception | None = None

    def on_audio(self, samples: FloatArray, monotonic_s: float, latency_s: float, overflow: bool) -> None:
        """Take what a callback brought, and when. For the audio thread; lets no exception out."""
        try:
            self.overflows += overflow
            self.ring.write(samples)
            self.ticks.note(self.ring.written, monotonic_s, latency_s, overflow)
        except Exception as error:
            self.error = error
