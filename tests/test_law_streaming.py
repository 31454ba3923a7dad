"""Streaming equals offline: any chunking gives the same frames, windows, scores and events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import blocks_of, same_bits, scene

from streamer.classifier import Classifier
from streamer.frontend import FrontEnd
from streamer.listen import Listener, listen
from streamer.model import Model, load_model
from streamer.scorer import Scorer
from streamer.settings import EventSettings
from streamer.sources.samples import SamplesSource
from streamer.types import Block, Event, FloatArray, Frames, Scores, Sound

SHIPPED = load_model()
RATE_HZ = SHIPPED.manifest.front_end.sample_rate_hz
SIGNAL = scene(RATE_HZ)
SETTINGS = EventSettings(threshold=0.03, hop_s=0.3, hangover_s=0.3, max_duration_s=2.0)
"""A low threshold and short pieces: the more events there are, the more can differ."""


@dataclass
class Result:
    """What each stage gave."""

    frames: FloatArray
    silent: list[bool]
    windows: list[tuple[int, int, int, int, bytes]]
    probabilities: list[bytes | None]
    sounds: list[Sound]


def pipeline(model: Model, blocks: Iterable[Block]) -> Result:
    """Send blocks through every stage: through the scorer, and through the listener as a whole."""
    scorer, listener = Scorer(Classifier(model), SETTINGS.hop_s), Listener(model, SETTINGS)
    frames: list[Frames] = []
    scores: list[Scores] = []
    sounds: list[Sound] = []
    for block in blocks:
        new_frames, new_scores = scorer.push(block)
        frames.append(new_frames)
        scores.extend(new_scores)
        sounds.extend(listener.push(block))
    last_frames, last_scores = scorer.finish()
    frames.append(last_frames)
    scores.extend(last_scores)
    sounds.extend(listener.finish())
    return Result(
        np.concatenate([part.values for part in frames]),
        np.concatenate([part.silent for part in frames]).tolist(),
        [
            (w.start_sample, w.end_sample, w.audible_start, w.audible_end, w.values.tobytes())
            for w in (score.window for score in scores)
        ],
        [None if p is None else p.tobytes() for p in (score.probabilities for score in scores)],
        sounds,
    )


@cache
def offline() -> Result:
    """The whole signal at once."""
    return pipeline(SHIPPED, [Block(0, SIGNAL)])


def assert_same(result: Result, expected: Result) -> None:
    assert same_bits([result.frames], [expected.frames])
    assert result.silent == expected.silent
    assert result.windows == expected.windows
    assert result.probabilities == expected.probabilities
    assert result.sounds == expected.sounds


def single_samples_in_the_middle() -> list[Block]:
    """One sample at a time for a stretch that completes windows, larger blocks around it."""
    first, last = 5 * RATE_HZ, 5 * RATE_HZ + 9_000
    return [
        Block(0, SIGNAL[:first]),
        *blocks_of(SIGNAL[first:last], [1], first),
        Block(last, SIGNAL[last:]),
    ]


CHUNKINGS: dict[str, Callable[[], list[Block]]] = {
    "one sample at a time": single_samples_in_the_middle,
    "37 samples": lambda: blocks_of(SIGNAL, [37]),
    "blocks of PortAudio": lambda: blocks_of(SIGNAL, [512]),
    "a hop and one more": lambda: blocks_of(SIGNAL, [442]),
    "half seconds": lambda: blocks_of(SIGNAL, [RATE_HZ // 2]),
    "empty blocks in between": lambda: blocks_of(SIGNAL, [0, 3_000, 0, 0, 1]),
}


def test_the_signal_has_something_to_tell() -> None:
    expected = offline()
    assert len(expected.windows) == 1 + int((12.0 - 1.947) / 0.3)
    assert None in expected.probabilities
    assert any(part is not None for part in expected.probabilities)
    assert len(expected.sounds) >= 5
    assert len({sound.label for sound in expected.sounds}) >= 2


@pytest.mark.parametrize("chunking", CHUNKINGS.values(), ids=CHUNKINGS)
def test_any_blocks_give_the_same(chunking: Callable[[], list[Block]]) -> None:
    assert_same(pipeline(SHIPPED, chunking()), offline())


@settings(max_examples=15)
@given(sizes=st.lists(st.one_of(st.integers(0, 100), st.integers(0, 60_000)), min_size=1, max_size=40))
def test_random_blocks_give_the_same(sizes: list[int]) -> None:
    blocks = blocks_of(SIGNAL, [*sizes, 20_000])
    assert_same(pipeline(SHIPPED, blocks), offline())


def test_a_source_gives_the_same_events_for_any_block_length() -> None:
    def events(block_samples: int) -> list[Event]:
        source = SamplesSource(SIGNAL, RATE_HZ, block_samples=block_samples)
        return list(listen(source, SHIPPED, SETTINGS))

    assert events(100) == events(2_048) == events(len(SIGNAL)) != []


def test_what_follows_a_gap_is_as_if_it_had_been_heard_alone() -> None:
    later = len(SIGNAL) + 12_345
    listener = Listener(SHIPPED, SETTINGS)
    before = listener.push(Block(0, SIGNAL))
    after = listener.push(Block(later, SIGNAL)) + listener.finish()
    expected = offline().sounds
    ended_by_the_gap = [sound for sound in after if sound.start_sample < later]
    assert before + ended_by_the_gap == expected
    moved = [
        dataclasses.replace(
            sound, start_sample=sound.start_sample - later, end_sample=sound.end_sample - later
        )
        for sound in after
        if sound.start_sample >= later
    ]
    assert moved == expected
    assert all(sound.end_sample <= len(SIGNAL) for sound in before + ended_by_the_gap)


def test_an_interruption_without_a_gap_starts_afresh_all_the_same() -> None:
    # A microphone that stalls and goes on counting where it stopped.
    cut = 5 * RATE_HZ
    listener = Listener(SHIPPED, SETTINGS)
    listener.push(Block(0, SIGNAL[:cut]))
    listener.interrupt()
    after = listener.push(Block(cut, SIGNAL[cut:])) + listener.finish()
    alone = pipeline(SHIPPED, [Block(0, SIGNAL[cut:])]).sounds
    assert [(s.label, s.start_sample - cut, s.end_sample - cut, s.confidence) for s in after] == [
        (s.label, s.start_sample, s.end_sample, s.confidence) for s in alone
    ]
    assert alone


def test_no_event_lies_outside_the_recording() -> None:
    for seconds in (0.05, 0.3, 1.0, 2.5, 12.0):
        samples = SIGNAL[RATE_HZ : RATE_HZ + round(seconds * RATE_HZ)]
        for sound in pipeline(SHIPPED, [Block(0, samples)]).sounds:
            assert 0 <= sound.start_sample < sound.end_sample <= len(samples)


def test_a_recording_shorter_than_a_window_is_scored_once() -> None:
    samples = SIGNAL[RATE_HZ : 2 * RATE_HZ]
    expected = pipeline(SHIPPED, [Block(0, samples)])
    assert len(expected.windows) == 1
    assert expected.probabilities[0] is not None
    assert_same(pipeline(SHIPPED, blocks_of(samples, [100])), expected)


def test_the_listener_hears_the_frames_of_the_front_end() -> None:
    front_end = FrontEnd(SHIPPED.manifest.front_end)
    parts = [front_end.push(block).values for block in blocks_of(SIGNAL, [999])]
    assert same_bits([np.concatenate(parts)], [offline().frames])
