"""Augmented copies of a clip, made on its samples: shifts, pitch, stretch, noise, background, equaliser.

Published protocols enlarge a training set by a fixed number of altered copies of every clip; a recipe
lists them as ``[[copies]]``. Nothing here is ever applied to validation or test clips. Samples are
float32 mono of shape (n,) throughout; loud copies may exceed the nominal range of -1 to 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from streamer.tables import TableError
from streamer.types import BoolArray, FloatArray
from trainer.datasets import DatasetError
from trainer.examples.augment import active_frames, loudness

FRAME_S = 0.02
"""Length of the frames in which the level of a sound is measured."""

LOWEST_HZ = 50.0
"""Noise and equaliser follow their slope from here up; what lies below is flat."""

VOCODER_SAMPLES = 2048
"""Length of the Fourier transform behind pitch shift and time stretch (librosa's own choice)."""

Range = tuple[float, float]
"""Lowest and highest value; each copy draws its own, evenly distributed."""


@dataclass(frozen=True)
class Copy:
    """One kind of altered copy. What is left out is not done."""

    labels: tuple[str, ...] = ()
    """Only clips of these classes get such copies; all clips when empty."""

    repeat: int = 1
    """How many copies of this kind are made of each clip, at least 1."""

    speed: Range | None = None
    """Resampling stretch, above 0: at 1.1 the sound is 10 % faster and higher."""

    stretch: Range | None = None
    """Time stretch at the same pitch, above 0: at 1.1 the sound is 10 % faster."""

    pitch_semitones: Range | None = None
    """Pitch shift at the same length, in semitones, -24 to 24."""

    equaliser_db: Range | None = None
    """Largest gain, up or down, of a smooth random curve over log frequency, in dB, 0 to 60."""

    roll_s: Range | None = None
    """Circular shift in seconds: what leaves at the end comes back at the beginning."""

    delay_s: Range | None = None
    """Silence put before the sound, in seconds, at least 0; the end of the clip is cut off. Shortened
    where less than half of the sound would be left."""

    background_snr_db: Range | None = None
    """Level of the sound above real background, in dB, -100 to 100."""

    noise_snr_db: Range | None = None
    """Level of the sound above coloured noise, in dB, -100 to 100."""

    noise_slope_db_per_octave: Range = (-6.0, 3.0)
    """Colour of the noise, in dB an octave, -12 to 12: -6 is brown, -3 pink, 0 white, 3 blue."""

    gain_db: Range | None = None
    """Gain of the finished copy, in dB, -100 to 100."""

    def __post_init__(self) -> None:
        if self.repeat < 1:
            raise TableError(f"copies: repeat: must be at least 1, found {self.repeat}")
        for field in fields(self):
            if field.name not in _LIMITS or (drawn := getattr(self, field.name)) is None:
                continue
            low, high = _LIMITS[field.name]
            if not low <= drawn[0] <= drawn[1] <= high:
                raise TableError(
                    f"copies: {field.name}: expected [lowest, highest] between {low:g} and {high:g}, "
                    f"found [{drawn[0]:g}, {drawn[1]:g}]"
                )


_LIMITS: dict[str, Range] = {
    "speed": (0.1, 10.0),
    "stretch": (0.1, 10.0),
    "pitch_semitones": (-24.0, 24.0),
    "equaliser_db": (0.0, 60.0),
    "roll_s": (-3600.0, 3600.0),
    "delay_s": (0.0, 3600.0),
    "background_snr_db": (-100.0, 100.0),
    "noise_snr_db": (-100.0, 100.0),
    "noise_slope_db_per_octave": (-12.0, 12.0),
    "gain_db": (-100.0, 100.0),
}


def frame_samples(rate_hz: int) -> int:
    """Samples of a frame of `FRAME_S`, at least 1."""
    return max(1, round(FRAME_S * rate_hz))


def frame_power(samples: FloatArray, rate_hz: int) -> FloatArray:
    """Mean square of successive frames of `FRAME_S`, shape (frames, 1); the last one may be short."""
    if not len(samples):
        return np.zeros((0, 1), np.float32)
    starts = np.arange(0, len(samples), frame_samples(rate_hz))
    squares = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    lengths = np.diff(np.append(starts, len(samples)))
    return (squares / lengths)[:, np.newaxis].astype(np.float32)


def audible_frames(samples: FloatArray, rate_hz: int) -> BoolArray:
    """Frames of `FRAME_S` in which the sound is present: within 30 dB of its loudest, shape (frames,)."""
    power = frame_power(samples, rate_hz)
    peak = float(power.max(initial=0.0))
    if peak <= 0.0:
        return np.zeros(len(power), bool)
    audible: BoolArray = active_frames(power / np.float32(peak), 0.0)
    return audible


def active_level(samples: FloatArray, rate_hz: int) -> float:
    """Root mean square of a sound where it is present (`audible_frames`); 0 for digital silence.

    Pauses do not count: a bark in five seconds of silence is as loud as the bark.
    """
    power = frame_power(samples, rate_hz)
    return float(np.sqrt(loudness(power))) if len(power) else 0.0


def augmented(
    samples: FloatArray,
    rate_hz: int,
    copy: Copy,
    random: np.random.Generator,
    backgrounds: Sequence[FloatArray] = (),
) -> FloatArray:
    """One altered copy.

    In this order: speed, stretch, pitch, equaliser, roll, delay, background, noise, gain.

    The level of background and noise refers to the sound where it is present (`active_level`), after
    all that changes the sound itself. Digital silence stays digital silence. The samples must be finite.

    Args:
        samples: shape (n,).
        random: all that is random; an equal generator gives an equal copy.
        backgrounds: recordings at the same rate, shape (m,) each; repeated when shorter than the clip.

    Returns:
        A new array, shape (n,) unless `speed` or `stretch` are set: then n is divided by either and
        rounded, and is at least 1.

    Raises:
        DatasetError: background is asked for and there is none.
    """
    if copy.background_snr_db and not backgrounds:
        raise DatasetError("copies ask for background_snr_db, but there is no background: give --background")
    out = np.array(samples, np.float32)
    if not out.any():
        length = len(out)
        for rates in (copy.speed, copy.stretch):
            length = _divided(length, random.uniform(*rates)) if rates else length
        return np.zeros(length, np.float32)
    if copy.speed:
        out = speeded(out, random.uniform(*copy.speed))
    if copy.stretch:
        out = stretched(out, random.uniform(*copy.stretch))
    if copy.pitch_semitones:
        out = pitched(out, rate_hz, random.uniform(*copy.pitch_semitones))
    if copy.equaliser_db:
        out = equalised(out, rate_hz, random.uniform(*copy.equaliser_db), random)
    if copy.roll_s:
        out = np.roll(out, round(random.uniform(*copy.roll_s) * rate_hz))
    if copy.delay_s:
        out = delayed(out, rate_hz, random.uniform(*copy.delay_s))
    level = active_level(out, rate_hz)
    if copy.background_snr_db:
        below_db = random.uniform(*copy.background_snr_db)
        chosen = backgrounds[int(random.integers(len(backgrounds)))]
        start = int(random.integers(max(1, len(chosen) - len(out) + 1)))
        out = out + _at_level(np.resize(chosen[start:], len(out)), rate_hz, level, -below_db)
    if copy.noise_snr_db:
        below_db = random.uniform(*copy.noise_snr_db)
        hiss = coloured_noise(len(out), rate_hz, random.uniform(*copy.noise_slope_db_per_octave), random)
        out = out + _at_level(hiss, rate_hz, level, -below_db)
    if copy.gain_db:
        out = out * np.float32(10.0 ** (random.uniform(*copy.gain_db) / 20.0))
    return out


def copies_of(
    samples: FloatArray,
    rate_hz: int,
    label: str,
    copies: Sequence[Copy],
    seed: int,
    identity: str,
    backgrounds: Sequence[FloatArray] = (),
) -> list[FloatArray]:
    """All altered copies of one clip, each `repeat` times; the clip itself is not among them.

    Args:
        samples: shape (n,).
        label: class of the clip; copies for other classes only are left out.
        seed: of the recipe, at least 0.
        identity: what tells this clip from all others, such as its file name. Clip, position in
            `copies` and seed decide what is drawn, whatever the order in which clips are worked on.
        backgrounds: as for `augmented`.
    """
    clip = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "little")
    return [
        augmented(samples, rate_hz, copy, np.random.default_rng((seed, clip, place, turn)), backgrounds)
        for place, copy in enumerate(copies)
        if not copy.labels or label in copy.labels
        for turn in range(copy.repeat)
    ]


def speeded(samples: FloatArray, speed: float) -> FloatArray:
    """Played `speed` times as fast, and as much higher; shape (n / speed,)."""
    import soxr

    length = _divided(len(samples), speed)
    return _fitted(soxr.resample(samples, speed, 1.0), length)


def stretched(samples: FloatArray, rate: float) -> FloatArray:
    """Played `rate` times as fast at the same pitch (phase vocoder); shape (n / rate,)."""
    return _fitted(_vocoded(_for_vocoder(samples), rate), _divided(len(samples), rate))


def pitched(samples: FloatArray, rate_hz: int, semitones: float) -> FloatArray:
    """Shifted by so many semitones at the same length (phase vocoder, then resampling); shape (n,)."""
    import librosa

    rate = 2.0 ** (-semitones / 12.0)
    longer = _vocoded(_for_vocoder(samples), rate)
    out = librosa.resample(longer, orig_sr=rate_hz / rate, target_sr=rate_hz, res_type="soxr_hq")
    return _fitted(out, len(samples))


def equalised(
    samples: FloatArray, rate_hz: int, largest_db: float, random: np.random.Generator
) -> FloatArray:
    """Filtered with a smooth random curve over log frequency; shape (n,).

    The curve passes through five random gains, the largest of which is `largest_db` up or down, and
    never leaves their range in between (Fritsch and Carlson, 1980). The filter has linear phase and
    no delay.
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.signal import fftconvolve, firwin2

    knots = random.uniform(-1.0, 1.0, 5)
    knots_db = knots * largest_db / np.abs(knots).max()
    frequency_hz = np.linspace(0.0, rate_hz / 2, 257)
    octave = _octave(frequency_hz)
    curve_db = PchipInterpolator(np.linspace(0.0, octave[-1], 5), knots_db)(octave)
    taps = firwin2(511, frequency_hz, 10.0 ** (curve_db / 20.0), fs=rate_hz)
    out: FloatArray = fftconvolve(samples, taps, "same").astype(np.float32)
    return out


def delayed(samples: FloatArray, rate_hz: int, delay_s: float) -> FloatArray:
    """With silence put before it; shape (n,). At most so much that half of the sound stays."""
    audible = np.flatnonzero(audible_frames(samples, rate_hz))
    if not len(audible):
        return samples
    middle = int(audible[len(audible) // 2]) * frame_samples(rate_hz)
    delay = min(round(delay_s * rate_hz), max(0, len(samples) - middle))
    return np.concatenate([np.zeros(delay, np.float32), samples[: len(samples) - delay]])


def coloured_noise(
    length: int, rate_hz: int, slope_db_per_octave: float, random: np.random.Generator
) -> FloatArray:
    """Noise whose spectrum rises by so many dB an octave above `LOWEST_HZ`, shape (length,).

    Its level is arbitrary. There is nothing below 20 Hz, where it would not be heard.
    """
    from scipy.fft import irfft, next_fast_len, rfftfreq

    # Longer than a period of the lowest frequency, also for a very short clip.
    whole = next_fast_len(max(length, rate_hz // 4), real=True)
    frequency_hz = rfftfreq(whole, 1.0 / rate_hz)
    shape = 10.0 ** (slope_db_per_octave * _octave(frequency_hz) / 20.0) * (frequency_hz >= 20.0)
    random_phase = random.standard_normal(len(shape)) + 1j * random.standard_normal(len(shape))
    out: FloatArray = irfft(shape * random_phase, whole)[:length].astype(np.float32)
    return out


def mixup(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Convex combination ``share * first + (1 - share) * second`` (Zhang et al., mixup, 2018, eq. 1).

    Works on samples, features and targets alike, of any shape that both have; the same share mixes
    the targets.

    Raises:
        ValueError: the shapes differ or the share lies outside 0 to 1.
    """
    _check_mix(first, second, share)
    return np.float32(share) * first + np.float32(1.0 - share) * second


def between_class(
    first: FloatArray, second: FloatArray, share: float, rate_hz: int, weighted: bool = True
) -> FloatArray:
    """Mix two sounds so that the first is heard with its share (Tokozume et al., 2018, eq. 2 and 3).

    With levels G1 and G2 in dB and the share r, the amplitudes are

        p = 1 / (1 + 10 ** ((G1 - G2) / 20) * (1 - r) / r)
        mix = (p * first + (1 - p) * second) / sqrt(p ** 2 + (1 - p) ** 2)

    so that ``p * first`` is 20 log10(r / (1 - r)) dB louder than ``(1 - p) * second``: equally loud at
    a share of one half, however loud the recordings are. Where one of them is silent, p is r.

    Args:
        first, second: samples of one shape (n,).
        share: of the first in the target, 0 to 1; that of the second is the rest.
        weighted: levels by A-weighting as in the paper, else plain ones (`sound_level_db`).

    Raises:
        ValueError: the shapes differ or the share lies outside 0 to 1.
    """
    _check_mix(first, second, share)
    one, other = (10.0 ** (sound_level_db(x, rate_hz, weighted) / 20.0) for x in (first, second))
    if one <= 0.0 or other <= 0.0:
        one = other = 1.0
    p = share * other / (share * other + (1.0 - share) * one)
    return mixup(first, second, p) / np.float32(np.hypot(p, 1.0 - p))


def sound_level_db(samples: FloatArray, rate_hz: int, weighted: bool = True) -> float:
    """Level of the loudest tenth of a second in dB, -inf for digital silence.

    Only differences of levels of the same kind mean something. Windows of a tenth of a second overlap
    by half. With `weighted`, their spectrum is weighted by the A curve (IEC 61672-1), which is how
    loud people hear a frequency.
    """
    window = max(1, min(len(samples), rate_hz // 10))
    padded = _fitted(samples, len(samples) + window)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[:: max(1, window // 2)]
    if weighted:
        import librosa

        power = np.abs(np.fft.rfft(windows * np.hanning(window + 2)[1:-1])) ** 2
        frequency_hz = np.fft.rfftfreq(window, 1.0 / rate_hz)
        # The curve has no value at 0 Hz; nobody hears that.
        weights_db = librosa.A_weighting(np.maximum(frequency_hz, 1.0), min_db=None)
        loudest = float((power @ (10.0 ** (weights_db / 10.0))).max())
    else:
        loudest = float(np.square(windows, dtype=np.float64).mean(axis=1).max())
    return 10.0 * float(np.log10(loudest)) if loudest > 0.0 else -np.inf


def _check_mix(first: FloatArray, second: FloatArray, share: float) -> None:
    if first.shape != second.shape:
        raise ValueError(f"mixing needs two arrays of one shape, found {first.shape} and {second.shape}")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"the share of the first sound must lie between 0 and 1, found {share}")


def _octave(frequency_hz: np.ndarray) -> np.ndarray:
    """Octaves above `LOWEST_HZ`, 0 below it."""
    octave: np.ndarray = np.log2(np.maximum(frequency_hz, LOWEST_HZ) / LOWEST_HZ)
    return octave


def _vocoded(samples: FloatArray, rate: float) -> FloatArray:
    """Played `rate` times as fast at the same pitch; shape (n / rate,).

    The parts of `librosa.effects.time_stretch`, which in librosa 1.0 cannot be called without a
    FutureWarning of its own. In double precision: its phasors are computed so in any case, and to round
    them numpy (2.5) passes buffers through a cast that warns of what happened to lie in memory.
    """
    import librosa

    sound = samples.astype(np.float64)
    frames = librosa.phase_vocoder(librosa.stft(sound, n_fft=VOCODER_SAMPLES), rate=rate)
    out = librosa.istft(frames, n_fft=VOCODER_SAMPLES, length=round(len(sound) / rate))
    return out.astype(np.float32)


def _for_vocoder(samples: FloatArray) -> FloatArray:
    """Continued with zeros to the one transform that it needs at least."""
    return _fitted(samples, max(len(samples), VOCODER_SAMPLES))


def _divided(length: int, rate: float) -> int:
    """Samples of a sound after it was made faster: at least 1, or none where there were none."""
    return max(1, round(length / rate)) if length else 0


def _fitted(samples: FloatArray, length: int) -> FloatArray:
    """Cut, or continued with zeros, to a length."""
    return np.pad(samples[:length], (0, max(0, length - len(samples)))).astype(np.float32)


def _at_level(samples: FloatArray, rate_hz: int, level: float, above_db: float) -> FloatArray:
    """Scaled to so many dB above a level; digital silence stays as it is."""
    own = active_level(samples, rate_hz)
    if own <= 0.0 or level <= 0.0:
        return np.zeros_like(samples)
    return samples * np.float32(level / own * 10.0 ** (above_db / 20.0))
