"""The loop as a library: `for event in listen(source): ...`."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import PATIENCE_S
from sounds import (
    RATE_HZ,
    other_label,
    shipped_model,
    silence,
    siren,
    siren_label,
    siren_threshold,
    write_siren,
)

import streamer.monitor
from streamer import Block, EscListenError, Event, EventSettings, Listener, ModelError, listen
from streamer.errors import SettingsError, SourceError
from streamer.monitor import Monitor
from streamer.settings import Settings
from streamer.sinks import MemorySink, QueuedSink
from streamer.sources import SourceHealth
from streamer.sources.samples import SamplesSource
from streamer.tracker import OpenSound
from streamer.types import FloatArray

NOON = 1_700_000_000.0
"""Date of the first sample of live sources."""

TOLERANCE_S = 0.5


def settings(max_duration_s: float = 60.0) -> EventSettings:
    """Those with which a siren gives one event."""
    return EventSettings(labels=(siren_label(),), threshold=siren_threshold(), max_duration_s=max_duration_s)


class CountingMonitor(Monitor):
    """Counts the windows that are scored."""

    def __init__(self) -> None:
        threshold = tuple(siren_threshold() for _ in shipped_model().labels)
        super().__init__(shipped_model(), on=threshold, off=threshold)
        self.windows = 0
        self.loud_windows = 0

    def scored(self, raw: FloatArray, smoothed: FloatArray, sounds: list[OpenSound]) -> None:
        super().scored(raw, smoothed, sounds)
        self.windows += 1
        self.loud_windows += bool(raw.any())


def windows_in(seconds: float) -> int:
    """How many whole windows an uninterrupted run of that length holds."""
    manifest = shipped_model().manifest
    window_s = manifest.front_end.duration_s(manifest.window_frames)
    return 0 if seconds < window_s else 1 + int((seconds - window_s) / manifest.hop_s)


def blocks_of(samples: FloatArray, start_sample: int = 0) -> list[Block]:
    """Cut into blocks of a tenth of a second."""
    size = RATE_HZ // 10
    return [Block(start_sample + at, samples[at : at + size]) for at in range(0, len(samples), size)]


def test_a_file_in_one_line(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 4.0)
    (event,) = listen(path, settings=settings())
    assert event.label == siren_label()
    assert event.start_s == pytest.approx(0.0, abs=TOLERANCE_S)
    assert event.end_s == pytest.approx(4.0, abs=TOLERANCE_S)
    assert event.duration_s == event.end_s - event.start_s
    assert siren_threshold() <= event.mean_confidence <= event.confidence <= 1.0
    assert (event.source, event.model, event.live) == (str(path), shipped_model().name, False)


def test_nothing_is_claimed_outside_of_a_file(tmp_path: Path) -> None:
    for seconds in (0.3, 1.0, 2.5, 4.1):
        path = write_siren(tmp_path / f"{seconds}.wav", seconds)
        sure_of_all = EventSettings(threshold=siren_threshold())
        events = list(listen(path, settings=sure_of_all))
        for event in events:
            assert 0.0 <= event.start_s < event.end_s <= seconds + 1 / RATE_HZ, event


def test_the_default_threshold_is_that_of_the_manifest() -> None:
    source = SamplesSource(siren(4.0), RATE_HZ)
    on = {rule.label: rule.on for rule in shipped_model().manifest.classes}
    for event in listen(source):
        assert event.confidence >= on[event.label]


def test_two_sounds_are_two_events_and_the_pause_is_none() -> None:
    samples = np.concatenate([silence(1.0), siren(3.0), silence(5.0), siren(3.0), silence(3.0)])
    events = list(listen(SamplesSource(samples, RATE_HZ), settings=settings()))
    assert [event.start_s for event in events] == pytest.approx([1.0, 9.0], abs=1.0)
    assert [event.end_s for event in events] == pytest.approx([4.0, 12.0], abs=1.0)


def test_a_short_pause_ends_no_sound() -> None:
    samples = np.concatenate([siren(3.0), silence(2.5), siren(3.0), silence(3.0)])
    whole = list(listen(SamplesSource(samples, RATE_HZ), settings=settings()))
    assert [(e.start_s, e.end_s) for e in whole] == [pytest.approx((0.0, 8.5), abs=TOLERANCE_S)]
    impatient = dataclasses.replace(settings(), hangover_s=0.5)
    parts = list(listen(SamplesSource(samples, RATE_HZ), settings=impatient))
    assert [e.end_s for e in parts] == pytest.approx([3.0, 8.5], abs=TOLERANCE_S)


def test_silence_is_no_sound_at_any_threshold() -> None:
    source = SamplesSource(silence(10.0), RATE_HZ)
    assert list(listen(source, settings=EventSettings(threshold=0.001))) == []


@pytest.mark.parametrize("block_samples", [441, 5_000, 10**9])
def test_the_cutting_into_blocks_changes_nothing(block_samples: int) -> None:
    samples = np.concatenate([siren(3.0), silence(4.0), siren(2.5)])
    sure_of_all = EventSettings(threshold=siren_threshold())
    expected = list(listen(SamplesSource(samples, RATE_HZ), settings=sure_of_all))
    assert expected
    source = SamplesSource(samples, RATE_HZ, block_samples=block_samples)
    assert list(listen(source, settings=sure_of_all)) == expected


def test_only_wanted_labels_are_events() -> None:
    unwanted = EventSettings(labels=(other_label(),), threshold=siren_threshold())
    assert list(listen(SamplesSource(siren(4.0), RATE_HZ), settings=unwanted)) == []


def test_an_endless_sound_is_cut_into_pieces_that_touch() -> None:
    events = list(listen(SamplesSource(siren(5.0), RATE_HZ), settings=settings(max_duration_s=1.0)))
    assert len(events) >= 4
    for before, after in itertools.pairwise(events):
        assert before.end_s == after.start_s
        assert before.duration_s == pytest.approx(1.0)


def test_a_live_source_is_dated() -> None:
    source = SamplesSource(siren(4.0), RATE_HZ, start_time=NOON)
    (event,) = listen(source, settings=settings())
    assert event.live
    assert event.start_s - NOON == pytest.approx(0.0, abs=TOLERANCE_S)
    assert event.end_s - NOON == pytest.approx(4.0, abs=TOLERANCE_S)


def test_no_event_and_no_window_spans_a_gap() -> None:
    run_s, gap_s = 4.0, 1.0
    after_gap = round((run_s + gap_s) * RATE_HZ)
    blocks = blocks_of(siren(run_s)) + blocks_of(siren(run_s), after_gap)
    monitor = CountingMonitor()
    source = SamplesSource(blocks, RATE_HZ, start_time=NOON)
    events = list(listen(source, settings=settings(), monitor=monitor))
    assert len(events) == 2
    assert events[0].end_s - NOON <= run_s + 1e-3
    assert events[1].start_s - NOON >= run_s + gap_s - 1e-3
    assert monitor.windows == 2 * windows_in(run_s)


def test_a_gap_of_one_sample_is_a_gap() -> None:
    blocks = blocks_of(siren(4.0)) + blocks_of(siren(4.0), 4 * RATE_HZ + 1)
    monitor = CountingMonitor()
    source = SamplesSource(blocks, RATE_HZ, start_time=NOON)
    assert len(list(listen(source, settings=settings(), monitor=monitor))) == 2
    assert monitor.windows == 2 * windows_in(4.0)


def test_a_short_recording_is_classified_exactly_once() -> None:
    monitor = CountingMonitor()
    (event,) = listen(
        SamplesSource(siren(1.0), RATE_HZ),
        settings=EventSettings(labels=(siren_label(),), threshold=0.001),
        monitor=monitor,
    )
    assert monitor.windows == monitor.loud_windows == 1
    assert event.start_s == 0.0


def test_live_sound_shorter_than_a_window_is_no_event() -> None:
    monitor = CountingMonitor()
    source = SamplesSource(siren(1.0), RATE_HZ, start_time=NOON)
    anything = EventSettings(threshold=0.001)
    assert list(listen(source, settings=anything, monitor=monitor)) == []
    assert monitor.windows == 0


def test_live_sound_shorter_than_a_window_after_a_gap_is_no_event() -> None:
    blocks = blocks_of(siren(4.0)) + blocks_of(siren(1.0), 6 * RATE_HZ)
    monitor = CountingMonitor()
    source = SamplesSource(blocks, RATE_HZ, start_time=NOON)
    assert len(list(listen(source, settings=settings(), monitor=monitor))) == 1
    assert monitor.windows == windows_in(4.0)


class StagedSource:
    """A live source that plays a part, then gives nothing until it is told to go on."""

    name = "staged"
    live = True
    duration_s = None
    health = SourceHealth()

    def __init__(self, *parts: FloatArray) -> None:
        self.go_on = threading.Event()
        self.closed = False
        self._parts = parts

    def blocks(self) -> Iterator[Block]:
        at = 0
        for number, part in enumerate(self._parts):
            deadline_s = time.monotonic() + PATIENCE_S
            while number and not self.go_on.is_set() and time.monotonic() < deadline_s:
                yield Block(at, np.empty(0, np.float32))
                time.sleep(0.01)
            for block in blocks_of(part, at):
                at = block.end_sample
                yield block

    def unix_time(self, sample: int) -> float:
        return NOON + sample / RATE_HZ

    def close(self) -> None:
        self.closed = True


def test_a_stall_ends_what_was_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # `streamer.listen` is also the name of the function.
    monkeypatch.setattr(importlib.import_module("streamer.listen"), "STALL_S", 0.1)
    source = StagedSource(siren(3.0), siren(3.0))
    monitor = CountingMonitor()
    events = listen(source, settings=settings(), monitor=monitor)
    before = next(events)
    # Without the end at the stall, the first event would come only when the source goes on.
    assert not source.go_on.is_set()
    assert before.end_s - NOON <= 3.0 + 1e-3
    assert monitor.windows == windows_in(3.0)
    source.go_on.set()
    (after,) = events
    assert after.start_s - NOON >= 3.0 - 1e-3
    assert monitor.windows == 2 * windows_in(3.0)
    assert source.closed


def test_a_short_pause_of_the_delivery_is_no_stall() -> None:
    source = StagedSource(siren(3.0), siren(3.0))
    monitor = CountingMonitor()
    threading.Timer(0.1, source.go_on.set).start()
    assert len(list(listen(source, settings=settings(), monitor=monitor))) == 1
    assert monitor.windows == windows_in(6.0)


def test_stop_ends_the_listening_and_what_is_going_on() -> None:
    stop = threading.Event()
    source = StagedSource(siren(30.0))
    events = listen(source, settings=settings(max_duration_s=1.0), stop=stop)
    first = next(events)
    stop.set()
    rest = list(events)
    assert source.closed
    assert 1 <= len(rest) <= 3
    assert rest[0].start_s == first.end_s
    assert rest[-1].end_s - NOON < 10.0


def test_stop_ends_an_idle_source() -> None:
    stop = threading.Event()
    source = StagedSource(siren(3.0), siren(3.0))
    threading.Timer(0.1, stop.set).start()
    (event,) = listen(source, settings=settings(), stop=stop)
    assert event.end_s - NOON == pytest.approx(3.0, abs=TOLERANCE_S)
    assert not source.go_on.is_set()


def test_giving_up_in_the_middle_closes_the_source() -> None:
    source = StagedSource(siren(10.0))
    for _ in listen(source, settings=settings(max_duration_s=1.0)):
        break
    assert source.closed


@pytest.mark.parametrize("duration_s", [0.5, 2.0, 3.3])
def test_duration_limits_what_is_heard(duration_s: float) -> None:
    monitor = CountingMonitor()
    source = SamplesSource(siren(10.0), RATE_HZ)
    list(listen(source, settings=settings(), monitor=monitor, duration_s=duration_s))
    assert monitor.total_heard_s == pytest.approx(duration_s, abs=1 / RATE_HZ)


def test_a_snapshot_shows_what_goes_on() -> None:
    model = shipped_model()
    monitor = CountingMonitor()
    before = monitor.snapshot()
    assert (before.state, before.heard_s, before.events_total) == ("starting", 0.0, 0)
    source = SamplesSource(np.concatenate([siren(6.0), silence(4.0)]), RATE_HZ, "street", start_time=NOON)
    events = listen(source, settings=settings(max_duration_s=2.0), monitor=monitor)
    first = next(events)
    during = monitor.snapshot()
    assert during.state == "listening"
    assert (during.source, during.live, during.model) == ("street", True, model.name)
    assert 2.0 <= during.heard_s <= 10.0
    assert -10.0 < during.level.peak_dbfs <= 0.0
    assert during.level.rms_dbfs <= during.level.peak_dbfs
    assert not during.level.clipped
    assert during.spectrogram.shape[1] == model.manifest.front_end.mel_bands
    assert 0 < len(during.spectrogram) <= during.frames_total
    assert during.frames_total == pytest.approx(during.heard_s * during.frames_per_s, abs=5)
    assert during.spectrogram.min() >= during.floor_db - 1e-3
    assert [item.label for item in during.classes] == list(model.labels)
    (active,) = (item for item in during.classes if item.active)
    assert active.label == siren_label()
    assert active.smoothed >= active.on_threshold == siren_threshold()
    assert all(0.0 <= item.probability <= 1.0 for item in during.classes)
    assert during.events_total == 1
    assert during.events[0].active
    assert not during.events[-1].active
    assert during.events[-1].duration_s == pytest.approx(first.duration_s)
    assert during.health.real_time_factor > 0
    assert 0 < during.health.hop_latency_p50_ms <= during.health.hop_latency_p95_ms
    assert (during.health.gaps, during.health.dropped_rows, during.health.broken_samples) == (0, 0, 0)
    rest = list(events)
    after = monitor.snapshot()
    assert after.state == "finished"
    assert after.events_total == 1 + len(rest)
    assert after.heard_s == pytest.approx(10.0)
    assert not any(item.active for item in after.classes)
    assert not any(event.active for event in after.events)
    assert after.level.peak_dbfs == -np.inf


def test_a_snapshot_of_a_file_knows_its_length(tmp_path: Path) -> None:
    monitor = CountingMonitor()
    list(listen(write_siren(tmp_path / "a.wav", 3.0), settings=settings(), monitor=monitor))
    list(listen(write_siren(tmp_path / "b.wav", 4.0), settings=settings(), monitor=monitor))
    status = monitor.snapshot()
    assert status.total_s == pytest.approx(4.0)
    assert status.heard_s == pytest.approx(4.0)
    assert monitor.total_heard_s == pytest.approx(7.0)


def test_full_scale_is_shown_as_clipping() -> None:
    monitor = CountingMonitor()
    list(listen(SamplesSource(2.0 * siren(1.0), RATE_HZ), monitor=monitor))
    assert monitor.snapshot().level.clipped


def test_broken_samples_are_counted_and_do_no_harm() -> None:
    samples = siren(4.0)
    samples[5_000:5_020] = np.nan
    samples[6_000] = np.inf
    monitor = CountingMonitor()
    (event,) = listen(SamplesSource(samples, RATE_HZ), settings=settings(), monitor=monitor)
    assert np.isfinite([event.start_s, event.end_s, event.confidence, event.mean_confidence]).all()
    assert monitor.snapshot().health.broken_samples == 21


def test_events_can_be_handed_to_sinks() -> None:
    memory = MemorySink()
    sink = QueuedSink(memory, "memory")
    events: list[Event] = []
    for event in listen(SamplesSource(siren(4.0), RATE_HZ), settings=settings(max_duration_s=1.0)):
        events.append(event)
        sink.write(event)
    sink.close()
    assert memory.events == events
    assert len(events) >= 3


def test_a_listener_takes_blocks_one_by_one() -> None:
    listener = Listener(shipped_model(), settings())
    sounds = [sound for block in blocks_of(siren(4.0)) for sound in listener.push(block)]
    assert sounds == []
    assert [sound.label for sound in listener.open_sounds] == [siren_label()]
    (sound,) = listener.finish()
    assert sound.end_sample == pytest.approx(4 * RATE_HZ, abs=RATE_HZ * TOLERANCE_S)
    assert listener.open_sounds == []


def test_a_damaged_file_gives_its_events_before_the_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    quiet_hiss = np.random.default_rng(1).uniform(-1e-3, 1e-3, 8 * RATE_HZ).astype(np.float32)
    soundfile.write(path, np.concatenate([siren(4.0), quiet_hiss[4 * RATE_HZ :]]) + quiet_hiss, RATE_HZ)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    events: list[Event] = []
    with pytest.raises(SourceError, match="damaged or truncated"):
        events.extend(listen(path, settings=settings()))
    assert len(events) == 1


def test_what_makes_no_sense_is_refused_before_anything_is_heard(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 2.0)
    with pytest.raises(SourceError, match="no file"):
        list(listen(tmp_path / "nowhere.wav"))
    with pytest.raises(ModelError, match="no model is called 'nobody'"):
        list(listen(path, "nobody"))
    with pytest.raises(SettingsError, match="does not know 'unicorn'"):
        list(listen(path, settings=EventSettings(labels=("unicorn",))))
    with pytest.raises(SettingsError, match="hop of 100 s"):
        list(listen(path, settings=EventSettings(hop_s=100.0)))
    with pytest.raises(EscListenError, match="threshold"):
        EventSettings(threshold=1.5)


def test_settings_have_usable_defaults() -> None:
    assert Settings().source.input == ("mic",)
    assert Settings().log.csv == "esc-events.csv"


def test_silence_is_dated_from_the_last_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamer.monitor, "SILENT_AFTER_S", 0.05)
    model = shipped_model()
    thresholds = tuple(0.5 for _ in model.labels)
    monitor = Monitor(model, thresholds, thresholds)
    monitor.opened(SamplesSource(np.zeros(10, np.float32), RATE_HZ, start_time=1.0))
    monitor.heard(Block(0, np.ones(10, np.float32)), SourceHealth())
    assert monitor.state == "listening"
    time.sleep(0.2)
    monitor.heard(Block(10, np.zeros(10, np.float32)), SourceHealth())
    status = monitor.snapshot()
    assert status.state == "silent"
    assert status.state_since_s >= 0.2


def test_the_screen_shows_a_faded_sound_as_long_as_it_was_heard() -> None:
    model = shipped_model()
    thresholds = tuple(0.5 for _ in model.labels)
    monitor = Monitor(model, thresholds, thresholds)
    monitor.opened(SamplesSource(np.zeros(10, np.float32), RATE_HZ))
    monitor.heard(Block(0, np.ones(4 * RATE_HZ, np.float32)), SourceHealth())
    nothing = np.zeros(len(model.labels), np.float32)
    sound = OpenSound(model.labels[0], RATE_HZ, 2 * RATE_HZ, confirmed=True, levels=[0.9])
    monitor.scored(nothing, nothing, [sound])
    assert monitor.snapshot().events[0].duration_s == pytest.approx(3.0)
    sound.faded_sample = 2 * RATE_HZ
    monitor.scored(nothing, nothing, [sound])
    assert monitor.snapshot().events[0].duration_s == pytest.approx(1.0)


def test_after_an_interruption_the_screen_shows_nothing_as_going_on() -> None:
    model = shipped_model()
    thresholds = tuple(0.5 for _ in model.labels)
    monitor = Monitor(model, thresholds, thresholds)
    listener = Listener(model, settings(), monitor=monitor)
    listener.push(Block(0, siren(4.0)))
    assert any(event.active for event in monitor.snapshot().events)
    assert listener.interrupt()
    assert not any(event.active for event in monitor.snapshot().events)
    assert not any(item.active for item in monitor.snapshot().classes)
