"""Mixtures of sounds: how loud each is, when it is really active, and which clips are mixed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals import noise, silence, tone

from streamer.types import FloatArray
from trainer.examples.waveforms import active_level
from trainer.soundscapes.mixtures import (
    Part,
    Placed,
    active_spans,
    groups_of_classes,
    mix_pair,
    mix_sounds,
    pairs_of_classes,
    second_level_db,
)

RATE_HZ = 16_000
FRAME = 320


def placed(sound: FloatArray, at_s: float, seconds: float) -> FloatArray:
    """A sound at a place in digital silence."""
    samples = silence(seconds, RATE_HZ)
    start = round(at_s * RATE_HZ)
    samples[start : start + len(sound)] = sound
    return samples


def amplitudes(mixture: FloatArray, *sounds: FloatArray) -> list[float]:
    """How much of each sound is in a mixture (least squares)."""
    return list(np.linalg.lstsq(np.stack(sounds, axis=1), mixture, rcond=None)[0])


@pytest.mark.parametrize("level_db", [0.0, -20.0, -30.0, 6.0])
@pytest.mark.parametrize("loudness", [1e-3, 1.0])
def test_the_second_sound_has_the_level_that_was_asked_for(level_db: float, loudness: float) -> None:
    # One goes on for all of the clip, the other for a tenth of it: only what sounds may count.
    first = tone(500.0, 3.0, RATE_HZ, 0.05)
    bark = noise(0.3, RATE_HZ, 0.1) * np.float32(loudness)
    second = placed(bark, 1.0, 3.0)
    mixture = mix_pair(first, second, level_db, rate_hz=RATE_HZ)
    kept, added = amplitudes(mixture.samples, first, second)
    assert kept == pytest.approx(1.0, abs=1e-4)
    bark_db = 20 * np.log10(added * np.std(bark))
    assert bark_db - 20 * np.log10(np.std(first)) == pytest.approx(level_db, abs=0.3)
    assert mixture.parts[0].level_db == pytest.approx(20 * np.log10(np.std(first)), abs=0.01)
    assert mixture.parts[1].level_db - mixture.parts[0].level_db == pytest.approx(level_db, abs=0.01)


def test_a_mixture_stays_within_full_scale_and_keeps_its_levels() -> None:
    first, second = tone(500.0, 1.0, RATE_HZ, 0.9), tone(700.0, 1.0, RATE_HZ, 0.1)
    mixture = mix_pair(first, second, -3.0, rate_hz=RATE_HZ)
    assert np.abs(mixture.samples).max() == pytest.approx(1.0, abs=1e-6)
    one, other = (part.level_db for part in mixture.parts)
    assert other - one == pytest.approx(-3.0, abs=0.01)
    kept = amplitudes(mixture.samples, first)[0]
    assert one == pytest.approx(20 * np.log10(kept * active_level(first, RATE_HZ)), abs=0.02)


def test_parts_are_active_where_they_sound() -> None:
    first = placed(noise(1.0, RATE_HZ), 0.5, 4.0)
    second = placed(noise(0.4, RATE_HZ), 2.6, 4.0)
    parts = mix_pair(first, second, -25.0, rate_hz=RATE_HZ).parts
    for part, begin_s, end_s in [(parts[0], 0.5, 1.5), (parts[1], 2.6, 3.0)]:
        assert part.begin_sample == pytest.approx(begin_s * RATE_HZ, abs=FRAME)
        assert part.end_sample == pytest.approx(end_s * RATE_HZ, abs=FRAME)
    assert parts[0].active_samples(0, 4 * RATE_HZ) == pytest.approx(RATE_HZ, abs=2 * FRAME)
    assert parts[0].active_samples(RATE_HZ, 2 * RATE_HZ) == pytest.approx(RATE_HZ // 2, abs=FRAME)
    assert parts[1].active_samples(0, 2 * RATE_HZ) == 0


def test_quiet_hiss_is_not_the_sound() -> None:
    sound = noise(3.0, RATE_HZ, 1e-3)
    sound[RATE_HZ : 2 * RATE_HZ] += noise(1.0, RATE_HZ, 0.1, seed=2)
    ((begin, end),) = active_spans(sound, RATE_HZ)
    assert begin == pytest.approx(RATE_HZ, abs=FRAME)
    assert end == pytest.approx(2 * RATE_HZ, abs=FRAME)


@pytest.mark.parametrize(("pause_s", "spans"), [(0.1, 1), (0.44, 1), (0.56, 2), (2.0, 2)])
def test_short_pauses_belong_to_the_sound(pause_s: float, spans: int) -> None:
    step = noise(0.2, RATE_HZ)
    sound = np.concatenate([step, silence(pause_s, RATE_HZ), step])
    found = active_spans(sound, RATE_HZ)
    assert len(found) == spans
    assert found[0][0] == 0
    assert found[-1][1] == len(sound)


@given(
    spans=st.lists(st.integers(0, 200), min_size=2, max_size=8, unique=True).map(sorted),
    begin=st.integers(0, 200),
    end=st.integers(0, 200),
)
def test_active_samples_are_counted_one_by_one(spans: list[int], begin: int, end: int) -> None:
    part = Part(tuple(zip(spans[::2], spans[1::2], strict=False)), 0.0)
    active = {at for first, last in part.spans for at in range(first, last)}
    assert part.active_samples(begin, end) == len(active & set(range(begin, end)))


def test_length_is_that_of_the_longer_or_of_the_first() -> None:
    short, long = tone(500.0, 1.0, RATE_HZ), noise(2.5, RATE_HZ)
    for first, second in [(short, long), (long, short)]:
        assert len(mix_pair(first, second, rate_hz=RATE_HZ).samples) == len(long)
    mixture = mix_pair(short, long, length="first", rate_hz=RATE_HZ)
    assert len(mixture.samples) == len(short)
    assert mixture.parts[1].end_sample == len(short)
    assert len(mix_pair(long, short, length="first", rate_hz=RATE_HZ).samples) == len(long)


def test_what_is_cut_off_is_not_true_of_the_mixture() -> None:
    first, late = tone(500.0, 1.0, RATE_HZ), placed(noise(0.5, RATE_HZ), 2.0, 3.0)
    mixture = mix_pair(first, late, length="first", rate_hz=RATE_HZ)
    assert mixture.parts[1] == Part((), -np.inf)
    assert (mixture.parts[1].begin_sample, mixture.parts[1].end_sample) == (0, 0)
    np.testing.assert_array_equal(mixture.samples, first)


def test_silence_and_emptiness() -> None:
    sound, nothing = noise(1.0, RATE_HZ), silence(1.0, RATE_HZ)
    for first, second, heard in [(sound, nothing, 0), (nothing, sound, 1)]:
        mixture = mix_pair(first, second, -20.0, rate_hz=RATE_HZ)
        np.testing.assert_array_equal(mixture.samples, sound)
        assert mixture.parts[heard].spans
        assert not mixture.parts[1 - heard].spans
    assert not mix_pair(nothing, nothing).samples.any()
    assert len(mix_pair(nothing[:0], nothing[:0]).samples) == 0


def test_inputs_are_left_alone() -> None:
    first, second = noise(1.0, RATE_HZ, 0.5), noise(1.0, RATE_HZ, 0.5, seed=2)
    before = first.copy(), second.copy()
    mix_pair(first, second, -6.0)
    np.testing.assert_array_equal(first, before[0])
    np.testing.assert_array_equal(second, before[1])


def test_styles_say_how_loud_the_second_sound_is() -> None:
    random = np.random.default_rng(4)
    assert second_level_db("50-50", random) == 0.0
    drawn = [second_level_db("90-10", random) for _ in range(300)]
    assert -30.0 <= min(drawn) < -29.0
    assert -21.0 < max(drawn) <= -20.0
    again = np.random.default_rng(4)
    assert [second_level_db("90-10", again) for _ in range(300)] == drawn


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    per_pair=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_pairs_cover_all_classes_and_use_clips_evenly(sizes: list[int], per_pair: int, seed: int) -> None:
    labels = [f"class_{at}" for at, size in enumerate(sizes) for _ in range(size)]
    np.random.default_rng(seed).shuffle(labels)
    pairs = pairs_of_classes(labels, per_pair, np.random.default_rng(seed))
    assert pairs == pairs_of_classes(labels, per_pair, np.random.default_rng(seed))

    by_classes = Counter(frozenset((labels[a], labels[b])) for a, b in pairs)
    classes = len(sizes)
    assert all(len(both) == 2 for both in by_classes)
    assert set(by_classes.values()) <= {per_pair}
    assert len(by_classes) == (classes * (classes - 1) // 2 if per_pair else 0)

    uses = Counter(clip for pair in pairs for clip in pair)
    for label in set(labels):
        of_class = [uses[clip] for clip, other in enumerate(labels) if other == label]
        assert max(of_class) - min(of_class) <= 1

    for both in by_classes:
        first, _ = sorted(both)
        leading = sum(labels[a] == first for a, b in pairs if {labels[a], labels[b]} == both)
        assert abs(2 * leading - per_pair) <= 1


def test_no_pair_of_clips_comes_twice_where_there_are_enough() -> None:
    labels = ["dog"] * 6 + ["siren"] * 5 + ["drilling"] * 7
    for seed in range(20):
        pairs = pairs_of_classes(labels, 11, np.random.default_rng(seed))
        assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 33


def test_another_seed_gives_other_pairs() -> None:
    labels = ["dog"] * 20 + ["siren"] * 20
    one, other = (pairs_of_classes(labels, 11, np.random.default_rng(seed)) for seed in (1, 2))
    assert one != other


# Any number of sounds at their places


def test_each_sound_has_its_place_and_its_level() -> None:
    tones = [tone(hz, 1.0, RATE_HZ, loud) for hz, loud in ((500.0, 0.05), (900.0, 0.4), (2000.0, 0.001))]
    places = [round(at_s * RATE_HZ) for at_s in (0.5, -0.4, 2.25)]
    levels_db = [0.0, -6.0, 3.0]
    sounds = [Placed(*each) for each in zip(tones, places, levels_db, strict=True)]
    mixture = mix_sounds(sounds, 3 * RATE_HZ, RATE_HZ)
    assert mixture.samples.shape == (3 * RATE_HZ,)
    spans = [(0.5, 1.5), (0.0, 0.6), (2.25, 3.0)]
    for part, (begin_s, end_s), level_db in zip(mixture.parts, spans, levels_db, strict=True):
        assert part.spans == ((round(begin_s * RATE_HZ), round(end_s * RATE_HZ)),)
        assert part.level_db - mixture.parts[0].level_db == pytest.approx(level_db, abs=1e-6)
    tracks = [np.zeros(3 * RATE_HZ, np.float32) for _ in tones]
    for track, sound, (begin_s, end_s), at in zip(tracks, tones, spans, places, strict=True):
        begin, end = round(begin_s * RATE_HZ), round(end_s * RATE_HZ)
        track[begin:end] = sound[begin - at : end - at]
    found = amplitudes(mixture.samples, *tracks)
    measured = [20 * np.log10(a * t.max()) for a, t in zip(found, tracks, strict=True)]
    assert [m - measured[0] for m in measured] == pytest.approx(levels_db, abs=0.05)


def test_the_hiss_before_a_sound_that_is_cut_off_is_not_the_sound() -> None:
    first = tone(500.0, 1.0, RATE_HZ, 0.1)
    bark = placed(noise(0.5, RATE_HZ, 0.2), 2.0, 3.0) + noise(3.0, RATE_HZ, 1e-4, seed=2)
    mixture = mix_pair(first, bark, length="first", rate_hz=RATE_HZ)
    assert mixture.parts[1] == Part((), -np.inf)
    # It is not made as loud as the other sound either.
    assert np.std(mixture.samples - first) == pytest.approx(1e-4, rel=0.05)


def test_a_sound_outside_is_not_heard() -> None:
    sound = noise(1.0, RATE_HZ)
    for at in (-RATE_HZ, -2 * RATE_HZ, RATE_HZ, 3 * RATE_HZ):
        mixture = mix_sounds([Placed(sound), Placed(sound, at)], RATE_HZ, RATE_HZ)
        assert mixture.parts[1] == Part((), -np.inf)
        np.testing.assert_array_equal(mixture.samples, sound)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=6),
    count=st.integers(0, 15),
    limits=st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda two: (min(two), max(two))),
    seed=st.integers(0, 99),
)
def test_groups_use_classes_and_clips_evenly(
    sizes: list[int], count: int, limits: tuple[int, int], seed: int
) -> None:
    labels = [f"class_{at}" for at, size in enumerate(sizes) for _ in range(size)]
    groups = groups_of_classes(labels, count, limits, np.random.default_rng(seed))
    assert groups == groups_of_classes(labels, count, limits, np.random.default_rng(seed))
    assert len(groups) == count
    for group in groups:
        assert limits[0] <= len(group) <= limits[1]
        assert len({labels[clip] for clip in group}) == len(group)
    uses = Counter(clip for group in groups for clip in group)
    by_class = [[uses[clip] for clip, own in enumerate(labels) if own == label] for label in set(labels)]
    assert all(max(clips) - min(clips) <= 1 for clips in by_class)
    totals = [sum(clips) for clips in by_class]
    assert max(totals) - min(totals) <= 1


def test_any_sound_of_a_group_may_be_the_first() -> None:
    groups = groups_of_classes(["dog", "siren", "rain"], 300, (2, 2), np.random.default_rng(1))
    assert all(80 <= count <= 120 for count in Counter(group[0] for group in groups).values())
    assert len(set(groups)) == 6


def test_the_attenuation_of_the_second_sound_can_be_given() -> None:
    random = np.random.default_rng(1)
    assert {second_level_db("90-10", random, (20.0, 20.0)) for _ in range(5)} == {-20.0}
