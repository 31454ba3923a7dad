"""Windows are cut by sample index: no drift, no dependence on chunks, nothing across a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import SettingsError
from streamer.frontend import FrontEndSpec
from streamer.frontend.windows import WindowCutter
from streamer.types import Frames, Window

SPEC = FrontEndSpec(
    sample_rate_hz=16_000, fft_samples=400, hop_samples=160, mel_bands=1, fmin_hz=0.0, fmax_hz=8_000.0
)
WINDOW_FRAMES = 20


def numbered(first: int, count: int, run_start: int = 0) -> Frames:
    """Audible frames whose only value is their number within the run."""
    values = np.arange(first, first + count, dtype=np.float32)[:, np.newaxis]
    return Frames(run_start + first * SPEC.hop_samples, values, np.zeros(count, np.bool_))


def cut(hop_s: float, sizes: list[int]) -> list[Window]:
    """Windows of numbered frames that come in groups of the given sizes."""
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, hop_s)
    windows: list[Window] = []
    first = 0
    for size in sizes:
        windows.extend(cutter.push(numbered(first, size)))
        first += size
    return windows


def first_frames(windows: list[Window]) -> list[int]:
    """Number of the first frame of each window."""
    return [int(window.values[0, 0]) for window in windows]


def test_windows_follow_each_other_at_the_hop() -> None:
    windows = cut(0.1, [100])
    assert first_frames(windows) == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    for window in windows:
        start = int(window.values[0, 0]) * SPEC.hop_samples
        assert window.start_sample == start
        assert window.end_sample == start + 19 * 160 + 400
        assert window.values[:, 0].tolist() == list(range(start // 160, start // 160 + 20))


def test_a_window_comes_with_its_last_frame() -> None:
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.1)
    assert cutter.push(numbered(0, 19)) == []
    assert len(cutter.push(numbered(19, 1))) == 1
    assert cutter.push(numbered(20, 9)) == []
    assert len(cutter.push(numbered(29, 1))) == 1


@pytest.mark.parametrize("hop_s", [0.037, 0.1, 1 / 7, 0.2])
def test_no_drift_over_an_hour(hop_s: float) -> None:
    frames = 3_600 * SPEC.sample_rate_hz // SPEC.hop_samples
    windows = cut(hop_s, [1_000] * (frames // 1_000))
    starts_s = np.array([window.start_sample for window in windows]) / SPEC.sample_rate_hz
    due_s = np.arange(len(windows)) * hop_s
    half_a_frame_s = SPEC.hop_samples / SPEC.sample_rate_hz / 2
    assert np.abs(starts_s - due_s).max() <= half_a_frame_s + 1e-9
    last_possible_s = (frames - WINDOW_FRAMES) * SPEC.hop_samples / SPEC.sample_rate_hz
    assert last_possible_s - hop_s - 2 * half_a_frame_s <= starts_s[-1] <= last_possible_s


@given(
    sizes=st.lists(st.integers(0, 200), max_size=40),
    hop_s=st.floats(0.01, 0.2),
)
def test_any_chunking_gives_the_same_windows(sizes: list[int], hop_s: float) -> None:
    in_parts = cut(hop_s, sizes)
    at_once = cut(hop_s, [sum(sizes)])
    assert [w.start_sample for w in in_parts] == [w.start_sample for w in at_once]
    assert [w.values.tobytes() for w in in_parts] == [w.values.tobytes() for w in at_once]


def test_a_window_keeps_its_values_while_the_cutter_goes_on() -> None:
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.2)
    (window,) = cutter.push(numbered(0, 20))
    before = window.values.copy()
    for first in range(20, 2_000, 20):
        cutter.push(numbered(first, 20))
    np.testing.assert_array_equal(window.values, before)


def test_a_gap_starts_a_new_run() -> None:
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.1)
    cutter.push(numbered(0, 25))
    gone_on = 25 * SPEC.hop_samples + 7
    windows = cutter.push(numbered(0, 30, gone_on))
    assert [w.start_sample for w in windows] == [gone_on, gone_on + 1_600]
    assert first_frames(windows) == [0, 10]


def test_reset_starts_a_new_run_though_nothing_is_missing() -> None:
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.1)
    cutter.push(numbered(0, 25))
    cutter.reset()
    windows = cutter.push(numbered(25, 35))
    assert first_frames(windows) == [25, 35]
    assert [w.start_sample for w in windows] == [25 * 160, 35 * 160]


def test_nothing_to_cut_changes_nothing() -> None:
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.1)
    cutter.push(numbered(0, 15))
    assert cutter.push(numbered(900, 0)) == []
    assert first_frames(cutter.push(numbered(15, 5))) == [0]


@pytest.mark.parametrize("hop_s", [0.0, 0.009, 0.201, -1.0, 5.0])
def test_a_hop_that_does_not_fit_is_refused(hop_s: float) -> None:
    with pytest.raises(SettingsError) as caught:
        WindowCutter(SPEC, WINDOW_FRAMES, hop_s)
    assert str(caught.value) == (
        f"a hop of {hop_s:g} s does not fit this model: choose between 0.010 and 0.200 s"
    )


@pytest.mark.parametrize("hop_s", [0.01, 0.2])
def test_the_longest_and_the_shortest_hop_work(hop_s: float) -> None:
    assert first_frames(cut(hop_s, [60]))[1] == round(100 * hop_s)


def window_with_audible(frames: list[int]) -> Window:
    """The first window when only these frames are audible."""
    silent = np.ones(WINDOW_FRAMES, np.bool_)
    silent[frames] = False
    cutter = WindowCutter(SPEC, WINDOW_FRAMES, 0.1)
    start = 320
    (window,) = cutter.push(Frames(start, np.zeros((WINDOW_FRAMES, 1), np.float32), silent))
    return window


def test_audible_bounds_are_those_of_the_frames_that_are_not_silent() -> None:
    window = window_with_audible([3, 4, 9])
    assert window.audible_start == 320 + 3 * 160
    assert window.audible_end == 320 + 9 * 160 + 400
    assert not window.silent


def test_a_wholly_audible_window_is_audible_from_end_to_end() -> None:
    window = window_with_audible(list(range(WINDOW_FRAMES)))
    assert (window.audible_start, window.audible_end) == (window.start_sample, window.end_sample)


def test_a_window_of_silence_is_silent() -> None:
    window = window_with_audible([])
    assert window.silent
    assert window.audible_start == window.audible_end == window.start_sample == 320
