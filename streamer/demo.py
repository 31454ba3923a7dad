"""A scene that the program makes up itself, so that it can be seen at work without a microphone.

Every sound is synthesised from oscillators and noise; what the dashboard and the log then say about
it is what the model really hears.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer.errors import SourceError
from streamer.sources.source import SourceHealth
from streamer.types import Block, FloatArray

Wave = NDArray[np.float64]

BLOCK_S = 0.1
SCENE_S = 44.0
HUSH_DBFS = -66.0
"""Level of the faint hiss under everything: no place is digitally silent."""


def cricket(t: Wave, pitch_hz: float, teeth_hz: float, period_s: float, chirp_s: float) -> Wave:
    """One cricket: a tone, rasped by the teeth of a wing, a chirp every period."""
    tone = np.sin(2 * np.pi * pitch_hz * t + 0.3 * np.sin(2 * np.pi * teeth_hz * t))
    rasp = np.clip(np.sin(2 * np.pi * teeth_hz * t), 0, 1) ** 2
    chirps: Wave = tone * rasp * (t % period_s < chirp_s)
    return chirps


def crickets(t: Wave) -> Wave:
    """Two of them, the second a little higher and farther away."""
    return cricket(t, 4300, 55, 0.40, 0.12) + 0.6 * cricket(t + 0.2, 4800, 60, 0.55, 0.15)


def car_horn(t: Wave) -> Wave:
    """Two horns a major third apart, a second at a time."""
    tones = [np.sin(2 * np.pi * n * pitch_hz * t) / n**0.7 for pitch_hz in (410, 510) for n in range(1, 12)]
    blasts: Wave = np.sum(tones, axis=0) * (t % 1.5 < 1.0)
    return blasts


def siren(t: Wave) -> Wave:
    """A wail that rises slowly and falls faster, every three seconds, and comes nearer."""
    place = (t / 3) % 1
    pitch_hz = 600 + 800 * np.where(place < 0.6, place / 0.6, (1 - place) / 0.4)
    phase = 2 * np.pi * np.cumsum(pitch_hz) * (t[1] - t[0])
    wail: Wave = np.sum([np.sin(n * phase) / n**1.5 for n in range(1, 6)], axis=0)
    return wail * np.linspace(0.3, 1.0, len(t))


def church_bells(t: Wave) -> Wave:
    """Three bells, struck in turn; partials after the strike note as bell founders tune them."""
    partials = [
        (0.5, 0.5, 0.7),
        (1.0, 1.0, 1.2),
        (1.19, 0.8, 1.6),
        (1.5, 0.5, 1.9),
        (2.0, 0.9, 1.8),
        (2.51, 0.4, 2.9),
        (2.66, 0.3, 3.1),
        (3.01, 0.35, 3.6),
        (4.1, 0.25, 4.8),
        (5.4, 0.2, 6.0),
    ]
    out = np.zeros_like(t)
    for strike, begin_s in enumerate(np.arange(0.0, t[-1] - 1.0, 1.3)):
        since = t[t >= begin_s] - begin_s
        pitch_hz = (440, 392, 330)[strike % 3]
        for ratio, loudness, decay in partials:
            out[t >= begin_s] += (
                loudness * np.sin(2 * np.pi * pitch_hz * ratio * since) * np.exp(-decay * since)
            )
    return out


def glass_breaking(t: Wave) -> Wave:
    """A crack, then sixty splinters that ring."""
    random = np.random.default_rng(5)
    out = 3 * random.standard_normal(len(t)) * np.exp(-30 * t)
    for _ in range(60):
        begin_s, pitch_hz = random.exponential(0.15), random.uniform(2000, 9500)
        since = np.clip(t - begin_s, 0, None)
        ring = np.sin(2 * np.pi * pitch_hz * since) * np.exp(-random.uniform(8, 40) * since)
        out += random.exponential(0.5) * ring * (t >= begin_s)
    return out


def clock_alarm(t: Wave) -> Wave:
    """A 3 kHz beeper, twice a second."""
    beeps = np.sin(2 * np.pi * 3000 * t) + 0.4 * np.sin(2 * np.pi * 6000 * t)
    return beeps * (t % 0.5 < 0.25)


def sea_waves(t: Wave) -> Wave:
    """Noise that swells and breaks every five seconds."""
    random = np.random.default_rng(7)
    spectrum = np.fft.rfft(random.standard_normal(len(t)))
    hz = np.fft.rfftfreq(len(t), t[1] - t[0])
    surf = np.fft.irfft(spectrum / np.sqrt((1 + (100 / (hz + 1)) ** 2) * (1 + (hz / 3000) ** 2)), len(t))
    swell = 0.15 + np.clip(np.sin(2 * np.pi * t / 5 - 1), 0, 1) ** 1.5
    return surf * swell


@dataclass(frozen=True)
class Part:
    """One sound of the scene."""

    sound: Callable[[Wave], Wave]
    start_s: float
    duration_s: float
    peak: float


SCENE = (
    Part(crickets, 0.5, 9.0, 0.25),
    Part(car_horn, 5.0, 4.0, 0.4),
    Part(siren, 11.0, 8.0, 0.5),
    Part(glass_breaking, 21.0, 2.5, 0.6),
    Part(church_bells, 25.0, 7.0, 0.5),
    Part(clock_alarm, 30.5, 4.0, 0.3),
    Part(sea_waves, 36.5, 7.0, 0.5),
)


def scene(rate_hz: int) -> FloatArray:
    """The whole scene, shape (SCENE_S * rate_hz,)."""
    random = np.random.default_rng(1)
    out = random.standard_normal(round(SCENE_S * rate_hz)) * 10 ** (HUSH_DBFS / 20)
    for part in SCENE:
        t = np.arange(round(part.duration_s * rate_hz)) / rate_hz
        wave = part.sound(t)
        fade = np.clip(np.minimum(t, part.duration_s - t) / 0.02, 0, 1)
        at = round(part.start_s * rate_hz)
        out[at : at + len(t)] += wave * fade * part.peak / np.abs(wave).max()
    return out.astype(np.float32)


class DemoSource:
    """Plays the scene at its own speed."""

    name = "demo"
    live = False
    duration_s = SCENE_S
    health = SourceHealth()

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz

    def blocks(self) -> Iterator[Block]:
        """Yield the scene in real time."""
        samples = scene(self._rate_hz)
        size = round(BLOCK_S * self._rate_hz)
        began = time.monotonic()
        for at in range(0, len(samples), size):
            block = Block(at, samples[at : at + size])
            time.sleep(max(0.0, began + block.end_sample / self._rate_hz - time.monotonic()))
            yield block

    def unix_time(self, sample: int) -> float:
        """A made-up scene has no dates."""
        raise SourceError("the demo has no dates, only positions")

    def close(self) -> None:
        """Nothing to release."""
