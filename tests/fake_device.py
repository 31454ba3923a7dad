"""A sound card made of arithmetic, on a clock that is moved by hand.

Its samples are numbered: sample n since the device began has the value n / `SCALE`, so whoever hears it
can tell what is missing and when it was in the air.
"""

from __future__ import annotations

import numpy as np

from streamer.clock import ManualClock
from streamer.errors import SourceError
from streamer.ring import SampleRing
from streamer.sources.capture import CaptureBuffer, TickLog
from streamer.types import FloatArray

SCALE = 16_384.0
"""A power of two: the numbers stay exact."""

WRAP = 1 << 23
"""Numbers begin again from here, because larger ones are no sound."""


class FakeDevice:
    """A device and the way to open it; see `streamer.sources.supervisor.Opener`.

    Args:
        clock: moved by hand; the device goes on while it moves.
        rate_hz: nominal rate.
        ppm: how much faster its crystal is.
        jitter_s: mean delay of a callback.
    """

    def __init__(
        self, clock: ManualClock, rate_hz: int = 2_000, ppm: float = 0.0, jitter_s: float = 0.0
    ) -> None:
        self.clock = clock
        self.name = "fake"
        self.rate_hz = rate_hz
        self.ppm = ppm
        self.present = True
        self.suspended = False
        """No callbacks, and what is played meanwhile is lost."""

        self.held = False
        """No callbacks, but all of it comes later."""

        self.muted = False
        self.channels = 1
        """With two of them, the second is the first upside down."""

        self.opened = 0
        self.abandoned = False
        self._jitter_s = jitter_s
        self._random = np.random.default_rng(1)
        self._began_s = clock.monotonic_s()
        self._stream: FakeStream | None = None
        clock.on_passing.append(self._pass)

    @property
    def true_rate_hz(self) -> float:
        """Samples a second by the monotonic clock."""
        return self.rate_hz * (1.0 + 1e-6 * self.ppm)

    def open(self) -> FakeStream:
        """Open it if it is there."""
        if not self.present:
            raise SourceError("fake is not there")
        self.opened += 1
        self._stream = FakeStream(self)
        self._sent = self._now()
        self._due_s = 0.0
        return self._stream

    def abandon(self) -> None:
        """Nothing hangs here."""
        self.abandoned = True

    def unplug(self) -> None:
        """Take it away."""
        self.present = False
        if self._stream:
            self._stream.problem = "fake was unplugged"
            self._stream = None

    def drop(self, seconds: float, overflow: bool = False) -> None:
        """Lose samples without a pause of the callbacks."""
        self._sent += round(seconds * self.rate_hz)
        self._overflow = overflow

    def begin_s(self, number: int) -> float:
        """When a sample was in the air, by the monotonic clock."""
        return self._began_s + number / self.true_rate_hz

    def _now(self) -> int:
        return int((self.clock.monotonic_s() - self._began_s) * self.true_rate_hz)

    _sent = 0
    _due_s = 0.0
    _overflow = False
    BLOCK = 50

    def _pass(self, now_s: float) -> None:
        stream = self._stream
        if stream is None or self.held:
            return
        if self.suspended:
            self._sent = self._now()
            return
        while self._now() - self._sent >= self.BLOCK:
            if not self._due_s:
                delay_s = self._random.exponential(self._jitter_s) if self._jitter_s else 0.0
                self._due_s = self.begin_s(self._sent + self.BLOCK) + delay_s
            if now_s < self._due_s:
                return
            self._due_s = 0.0
            numbers = np.arange(self._sent, self._sent + self.BLOCK)
            stream.buffer.on_audio(self._samples(numbers), now_s, 0.0, self._overflow)
            self._sent += self.BLOCK
            self._overflow = False

    def _samples(self, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
        if self.muted:
            return np.zeros((len(numbers), 1), np.float32)
        samples = ((numbers % WRAP) / SCALE).astype(np.float32)
        return np.stack([samples, -samples][: self.channels], axis=1)


class FakeStream:
    """See `streamer.sources.capture.Capture`."""

    def __init__(self, device: FakeDevice) -> None:
        self.name = device.name
        self.buffer = CaptureBuffer(device.rate_hz, device.channels, 10.0)
        self.problem = ""
        self.closed = False

    @property
    def rate_hz(self) -> int:
        return self.buffer.rate_hz

    @property
    def ring(self) -> SampleRing:
        return self.buffer.ring

    @property
    def ticks(self) -> TickLog:
        return self.buffer.ticks

    @property
    def overflows(self) -> int:
        return self.buffer.overflows

    def close(self) -> None:
        self.closed = True


def numbers_in(samples: FloatArray) -> list[int]:
    """The numbers of samples that were heard."""
    return [round(value) for value in (samples.astype(np.float64) * SCALE).tolist()]
