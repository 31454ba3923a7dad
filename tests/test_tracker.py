"""From probabilities to sounds: every rule by itself, then what must hold for any input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.edges import EdgeFinder
from streamer.frontend import FrontEndSpec
from streamer.manifest import ClassRule
from streamer.smoothing import Smoother
from streamer.tracker import SHORTEST_S, Tracker, TrackerTimes
from streamer.types import FloatArray, Sound, Window

RATE_HZ = 1_000
WINDOW_S = 2.0
HOP_S = 0.5
VISIBLE = 0.2
WINDOW_FRAMES = 99
FRONT_END = FrontEndSpec(
    sample_rate_hz=RATE_HZ, fft_samples=40, hop_samples=20, mel_bands=1, fmin_hz=0.0, fmax_hz=500.0
)
DOG = ClassRule("dog", on=0.6, off=0.4, hangover_s=1.0)
CAT = ClassRule("cat", on=0.6, off=0.4, hangover_s=1.0)
SILENT = None
"""In place of the probabilities of a window of digital silence."""

Heard = float | tuple[float, ...] | None
"""Probability of each class in one window, a single number when there is one class, or `SILENT`."""


def window_at(start_s: float, audible_s: tuple[float, float] | None = (0.0, WINDOW_S)) -> Window:
    """A window; `audible_s` says which part of it is not digital silence."""
    start = round(start_s * RATE_HZ)
    end = start + round(WINDOW_S * RATE_HZ)
    if audible_s is None:
        return Window(start, end, np.empty((0, 0), np.float32), start, start)
    first, last = (start + round(at_s * RATE_HZ) for at_s in audible_s)
    return Window(start, end, np.empty((0, 0), np.float32), first, last)


@dataclass
class Listening:
    """A tracker that is fed window by window, and what it gave so far."""

    rules: Sequence[ClassRule] = (DOG,)
    hop_s: float = HOP_S
    smoothing_s: float = 0.0
    onset_s: float = 0.5
    offset_s: float = 0.5
    longest_s: float = 60.0
    start_s: float = 0.0
    level_db: FloatArray | None = None
    """Level of each frame from second 0 on, for a tracker that looks for edges in it."""

    sounds: list[Sound] = field(default_factory=list)

    def __post_init__(self) -> None:
        times = TrackerTimes(
            rate_hz=RATE_HZ,
            hop_s=self.hop_s,
            visible=VISIBLE,
            visible_onset_s=self.onset_s,
            visible_offset_s=self.offset_s,
            longest_s=self.longest_s,
        )
        edges = None if self.level_db is None else EdgeFinder(FRONT_END)
        self.tracker = Tracker(tuple(self.rules), times, edges)
        self.smoother = Smoother(self.smoothing_s)
        self.windows: list[Window] = []

    def hear(self, *probabilities: Heard) -> list[Sound]:
        """Take windows, hop by hop; give the sounds that are over."""
        done: list[Sound] = []
        for heard in probabilities:
            at_s = self.start_s + len(self.windows) * self.hop_s
            window = window_at(at_s, None if heard is SILENT else (0.0, WINDOW_S))
            if self.level_db is not None:
                window = dataclasses.replace(window, values=self._levels(window))
            raw = self._row(heard)
            smoothed = self.smoother.push(raw, window.end_sample / RATE_HZ)
            self.windows.append(window)
            done.extend(self.tracker.push(window, raw, smoothed))
        self.sounds.extend(done)
        return done

    def finish(self) -> list[Sound]:
        done = self.tracker.finish()
        self.sounds.extend(done)
        return done

    def _levels(self, window: Window) -> FloatArray:
        assert self.level_db is not None
        first = window.start_sample // FRONT_END.hop_samples
        return np.take(self.level_db, range(first, first + WINDOW_FRAMES), mode="wrap")[:, np.newaxis]

    def _row(self, heard: Heard) -> FloatArray:
        if heard is SILENT:
            return np.zeros(len(self.rules), np.float32)
        return np.array(heard if isinstance(heard, tuple) else [heard], np.float32)


def seconds(sound: Sound) -> tuple[float, float]:
    return sound.start_sample / RATE_HZ, sound.end_sample / RATE_HZ


# Hysteresis, hang-over, minimum duration


def test_a_sound_begins_at_on_and_not_before() -> None:
    listening = Listening()
    listening.hear(0.0, 0.59, 0.59)
    assert listening.tracker.open_sounds == []
    listening.hear(0.6)
    assert [sound.label for sound in listening.tracker.open_sounds] == ["dog"]


def test_a_sound_between_off_and_on_goes_on() -> None:
    listening = Listening()
    assert listening.hear(0.0, 0.9, *[0.45] * 20) == []
    (sound,) = listening.finish()
    assert sound.confidence == pytest.approx(0.9)
    assert sound.mean_confidence == pytest.approx((0.9 + 20 * 0.45) / 21)


def test_between_off_and_on_no_sound_begins() -> None:
    listening = Listening()
    listening.hear(*[0.55] * 20)
    assert listening.finish() == []


def test_a_sound_ends_when_the_hangover_is_over() -> None:
    listening = Listening()
    assert listening.hear(0.0, 0.9, 0.9, 0.1, 0.1) == []
    (sound,) = listening.hear(0.1)
    assert sound.label == "dog"
    assert listening.tracker.open_sounds == []


def test_a_pause_shorter_than_the_hangover_does_not_split_a_sound() -> None:
    listening = Listening()
    assert listening.hear(0.0, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9) == []
    assert len(listening.hear(0.1, 0.1, 0.1)) == 1


def test_a_sound_that_comes_back_ends_where_it_ends_at_last() -> None:
    with_pause, without = Listening(), Listening()
    with_pause.hear(0.0, 0.9, 0.1, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0)
    without.hear(0.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0)
    assert [seconds(sound) for sound in with_pause.sounds] == [seconds(sound) for sound in without.sounds]


def test_without_hangover_a_sound_ends_at_once() -> None:
    listening = Listening([ClassRule("dog", on=0.6, off=0.4, hangover_s=0.0)])
    assert len(listening.hear(0.0, 0.9, 0.1)) == 1


def test_what_is_shorter_than_the_minimum_duration_is_no_event() -> None:
    listening = Listening([ClassRule("dog", on=0.6, off=0.4, min_duration_s=1.0, hangover_s=0.5)])
    listening.hear(0.0, 0.9, 0.9, 0.1, 0.1)
    assert listening.finish() == []
    listening.hear(0.0, 0.9, 0.9, 0.9)
    assert len(listening.tracker.open_sounds) == 1
    assert len(listening.hear(0.1, 0.1)) == 1


def test_the_hangover_does_not_count_towards_the_minimum_duration() -> None:
    listening = Listening([ClassRule("dog", on=0.6, off=0.4, min_duration_s=1.0, hangover_s=5.0)])
    listening.hear(0.0, 0.9, *[0.1] * 8)
    assert listening.tracker.open_sounds == []
    assert listening.finish() == []


def test_the_hangover_does_not_make_a_sound_longer_or_less_confident() -> None:
    short, long = (
        Listening([ClassRule("dog", on=0.6, off=0.4, hangover_s=hangover_s)]) for hangover_s in (0.0, 3.0)
    )
    for listening in (short, long):
        listening.hear(0.0, 0.9, 0.7, *[0.0] * 10)
    assert short.sounds == long.sounds
    assert short.sounds[0].mean_confidence == pytest.approx(0.8)


def test_several_classes_go_on_at_once() -> None:
    listening = Listening([DOG, CAT])
    listening.hear((0.0, 0.0), *[(0.9, 0.1)] * 4, *[(0.9, 0.8)] * 6)
    assert [sound.label for sound in listening.tracker.open_sounds] == ["dog", "cat"]
    listening.hear(*[(0.0, 0.8)] * 4, *[(0.0, 0.0)] * 4)
    assert [sound.label for sound in listening.sounds] == ["dog", "cat"]
    dog, cat = listening.sounds
    assert dog.start_sample < cat.start_sample < dog.end_sample < cat.end_sample
    assert dog.confidence == pytest.approx(0.9)
    assert cat.confidence == pytest.approx(0.8)


# Onset and offset


def visible(begin_s: float, end_s: float, window: Window, onset_s: float, offset_s: float) -> bool:
    """Whether a network that needs to see so much of a sound tells it in this window."""
    seen_at_end_s = window.end_sample / RATE_HZ - begin_s
    left_at_start_s = end_s - window.start_sample / RATE_HZ
    return seen_at_end_s >= onset_s and left_at_start_s >= offset_s


@given(
    begin_s=st.floats(3.0, 6.0),
    length_s=st.floats(1.0, 10.0),
    onset_s=st.floats(0.2, 0.9),
    offset_s=st.floats(0.2, 0.9),
    hop_s=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_onset_and_offset_are_found_to_half_a_hop(
    begin_s: float, length_s: float, onset_s: float, offset_s: float, hop_s: float
) -> None:
    listening = Listening(hop_s=hop_s, onset_s=onset_s, offset_s=offset_s)
    end_s = begin_s + length_s
    for at in range(round((end_s + 3.0) / hop_s)):
        seen = visible(begin_s, end_s, window_at(at * hop_s), onset_s, offset_s)
        listening.hear(0.95 if seen else 0.05)
    (sound,) = listening.sounds
    rounding_s = 3 / RATE_HZ
    assert sound.start_sample / RATE_HZ == pytest.approx(begin_s, abs=hop_s / 2 + rounding_s)
    assert sound.end_sample / RATE_HZ == pytest.approx(end_s, abs=hop_s / 2 + rounding_s)


def test_smoothing_does_not_move_onset_and_offset() -> None:
    sounds = []
    for smoothing_s in (0.0, 0.8):
        listening = Listening(smoothing_s=smoothing_s)
        listening.hear(0.0, 0.0, *[0.95] * 6, *[0.0] * 10)
        sounds.append([seconds(sound) for sound in listening.sounds])
    assert sounds[0] == sounds[1]


def test_a_sound_in_the_very_first_window_begins_where_listening_began() -> None:
    listening = Listening(start_s=100.0)
    listening.hear(0.9, 0.9, 0.0, 0.0, 0.0)
    assert listening.sounds[0].start_sample == 100 * RATE_HZ


def test_onset_is_not_put_into_digital_silence() -> None:
    listening = Listening()
    listening.hear(SILENT)
    window = window_at(HOP_S, (1.8, 2.0))
    high = np.array([0.9], np.float32)
    listening.tracker.push(window, high, high)
    (sound,) = listening.finish()
    assert sound.start_sample == window.audible_start


def test_an_end_is_logged_at_the_last_audible_sample_when_listening_stops() -> None:
    listening = Listening()
    listening.hear(0.0, 0.9, 0.9, 0.9)
    (sound,) = listening.finish()
    assert sound.end_sample == listening.windows[-1].end_sample


def test_a_sound_that_has_faded_when_listening_stops_ends_where_it_faded() -> None:
    listening = Listening()
    listening.hear(0.0, 0.9, 0.9, 0.9, 0.9, 0.0)
    (sound,) = listening.finish()
    # The window that begins at 2.5 s holds no more than the 0.5 s in which a sound can hide.
    assert sound.end_sample / RATE_HZ == pytest.approx(2.5 + 0.5 - HOP_S / 2)


def test_no_sound_is_shorter_than_the_shortest() -> None:
    listening = Listening(onset_s=0.0, offset_s=0.0)
    listening.hear(0.0, 0.0, 0.9, 0.0, 0.0, 0.0)
    (sound,) = listening.sounds
    assert sound.end_sample - sound.start_sample == round(SHORTEST_S * RATE_HZ)


# Endless sounds


@pytest.mark.parametrize("smoothing_s", [0.0, 0.5])
@pytest.mark.parametrize(
    ("longest_s", "hop_s"), [(60.0, 0.5), (5.0, 0.5), (1.0, 0.1), (1.3, 0.7), (1.0, 1.0), (1.0, 1.9)]
)
def test_an_endless_sound_is_logged_in_pieces_that_abut(
    longest_s: float, hop_s: float, smoothing_s: float
) -> None:
    listening = Listening(hop_s=hop_s, longest_s=longest_s, smoothing_s=smoothing_s)
    listening.hear(0.0)
    while len(listening.sounds) < 50:
        pieces = listening.hear(0.95)
        now = listening.windows[-1].end_sample
        for sound in listening.tracker.open_sounds:
            assert now - sound.start_sample <= (longest_s + hop_s) * RATE_HZ
        assert all(piece.end_sample <= now for piece in pieces)
    listening.finish()
    starts = [sound.start_sample for sound in listening.sounds]
    ends = [sound.end_sample for sound in listening.sounds]
    assert starts[0] == pytest.approx((WINDOW_S + hop_s / 2 - 0.5) * RATE_HZ, abs=1)
    assert starts[1:] == ends[:-1]
    lengths = {end - start for start, end in zip(starts[:-1], ends[:-1], strict=True)}
    assert lengths == {round(longest_s * RATE_HZ)}
    rest = listening.windows[-1].end_sample - ends[-1]
    assert 0 <= rest <= SHORTEST_S * RATE_HZ


def test_a_sound_that_fades_at_its_longest_is_not_cut_into_what_was_not_heard() -> None:
    # Smoothing keeps it up for some windows after the network has let go of it.
    for heard_windows in range(4, 14):
        listening = Listening(smoothing_s=1.5, longest_s=4.0)
        listening.hear(0.0, *[1.0] * heard_windows, *[0.0] * 12)
        assert all(sound.start_sample < sound.end_sample for sound in listening.sounds), heard_windows
        last_heard_s = heard_windows * HOP_S + WINDOW_S
        assert listening.sounds[-1].end_sample / RATE_HZ <= last_heard_s, heard_windows


def test_a_sound_does_not_reach_back_into_the_one_before() -> None:
    # With slow smoothing a sound may come back, and be seen, before the one before it is over.
    rule = ClassRule("dog", on=0.6, off=0.4, hangover_s=8.0)
    for pause_windows in range(20, 45):
        listening = Listening([rule], smoothing_s=10.0)
        listening.hear(0.0, *[1.0] * 60, *[0.0] * pause_windows, *[1.0] * 40)
        listening.finish()
        for one, next_one in itertools.pairwise(listening.sounds):
            assert one.end_sample <= next_one.start_sample, pause_windows


def test_a_sound_does_not_reach_back_into_a_piece_that_was_cut() -> None:
    rule = ClassRule("dog", on=0.6, off=0.4, hangover_s=0.0)
    for heard_windows in range(5, 30):
        listening = Listening([rule], hop_s=0.1, longest_s=1.0)
        listening.hear(0.0, *[1.0] * heard_windows, 0.0, *[1.0] * 15)
        listening.finish()
        for one, next_one in itertools.pairwise(listening.sounds):
            assert one.end_sample <= next_one.start_sample, heard_windows


# What ends events


def test_windows_of_silence_end_a_sound() -> None:
    listening = Listening()
    listening.hear(0.0, 0.9, 0.9, SILENT, SILENT, SILENT)
    (sound,) = listening.sounds
    assert sound.end_sample <= listening.windows[2].end_sample


def test_finish_ends_a_sound_that_is_going_on_and_only_once() -> None:
    listening = Listening()
    listening.hear(0.0, 0.9)
    assert len(listening.finish()) == 1
    assert listening.finish() == []
    assert listening.tracker.open_sounds == []


@pytest.mark.parametrize("onset_s", [0.0, 0.1, 0.5])
def test_a_sound_that_is_broken_off_at_once_does_not_outlast_what_was_heard(onset_s: float) -> None:
    listening = Listening(hop_s=0.1, onset_s=onset_s)
    listening.hear(0.0, 0.9)
    (sound,) = listening.finish()
    assert sound.start_sample < sound.end_sample <= listening.windows[-1].end_sample


def test_finish_before_anything_was_heard_gives_nothing() -> None:
    assert Listening().finish() == []


def test_a_sound_after_a_gap_is_another_one() -> None:
    listening = Listening()
    listening.hear(0.0, 0.9, 0.9)
    (before,) = listening.finish()
    heard_until = listening.windows[-1].end_sample
    gap_end_s = 50.0
    high = np.array([0.9], np.float32)
    for at in range(3):
        listening.tracker.push(window_at(gap_end_s + at * HOP_S), high, high)
    (after,) = listening.tracker.finish()
    assert before.end_sample <= heard_until
    assert after.start_sample == gap_end_s * RATE_HZ


# What must hold for any input

probabilities = st.floats(0.0, 1.0, width=32)


@st.composite
def rules(draw: st.DrawFn, label: str = "dog", highest_on: float = 1.0) -> ClassRule:
    """Any rule that a manifest may hold."""
    on = draw(st.floats(0.01, highest_on))
    off = draw(st.floats(0.005, on))
    durations = st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0, 2.5])
    return ClassRule(label, on, off, min_duration_s=draw(durations), hangover_s=draw(durations))


@given(rule=rules(), hop_s=st.floats(0.05, WINDOW_S), longest_s=st.floats(1.0, 60.0))
def test_every_class_can_fire(rule: ClassRule, hop_s: float, longest_s: float) -> None:
    listening = Listening([rule], hop_s=hop_s, longest_s=longest_s)
    listening.hear(0.0, *[1.0] * (int(rule.min_duration_s / hop_s) + 2))
    listening.finish()
    assert listening.sounds


@given(
    rule=rules(highest_on=0.99),
    hop_s=st.floats(0.05, WINDOW_S),
    smoothing_s=st.floats(0.0, 5.0),
    before=st.floats(0.0, 0.5, width=32),
)
def test_every_class_can_fire_through_the_smoothing(
    rule: ClassRule, hop_s: float, smoothing_s: float, before: float
) -> None:
    listening = Listening([rule], hop_s=hop_s, smoothing_s=smoothing_s)
    highest = 255 / 256  # of a probability in 8 bits
    long_enough_s = 7 * smoothing_s + rule.min_duration_s + 2 * hop_s
    listening.hear(before, *[highest] * (int(long_enough_s / hop_s) + 2))
    listening.finish()
    assert listening.sounds


@dataclass
class Run:
    """An uninterrupted stretch of windows and the sounds in it."""

    windows: list[Window]
    sounds: list[Sound]


@st.composite
def levels(draw: st.DrawFn) -> FloatArray | None:
    """A level that jumps up and down now and then, or none."""
    steps = draw(st.lists(st.tuples(st.integers(-50, 50), st.integers(3, 80)), max_size=20))
    if not steps:
        return None
    return np.concatenate([np.full(frames, decibels, np.float32) for decibels, frames in steps])


@st.composite
def stories(draw: st.DrawFn) -> list[Run]:
    """Random probabilities through random rules, with silence and gaps, run by run."""
    hop_s = draw(st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.9]))
    listening = Listening(
        [draw(rules("dog")), draw(rules("cat"))],
        hop_s=hop_s,
        smoothing_s=draw(st.sampled_from([0.0, 0.5, 2.0, 5.0])),
        onset_s=draw(st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9])),
        offset_s=draw(st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9])),
        longest_s=draw(st.sampled_from([1.0, 3.0, 60.0])),
        level_db=draw(levels()),
    )
    pair = st.tuples(probabilities, probabilities)
    stretch = st.tuples(st.one_of(pair, st.just(SILENT)), st.integers(1, 12))
    runs = []
    for start_s in (0.0, 1_000.0):
        listening.start_s, listening.windows, listening.sounds = start_s, [], []
        listening.smoother.reset()
        for heard, times in draw(st.lists(stretch, max_size=8)):
            listening.hear(*[heard] * times)
        listening.finish()
        runs.append(Run(listening.windows, listening.sounds))
    return runs


@settings(max_examples=250)
@given(story=stories())
@example(story=[])
def test_what_holds_for_any_probabilities(story: list[Run]) -> None:
    for run in story:
        if not run.windows:
            assert run.sounds == []
        for sound in run.sounds:
            assert sound.start_sample < sound.end_sample
            assert 0.0 < sound.mean_confidence <= sound.confidence <= 1.0
            assert run.windows[0].start_sample <= sound.start_sample
            assert sound.end_sample <= run.windows[-1].end_sample
        for label in ("dog", "cat"):
            own = [sound for sound in run.sounds if sound.label == label]
            for one, next_one in itertools.pairwise(own):
                assert one.end_sample <= next_one.start_sample


@settings(max_examples=100)
@given(
    heard=st.lists(st.tuples(probabilities, probabilities), max_size=60),
    dog=rules("dog"),
    cat=rules("cat"),
)
def test_classes_do_not_touch_each_other(
    heard: list[tuple[float, float]], dog: ClassRule, cat: ClassRule
) -> None:
    both = Listening([dog, cat], smoothing_s=0.5, longest_s=3.0)
    dog_alone = Listening([dog], smoothing_s=0.5, longest_s=3.0)
    both.hear(*heard)
    both.finish()
    dog_alone.hear(*[pair[0] for pair in heard])
    dog_alone.finish()
    assert [sound for sound in both.sounds if sound.label == "dog"] == dog_alone.sounds
