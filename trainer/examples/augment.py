"""Random training examples out of mel power: crops, gain, mixing, noise, equaliser, masks.

Ranges are fields of `Augmentation`; all randomness comes from the generator that is passed in.
Nothing here is ever applied to validation or test clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.types import BoolArray, FloatArray
from trainer.examples.spectrograms import Spectrogram


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training example, and how strongly."""

    speeds: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.25)
    """Resampling stretch: playing speeds, drawn evenly (Tokozume et al., EnvNet-v2, 2018)."""

    overhang: float = 0.5
    """A crop may begin before its sound or end after it by this share of its length. The more, the more often
    only a part of the window is filled, as when a sound has just begun."""

    mix_probability: float = 0.7
    """Share of examples that hold two sounds (between-class mixing, Tokozume et al., 2018)."""

    mix_level_db: float = 8.0
    """The second sound is up to so much louder or softer than the first."""

    gain_db: tuple[float, float] = (-30.0, 6.0)
    """Level of the whole example, relative to the recording."""

    background_probability: float = 0.4
    background_snr_db: tuple[float, float] = (3.0, 30.0)
    """Real background under the sound."""

    noise_probability: float = 0.3
    noise_snr_db: tuple[float, float] = (10.0, 40.0)
    """Coloured noise under the sound, from brown (-6 dB an octave) to violet (+3)."""

    equaliser_db: float = 6.0
    """Largest gain of a smooth random curve over the bands (microphones and rooms differ)."""

    masked_bands: int = 10
    masked_frames: int = 16
    masks: int = 2
    """Bands and frames blanked, up to so many at a time (SpecAugment, Park et al., 2019)."""

    negative_share: float = 0.1
    """Share of examples that hold background alone."""


def power_db(power: FloatArray) -> FloatArray:
    """Level of each frame: decibels of the summed mel power, shape (frames,)."""
    level: FloatArray = 10.0 * np.log10(power.sum(axis=1) + 1e-9)
    return level


def active_frames(power: FloatArray, floor: float) -> BoolArray:
    """Frames in which the sound is present: within 30 dB of its loudest, and above the floor."""
    level = power_db(power)
    active: BoolArray = (level > level.max() - 30.0) & (power.max(axis=1) > floor)
    return active


def crop_starts(active: np.ndarray, frames: int, least_active: int, overhang: int) -> np.ndarray:
    """Starts of the crops that hold enough of the sound.

    A crop may begin before the recording and end after it, by `overhang` frames at most. It is
    eligible when it holds `least_active` active frames, or nearly all that the recording has.
    """
    around = np.zeros(overhang, bool)
    padded = np.concatenate([around, active, around])
    if len(padded) < frames:
        padded = np.concatenate([padded, np.zeros(frames - len(padded), bool)])
    total = np.concatenate([[0], np.cumsum(padded)])
    inside = total[frames:] - total[:-frames]
    needed = min(least_active, 0.8 * inside.max())
    return np.flatnonzero(inside >= max(1.0, needed)) - overhang


def cut(power: FloatArray, start: int, frames: int) -> FloatArray:
    """Frames from `start` (which may be negative) on, zeros where there is no recording."""
    out = np.zeros((frames, power.shape[1]), np.float32)
    first, last = max(0, start), min(len(power), start + frames)
    if last > first:
        out[first - start : last - start] = power[first:last]
    return out


def loudness(power: FloatArray) -> float:
    """Mean power of the louder frames of a crop: what a mixing level refers to."""
    total = power.sum(axis=1)
    peak = float(total.max())
    if peak <= 0.0:
        return 0.0
    return float(total[total > peak * 1e-3].mean())


class ExampleMaker:
    """Draws training examples: log-mel input power and targets.

    Targets are 1 for a sound that is there, 0 for one that is not, -1 where nothing is known.
    """

    def __init__(
        self,
        spectrograms: Sequence[Spectrogram],
        targets: Sequence[int],
        labels: int,
        backgrounds: Sequence[tuple[Spectrogram, FloatArray]],
        augmentation: Augmentation,
        frames: int,
        floor: float,
        frames_per_s: float,
    ) -> None:
        self._sounds = spectrograms
        self._targets = targets
        self._labels = labels
        self._backgrounds = backgrounds
        self._how = augmentation
        self._frames = frames
        self._floor = floor
        least = int(0.4 * frames_per_s)
        self._starts = [
            {
                speed: crop_starts(
                    active_frames(power, floor), frames, least, int(augmentation.overhang * frames)
                )
                for speed, power in sound.by_speed.items()
            }
            for sound in spectrograms
        ]

    def example(self, index: int, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """One example around sound `index`: mel power (frames, bands), targets (labels,)."""
        how = self._how
        targets = np.zeros(self._labels, np.float32)
        if self._backgrounds and random.random() < how.negative_share:
            power, unknown = self._background(random)
            targets[unknown > 0] = -1.0
        else:
            power = self._sound(index, random)
            targets[self._targets[index]] = 1.0
            if random.random() < how.mix_probability:
                other = int(random.integers(len(self._sounds)))
                level_db = random.uniform(-how.mix_level_db, how.mix_level_db)
                power = self._add(power, self._sound(other, random), level_db)
                targets[self._targets[other]] = 1.0
            if self._backgrounds and random.random() < how.background_probability:
                below_db = random.uniform(*how.background_snr_db)
                power = self._add(power, self._background(random)[0], -below_db)
            if random.random() < how.noise_probability:
                below_db = random.uniform(*how.noise_snr_db)
                power = self._add(power, self._noise(power.shape, random), -below_db)
        peak = float(power.max())
        gain = 10.0 ** (random.uniform(*how.gain_db) / 10.0)
        # Turned down as far as asked, but never so far that nothing is left to hear.
        gain = max(gain, min(1.0, 1e3 * self._floor / max(peak, 1e-30)))
        return power * (np.float32(gain) * self._equaliser(power.shape[1], random)), targets

    def _sound(self, index: int, random: np.random.Generator) -> FloatArray:
        speeds = list(self._sounds[index].by_speed)
        speed = speeds[int(random.integers(len(speeds)))]
        starts = self._starts[index][speed]
        start = int(starts[random.integers(len(starts))]) if len(starts) else 0
        return cut(self._sounds[index].by_speed[speed], start, self._frames)

    def _background(self, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        sound, unknown = self._backgrounds[int(random.integers(len(self._backgrounds)))]
        power = sound.by_speed[1.0]
        start = int(random.integers(max(1, len(power) - self._frames)))
        return cut(power, start, self._frames), unknown

    @staticmethod
    def _noise(shape: tuple[int, int], random: np.random.Generator) -> FloatArray:
        octaves = np.linspace(0.0, 6.0, shape[1])
        slope_db = random.uniform(-6.0, 3.0)
        colour = 10.0 ** (slope_db * octaves / 10.0)
        # Power of a noise band over two or three bins varies like a gamma variable.
        return (colour * random.gamma(3.0, 1.0 / 3.0, shape)).astype(np.float32)

    @staticmethod
    def _add(power: FloatArray, other: FloatArray, level_db: float) -> FloatArray:
        """Add `other` at `level_db` relative to the loudness of `power`."""
        own, added = loudness(power), loudness(other)
        if added <= 0.0 or own <= 0.0:
            return power
        return power + other * np.float32(own / added * 10.0 ** (level_db / 10.0))

    def _equaliser(self, bands: int, random: np.random.Generator) -> FloatArray:
        knots = random.uniform(-self._how.equaliser_db, self._how.equaliser_db, 5)
        curve_db = np.interp(np.linspace(0, 4, bands), np.arange(5), knots)
        return (10.0 ** (curve_db / 10.0)).astype(np.float32)


def mask(frames: FloatArray, how: Augmentation, random: np.random.Generator) -> None:
    """Blank a few bands and frames of normalised features, shape (frames, bands), in place."""
    for _ in range(how.masks):
        width = int(random.integers(how.masked_bands + 1))
        start = int(random.integers(frames.shape[1] - width + 1))
        frames[:, start : start + width] = 0.0
        length = int(random.integers(how.masked_frames + 1))
        start = int(random.integers(frames.shape[0] - length + 1))
        frames[start : start + length] = 0.0
