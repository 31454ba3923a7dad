"""Altered copies of clips: each change does what its field says, and the same thing every time."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from signals import chirp, noise, silence, tone

from streamer.tables import TableError, from_table
from streamer.types import FloatArray
from trainer.datasets import DatasetError
from trainer.examples.spectrograms import read_mono
from trainer.examples.waveforms import (
    Copy,
    active_level,
    augmented,
    between_class,
    coloured_noise,
    copies_of,
    mixup,
    sound_level_db,
)

RATE_HZ = 22_050
EVERYTHING = Copy(
    speed=(0.8, 1.25),
    stretch=(0.8, 1.25),
    pitch_semitones=(-3.0, 3.0),
    equaliser_db=(3.0, 6.0),
    roll_s=(-2.0, 2.0),
    delay_s=(0.0, 0.5),
    background_snr_db=(3.0, 20.0),
    noise_snr_db=(10.0, 30.0),
    gain_db=(-6.0, 6.0),
)
ROOM = noise(3.0, RATE_HZ, 0.01, seed=9)


def altered(samples: FloatArray, copy: Copy, seed: int = 1) -> FloatArray:
    return augmented(samples, RATE_HZ, copy, np.random.default_rng(seed), [ROOM])


def peak_hz(samples: FloatArray) -> float:
    """Frequency of the strongest bin of the middle half."""
    quarter = len(samples) // 4
    middle = samples[quarter:-quarter]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return float(spectrum.argmax()) * RATE_HZ / (8 * len(middle))


def level_db(samples: FloatArray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64))))


def band_db(samples: FloatArray, low_hz: float, high_hz: float) -> float:
    """Mean power of a bin between two frequencies."""
    frequency_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    inside = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
    return 10 * float(np.log10(np.mean(np.abs(np.fft.rfft(samples)[inside]) ** 2)))


def bark_in_silence() -> FloatArray:
    """A quarter of a second of sound in five seconds of digital silence."""
    samples = silence(5.0, RATE_HZ)
    body = noise(0.25, RATE_HZ, 0.2)
    samples[RATE_HZ : RATE_HZ + len(body)] = body
    return samples


def test_nothing_asked_changes_nothing_and_gives_a_new_array() -> None:
    sound = tone(500.0, 1.0, RATE_HZ)
    out = altered(sound, Copy())
    np.testing.assert_array_equal(out, sound)
    assert not np.shares_memory(out, sound)


def test_a_recipe_lists_copies() -> None:
    @dataclass(frozen=True)
    class Recipe:
        copies: tuple[Copy, ...] = ()

    text = """
    [[copies]]
    repeat = 4
    pitch_semitones = [-2, 2.5]
    labels = ["dog", "rooster"]
    [[copies]]
    delay_s = [0.0, 1.0]
    """
    read = from_table(Recipe, tomllib.loads(text)).copies
    assert read == (
        Copy(labels=("dog", "rooster"), repeat=4, pitch_semitones=(-2.0, 2.5)),
        Copy(delay_s=(0.0, 1.0)),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [("stretch", (0.0, 1.0)), ("delay_s", (-1.0, 1.0)), ("gain_db", (3.0, -3.0)), ("speed", (1.0, np.nan))],
)
def test_a_range_that_makes_no_sense_is_refused_by_name(field: str, value: tuple[float, float]) -> None:
    with pytest.raises(TableError, match=f"copies: {field}: expected"):
        Copy(**{field: value})  # type: ignore[arg-type]


def test_no_copies_at_all_are_refused() -> None:
    with pytest.raises(TableError, match="repeat: must be at least 1, found 0"):
        Copy(repeat=0)


@pytest.mark.parametrize("semitones", [-7.0, -1.5, 2.0, 12.0])
def test_pitch_shift_moves_a_sine_and_keeps_the_length(semitones: float) -> None:
    sound = tone(800.0, 3.0, RATE_HZ)
    out = altered(sound, Copy(pitch_semitones=(semitones, semitones)))
    assert len(out) == len(sound)
    assert peak_hz(out) == pytest.approx(800.0 * 2 ** (semitones / 12), rel=0.003)


@pytest.mark.parametrize("rate", [0.7, 1.0, 1.3])
def test_stretch_keeps_the_pitch_and_changes_the_length(rate: float) -> None:
    sound = tone(800.0, 3.0, RATE_HZ)
    out = altered(sound, Copy(stretch=(rate, rate)))
    assert len(out) == round(len(sound) / rate)
    assert peak_hz(out) == pytest.approx(800.0, rel=0.003)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_changes_pitch_and_length(speed: float) -> None:
    sound = tone(800.0, 3.0, RATE_HZ)
    out = altered(sound, Copy(speed=(speed, speed)))
    assert len(out) == round(len(sound) / speed)
    assert peak_hz(out) == pytest.approx(800.0 * speed, rel=0.001)


def test_values_are_drawn_from_the_whole_range() -> None:
    lengths = [
        len(altered(tone(800.0, 0.5, RATE_HZ), Copy(speed=(0.8, 1.25)), seed)) / RATE_HZ
        for seed in range(200)
    ]
    assert 0.5 / 1.25 <= min(lengths) < 0.41
    assert 0.6 < max(lengths) <= 0.5 / 0.8


def test_delay_puts_silence_before_and_keeps_the_length() -> None:
    sound = noise(2.0, RATE_HZ)
    out = altered(sound, Copy(delay_s=(0.3, 0.3)))
    shift = round(0.3 * RATE_HZ)
    assert not out[:shift].any()
    np.testing.assert_array_equal(out[shift:], sound[:-shift])


def test_delay_never_pushes_the_sound_out_of_the_clip() -> None:
    sound = silence(5.0, RATE_HZ)
    sound[4 * RATE_HZ :] = noise(1.0, RATE_HZ)
    out = altered(sound, Copy(delay_s=(3.0, 3.0)))
    assert 0.45 < np.count_nonzero(out) / RATE_HZ < 0.55


def test_roll_is_circular() -> None:
    sound = noise(1.0, RATE_HZ)
    out = altered(sound, Copy(roll_s=(0.25, 0.25)))
    np.testing.assert_array_equal(out, np.roll(sound, round(0.25 * RATE_HZ)))


def test_gain_is_in_decibels() -> None:
    sound = noise(1.0, RATE_HZ)
    assert level_db(altered(sound, Copy(gain_db=(-6.0, -6.0)))) == pytest.approx(
        level_db(sound) - 6.0, abs=1e-3
    )


@pytest.mark.parametrize("snr_db", [-5.0, 3.0, 20.0])
@pytest.mark.parametrize("slope_db", [-6.0, 0.0, 3.0])
def test_noise_has_the_level_that_was_asked_for(snr_db: float, slope_db: float) -> None:
    sound = tone(800.0, 3.0, RATE_HZ)
    copy = Copy(noise_snr_db=(snr_db, snr_db), noise_slope_db_per_octave=(slope_db, slope_db))
    added = altered(sound, copy) - sound
    assert level_db(sound) - level_db(added) == pytest.approx(snr_db, abs=0.5)


@pytest.mark.parametrize("field", ["noise_snr_db", "background_snr_db"])
def test_levels_refer_to_the_sound_and_not_to_the_silence_around_it(field: str) -> None:
    sound = bark_in_silence()
    added = altered(sound, Copy(**{field: (10.0, 10.0)})) - sound  # type: ignore[arg-type]
    bark = sound[sound != 0]
    assert level_db(bark) - level_db(added) == pytest.approx(10.0, abs=0.5)


def test_active_level_does_not_depend_on_the_scale() -> None:
    sound = bark_in_silence()
    assert active_level(sound, RATE_HZ) == pytest.approx(0.2, rel=0.05)
    for scale in (1e-6, 1e3):
        scaled = active_level(sound * np.float32(scale), RATE_HZ)
        assert scaled == pytest.approx(scale * active_level(sound, RATE_HZ), rel=1e-3)


@pytest.mark.parametrize("slope_db", [-6.0, -3.0, 0.0, 3.0])
def test_noise_has_the_colour_that_was_asked_for(slope_db: float) -> None:
    hiss = coloured_noise(20 * RATE_HZ, RATE_HZ, slope_db, np.random.default_rng(3))
    for low_hz in (200.0, 800.0, 3200.0):
        rise = band_db(hiss, 2 * low_hz, 2 * low_hz + 80) - band_db(hiss, low_hz, low_hz + 40)
        assert rise == pytest.approx(slope_db, abs=0.6)


def test_background_is_taken_from_what_was_given_and_repeated_when_short() -> None:
    sound, hum = noise(2.0, RATE_HZ), tone(3000.0, 0.5, RATE_HZ)
    out = augmented(sound, RATE_HZ, Copy(background_snr_db=(6.0, 6.0)), np.random.default_rng(1), [hum, hum])
    added = out - sound
    assert peak_hz(added) == pytest.approx(3000.0, rel=0.001)
    assert level_db(added[-RATE_HZ // 4 :]) == pytest.approx(level_db(sound) - 6.0, abs=0.5)


def test_background_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DatasetError, match="give --background"):
        augmented(ROOM, RATE_HZ, Copy(background_snr_db=(6.0, 6.0)), np.random.default_rng(1))


def test_the_equaliser_reaches_its_largest_gain_and_no_more() -> None:
    sound = noise(20.0, RATE_HZ)[: 2**18]
    for seed in range(8):
        out = altered(sound, Copy(equaliser_db=(9.0, 9.0)), seed)
        edges_hz = np.geomspace(45.0, 10_900.0, 40)
        gains_db = [band_db(out, low, high) - band_db(sound, low, high) for low, high in pairwise(edges_hz)]
        assert 8.0 < np.abs(gains_db).max() < 9.5
        # Smooth: from one seventh of an octave to the next there is no leap.
        assert np.abs(np.diff(gains_db)).max() < 4.0


def test_the_equaliser_does_not_delay() -> None:
    click = silence(1.0, RATE_HZ)
    click[RATE_HZ // 2] = 1.0
    out = altered(click, Copy(equaliser_db=(6.0, 6.0)))
    assert int(np.abs(out).argmax()) == RATE_HZ // 2


def test_an_equal_generator_gives_an_equal_copy() -> None:
    sound = chirp(200.0, 4000.0, 1.0, RATE_HZ)
    one, again, other = (altered(sound, EVERYTHING, seed) for seed in (5, 5, 6))
    assert one.tobytes() == again.tobytes()
    assert len(one) != len(other) or not np.array_equal(one, other)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0])
def test_silence_stays_silent(seconds: float) -> None:
    sound = silence(seconds, RATE_HZ)
    out = altered(sound, EVERYTHING)
    assert out.dtype == np.float32
    assert not out.any()


def test_silence_is_as_long_as_a_sound_would_be() -> None:
    copy = Copy(speed=(0.8, 1.25), stretch=(0.8, 1.25), gain_db=(-6.0, 6.0))
    assert len(altered(silence(1.0, RATE_HZ), copy)) == len(altered(noise(1.0, RATE_HZ), copy))


@pytest.mark.parametrize("length", [1, 2, 3, 100, 2047, 2049])
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0])
def test_short_and_faint_sounds_stay_finite(length: int, scale: float) -> None:
    sound = (noise(1.0, RATE_HZ)[:length] * scale).astype(np.float32)
    for seed in range(3):
        out = altered(sound, EVERYTHING, seed)
        assert out.dtype == np.float32
        assert out.ndim == 1
        assert len(out) >= 1
        assert np.isfinite(out).all()


def test_copies_depend_on_clip_place_and_seed_alone() -> None:
    sound = chirp(200.0, 4000.0, 0.5, RATE_HZ)
    copies = [Copy(repeat=3, noise_snr_db=(0.0, 30.0)), Copy(roll_s=(0.0, 0.5))]

    def made(identity: str, seed: int = 7, kinds: list[Copy] = copies) -> list[bytes]:
        return [c.tobytes() for c in copies_of(sound, RATE_HZ, "dog", kinds, seed, identity)]

    first = made("1-100-A.wav")
    other = made("2-200-A.wav")
    assert made("1-100-A.wav") == first
    assert len(set(first + other + made("1-100-A.wav", seed=8))) == 12
    assert made("1-100-A.wav", kinds=[*copies, Copy(gain_db=(1.0, 2.0))])[:4] == first


def test_copies_are_made_for_the_classes_that_a_recipe_names() -> None:
    copies = [Copy(labels=("dog",), repeat=2), Copy()]
    sound = tone(500.0, 0.1, RATE_HZ)
    assert len(copies_of(sound, RATE_HZ, "dog", copies, 1, "a")) == 3
    assert len(copies_of(sound, RATE_HZ, "rain", copies, 1, "a")) == 1


def test_mixup_is_a_convex_combination() -> None:
    first, second = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 2.0]], np.float32)
    np.testing.assert_allclose(mixup(first, second, 0.25), [[0.25, 1.5]])
    assert mixup(first, second, 0.25).dtype == np.float32


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mixup(ROOM, ROOM, share)


def test_sounds_of_different_lengths_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="one shape"):
        between_class(ROOM, ROOM[1:], 0.5, RATE_HZ)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_between_class_gives_each_sound_its_share_of_loudness(
    share: float, gain: float, weighted: bool
) -> None:
    # Two orthogonal tones, so that the mixture can be taken apart again.
    first, second = tone(200.0, 1.0, RATE_HZ), tone(2000.0, 1.0, RATE_HZ) * np.float32(gain)
    mix = between_class(first, second, share, RATE_HZ, weighted)
    a, b = (float(mix @ x / (x @ x)) for x in (first, second))
    heard_db = [
        sound_level_db(part, RATE_HZ, weighted) for part in (np.float32(a) * first, np.float32(b) * second)
    ]
    assert heard_db[0] - heard_db[1] == pytest.approx(20 * np.log10(share / (1 - share)), abs=0.05)
    assert np.hypot(a, b) == pytest.approx(1.0, rel=1e-3)


def test_between_class_follows_the_formula_of_the_paper() -> None:
    first, second, r = noise(1.0, RATE_HZ, 0.3, seed=1), noise(1.0, RATE_HZ, 0.02, seed=2), 0.3
    g1, g2 = (sound_level_db(x, RATE_HZ) for x in (first, second))
    p = 1 / (1 + 10 ** ((g1 - g2) / 20) * (1 - r) / r)
    expected = (p * first + (1 - p) * second) / np.sqrt(p**2 + (1 - p) ** 2)
    np.testing.assert_allclose(between_class(first, second, r, RATE_HZ), expected, atol=1e-6)


def test_between_class_with_one_share_or_one_silent_sound() -> None:
    sound, quiet = noise(1.0, RATE_HZ), silence(1.0, RATE_HZ)
    np.testing.assert_allclose(between_class(sound, ROOM[:RATE_HZ], 1.0, RATE_HZ), sound, rtol=1e-6)
    np.testing.assert_allclose(between_class(ROOM[:RATE_HZ], sound, 0.0, RATE_HZ), sound, rtol=1e-6)
    np.testing.assert_allclose(between_class(sound, quiet, 0.5, RATE_HZ), sound * np.sqrt(0.5), rtol=1e-6)
    assert not between_class(quiet, quiet, 0.5, RATE_HZ).any()


def test_levels_are_weighted_as_people_hear() -> None:
    reference = sound_level_db(tone(1000.0, 1.0, RATE_HZ), RATE_HZ)
    # IEC 61672-1, table 3.
    for hz, weight_db in [(100.0, -19.1), (200.0, -10.9), (4000.0, 1.0)]:
        weighted = sound_level_db(tone(hz, 1.0, RATE_HZ), RATE_HZ) - reference
        assert weighted == pytest.approx(weight_db, abs=0.5)


def test_levels_are_those_of_the_loudest_moment() -> None:
    for at in (0.0, 1.0, 4.75):
        sound = silence(5.0, RATE_HZ)
        start = round(at * RATE_HZ)
        sound[start : start + RATE_HZ // 4] = 0.5
        assert sound_level_db(sound, RATE_HZ, weighted=False) == pytest.approx(-6.02, abs=0.01)


@pytest.mark.recordings
def test_real_recordings_stay_finite_and_are_heard(esc_data: Path) -> None:
    paths = sorted((esc_data / "esc50" / "audio").iterdir())[:200:40]
    assert paths
    for path in paths:
        sound = read_mono(path, RATE_HZ)
        for out in copies_of(sound, RATE_HZ, "x", [EVERYTHING], 1, path.name, [ROOM]):
            assert np.isfinite(out).all()
            assert 0.2 < active_level(out, RATE_HZ) / max(active_level(sound, RATE_HZ), 1e-9) < 5.0
