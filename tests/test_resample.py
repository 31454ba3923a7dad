"""Resampling in a stream, and mixing channels down."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import SourceError
from streamer.mend import mended
from streamer.sources.mixdown import to_mono
from streamer.sources.resample import StreamResampler, convert_index
from streamer.types import Block, FloatArray

RATES_HZ = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]
rates_hz = st.sampled_from(RATES_HZ)


def noise(samples: int) -> FloatArray:
    return np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)


def joined(blocks: list[Block]) -> FloatArray:
    return np.concatenate([np.empty(0, np.float32), *(block.samples for block in blocks)])


def assert_in_order(blocks: list[Block]) -> None:
    for before, after in itertools.pairwise(blocks):
        assert before.end_sample <= after.start_sample


@settings(deadline=None, max_examples=60)
@given(
    from_hz=rates_hz,
    to_hz=rates_hz,
    start=st.integers(0, 10**10),
    chunks=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 5_000)), max_size=40),
)
def test_the_cutting_of_a_run_changes_nothing(
    from_hz: int, to_hz: int, start: int, chunks: list[int]
) -> None:
    samples = noise(sum(chunks))
    whole = StreamResampler(from_hz, to_hz)
    expected = whole.push(Block(start, samples)) + whole.flush()

    cut = StreamResampler(from_hz, to_hz)
    blocks: list[Block] = []
    at = 0
    for chunk in chunks:
        blocks += cut.push(Block(start + at, samples[at : at + chunk]))
        at += chunk
    blocks += cut.flush()

    assert np.array_equal(joined(blocks), joined(expected))
    assert abs(len(joined(blocks)) - round(len(samples) * to_hz / from_hz)) <= 1
    if blocks:
        assert blocks[0].start_sample == convert_index(start, from_hz, to_hz)
    for before, after in itertools.pairwise(blocks):
        assert before.end_sample == after.start_sample


def test_sample_by_sample_is_the_same() -> None:
    samples = noise(9_000)
    whole, single = StreamResampler(44_100, 22_050), StreamResampler(44_100, 22_050)
    expected = joined(whole.push(Block(0, samples)) + whole.flush())
    blocks = [block for i in range(len(samples)) for block in single.push(Block(i, samples[i : i + 1]))]
    assert np.array_equal(joined(blocks + single.flush()), expected)


@settings(deadline=None, max_examples=60)
@given(
    from_hz=rates_hz,
    to_hz=rates_hz,
    runs=st.lists(
        st.tuples(
            st.one_of(st.integers(1, 30), st.integers(1, 100_000)),  # gap before the run
            st.lists(st.integers(0, 3_000), min_size=1, max_size=4),  # its chunks
        ),
        max_size=8,
    ),
)
def test_gaps_never_make_indices_overlap(from_hz: int, to_hz: int, runs: list[tuple[int, list[int]]]) -> None:
    resampler = StreamResampler(from_hz, to_hz)
    blocks: list[Block] = []
    at = 0
    for gap, chunks in runs:
        at += gap
        for chunk in chunks:
            blocks += resampler.push(Block(at, noise(chunk)))
            at += chunk
    blocks += resampler.flush()
    assert_in_order(blocks)
    for block in blocks:
        assert block.end_sample <= convert_index(at, from_hz, to_hz) + 1


@pytest.mark.parametrize("gap", [1, 2, 3, 1_000, 44_100])
@pytest.mark.parametrize("first_run", [44_099, 44_100, 44_101])
@pytest.mark.parametrize(("from_hz", "to_hz"), [(44_100, 22_050), (48_000, 22_050), (8_000, 22_050)])
def test_a_gap_stays_visible_and_in_its_place(gap: int, first_run: int, from_hz: int, to_hz: int) -> None:
    resampler = StreamResampler(from_hz, to_hz)
    blocks = resampler.push(Block(0, noise(first_run)))
    after_gap = resampler.push(Block(first_run + gap, noise(from_hz)))
    blocks += after_gap + resampler.flush()
    assert_in_order(blocks)
    jumps = [
        (before.end_sample, after.start_sample)
        for before, after in itertools.pairwise(blocks)
        if before.end_sample != after.start_sample
    ]
    assert len(jumps) == 1
    end, start = jumps[0]
    assert start == convert_index(first_run + gap, from_hz, to_hz)
    assert abs(start - end - gap * to_hz / from_hz) <= 2


def test_a_pulse_keeps_its_time() -> None:
    samples = np.zeros(48_000, np.float32)
    samples[24_000] = 1.0
    resampler = StreamResampler(48_000, 22_050)
    out = joined(resampler.push(Block(0, samples)) + resampler.flush())
    assert int(np.argmax(out)) == 11_025


def test_equal_rates_pass_through() -> None:
    block = Block(17, noise(100))
    resampler = StreamResampler(16_000, 16_000)
    assert resampler.push(block) == [block]
    assert resampler.next_sample == 117
    assert resampler.flush() == []


def test_nothing_in_nothing_out() -> None:
    resampler = StreamResampler(44_100, 22_050)
    assert resampler.push(Block(0, noise(0))) == []
    assert resampler.flush() == []


def test_going_back_is_refused() -> None:
    resampler = StreamResampler(44_100, 22_050)
    resampler.push(Block(0, noise(100)))
    with pytest.raises(ValueError, match="goes back"):
        resampler.push(Block(50, noise(100)))


def test_mono_is_the_mean_of_all_channels() -> None:
    samples = np.array([[0.25, 0.75, 0.5], [-1.0, 1.0, 0.0]], np.float32)
    mono = to_mono(samples, None)
    assert mono.dtype == np.float32
    assert mono.tolist() == [0.5, 0.0]


def test_one_channel_can_be_chosen() -> None:
    samples = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    assert np.array_equal(to_mono(samples, 2), samples[:, 1])
    assert np.array_equal(to_mono(samples[:, :1], None), samples[:, 0])


def test_opposite_channels_can_be_told_apart_only_by_choosing() -> None:
    left = noise(100)
    samples = np.stack([left, -left], axis=1)
    assert not to_mono(samples, None).any()
    assert np.array_equal(to_mono(samples, 1), left)


@pytest.mark.parametrize("channel", [-1, 0, 3])
def test_a_missing_channel_is_refused(channel: int) -> None:
    with pytest.raises(SourceError, match=rf"no channel {channel}: this input has channels 1 to 2"):
        to_mono(np.zeros((4, 2), np.float32), channel)


def test_broken_samples_are_counted_and_count_as_silence() -> None:
    samples = np.array([[np.nan, 0.5], [np.inf, -np.inf], [3e38, 999.0]], np.float32)
    sound, broken = mended(samples)
    assert sound.tolist() == [[0.0, 0.5], [0.0, 0.0], [0.0, 999.0]]
    assert broken == 4
    assert sound.dtype == np.float32


def test_samples_that_are_sound_are_left_alone() -> None:
    samples = np.array([[0.5, -1.0]], np.float32)
    assert mended(samples) == (samples, 0)
    assert mended(samples[:0])[1] == 0


@settings(deadline=None, max_examples=30)
@given(channels=st.integers(1, 8), at=st.integers(0, 200))
def test_mixing_does_not_depend_on_the_cutting(channels: int, at: int) -> None:
    samples = noise(200 * channels).reshape(200, channels)
    parts = [to_mono(samples[:at], None), to_mono(samples[at:], None)]
    assert np.array_equal(np.concatenate(parts), to_mono(samples, None))
