"""Five seconds from the microphone: does sound come in, and how loud?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.doctor.finding import Finding, ok, problem, warning
from streamer.native import quiet_native_code
from streamer.sources.alive import STILL, TOLERANCE, swing
from streamer.sources.devices import InputDevice, load_sounddevice
from streamer.sources.mixdown import cancelled
from streamer.types import FloatArray

CHECK = "level"
LISTEN_S = 5.0
BLOCK_S = 0.1
PATIENCE_S = 3.0
"""A device that gives nothing for so long gives nothing."""

QUIET_PEAK_DBFS = -60.0
"""Not even a breath near the microphone is so quiet."""

LOUD_MEAN_DBFS = -15.0
CLIPPED = 0.999


def dbfs(amplitude: float) -> float:
    """Decibels below full scale; minus infinity for nothing."""
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf


@dataclass(frozen=True)
class Heard:
    """What five seconds were like. The arrays have one value a channel."""

    peak: FloatArray
    """Highest amplitude; 1 is full scale."""

    swing: NDArray[np.float64]
    """From the lowest sample to the highest."""

    power: FloatArray
    """Mean square."""

    clipped: int
    """Samples at full scale."""

    samples: int
    """Length, in samples of one channel."""

    cancelled: bool = False
    """The channels cancel each other when they are mixed."""

    @classmethod
    def of(cls, samples: FloatArray) -> Heard:
        """Measure samples of shape (n, channels)."""
        samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        size = np.abs(samples)
        return cls(
            size.max(axis=0, initial=0.0),
            swing(samples),
            (samples**2).sum(axis=0) / max(1, len(samples)),
            int((size >= CLIPPED).sum()),
            len(samples),
            cancelled(float((samples.mean(axis=1) ** 2).sum()), float((samples**2).sum(axis=0).mean())),
        )

    @property
    def peak_dbfs(self) -> float:
        """Of the loudest channel."""
        return dbfs(float(self.peak.max(initial=0.0)))

    @property
    def mean_dbfs(self) -> float:
        """Root mean square of the loudest channel."""
        return dbfs(math.sqrt(float(self.power.max(initial=0.0))))


def record(
    device: InputDevice, channels: int, show: Callable[[Heard], None], seconds: float = LISTEN_S
) -> FloatArray:
    """Record from a device at its own rate.

    Args:
        device: which one.
        channels: how many of its channels.
        show: is told how loud each tenth of a second was.
        seconds: how long.

    Returns:
        Shape (n, channels); shorter than asked for when the device ceases to give sound.
    """
    sounddevice = load_sounddevice()
    arrived: SimpleQueue[FloatArray] = SimpleQueue()

    def on_audio(samples: FloatArray, frames: int, times: Any, status: Any) -> None:
        arrived.put(samples.copy())

    with quiet_native_code():
        stream = sounddevice.InputStream(
            device=device.index,
            samplerate=device.rate_hz,
            channels=channels,
            dtype="float32",
            blocksize=round(BLOCK_S * device.rate_hz),
            callback=on_audio,
        )
    blocks: list[FloatArray] = [np.empty((0, channels), np.float32)]
    wanted = round(seconds * device.rate_hz)
    try:
        stream.start()
        last = time.monotonic()
        while sum(map(len, blocks)) < wanted and time.monotonic() - last < PATIENCE_S:
            try:
                blocks.append(arrived.get(timeout=BLOCK_S))
            except Empty:
                continue
            last = time.monotonic()
            show(Heard.of(blocks[-1]))
    finally:
        stream.abort()
        stream.close()
    return np.concatenate(blocks)[:wanted]


def check_level(
    device: InputDevice, channels: int, channel: int, show: Callable[[Heard], None]
) -> Iterator[Finding]:
    """Listen, and judge what was heard.

    Args:
        device: which one.
        channels: how many of its channels to open.
        channel: the one that counts, from 1; 0 for all.
        show: see `record`.
    """
    sounddevice = load_sounddevice()
    try:
        samples = record(device, channels, show)
    except sounddevice.PortAudioError as error:
        yield problem(
            CHECK,
            f"cannot open {device.name}: {error}",
            "is another program using it, perhaps the service (systemctl stop esc-listen)?",
        )
        return
    yield judge(Heard.of(samples[:, channel - 1 : channel] if channel else samples), device.name)


def judge(heard: Heard, name: str) -> Finding:
    """Is that the sound of a living microphone, at a good level?"""
    figures = f"peak {heard.peak_dbfs:.1f} dBFS, mean {heard.mean_dbfs:.1f} dBFS"
    dead = [number for number, far in enumerate(heard.swing, start=1) if far <= TOLERANCE * STILL]
    if not heard.samples:
        return problem(
            CHECK,
            f"{name} opens, but gives no sound at all",
            "unplug it and plug it in again; with a sound server, restart that one",
        )
    if len(dead) == len(heard.peak):
        return problem(
            CHECK,
            f"{name} gives digital silence only: it is muted or dead",
            "alsamixer, F6 for the card, F4 for capture: unmute it and raise it; or its own switch",
        )
    if heard.clipped > heard.samples // 1_000:
        return warning(
            CHECK,
            f"too loud, it clips: {figures}",
            "lower the capture level (alsamixer, F4) until speech nearby peaks near -20 dBFS",
        )
    if dead:
        alive = next(number for number in range(1, len(heard.peak) + 1) if number not in dead)
        return warning(
            CHECK,
            f"{figures}; channel {', '.join(map(str, dead))} gives digital silence only",
            f"listen to the living one, or half of the level is lost: --channel {alive}",
        )
    if heard.cancelled:
        return warning(
            CHECK,
            f"{figures}; the channels cancel each other: one is the other upside down",
            "listen to one of them, or nothing is heard: --channel 1 (its plug or cable is wired wrongly)",
        )
    if heard.peak_dbfs < QUIET_PEAK_DBFS:
        return warning(
            CHECK,
            f"very quiet: {figures}",
            "speak nearby and look again; it should peak near -20 dBFS (alsamixer, F4, raise capture)",
        )
    if heard.mean_dbfs > LOUD_MEAN_DBFS:
        return warning(
            CHECK,
            f"loud all the time: {figures}",
            "if the room is not that loud, lower the capture level (alsamixer, F4) or look for hum",
        )
    return ok(CHECK, figures)
