"""Watches the listening and gives a `Status` at any moment, to any thread."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

import numpy as np

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.errors import SourceError
from streamer.frontend.features import decibels_of
from streamer.frontend.mel import band_centres_hz
from streamer.model import Model
from streamer.printable import printable
from streamer.sinks.row import clock_text
from streamer.sources.source import Source, SourceHealth, has_dates
from streamer.sources.state import CaptureState, State
from streamer.status import ClassStatus, EventStatus, Health, Level, Status
from streamer.tracker import OpenSound
from streamer.types import Block, Event, FloatArray, Frames

SPECTROGRAM_S = 30.0
"""How much of the spectrogram is kept for the screen."""

LEVEL_S = 0.3
CLIP_SHOWN_S = 2.0
SILENT_AFTER_S = 5.0
STALLED_AFTER_S = 2.0
EVENTS_KEPT = 100
LATENCIES_KEPT = 240
CPU_OVER_S = 5.0


class Monitor:
    """Collects what a dashboard shows.

    The listening thread tells it what happens; any thread may ask for a `snapshot`. The lock between
    them is held for microseconds and never by the audio thread.

    Args:
        model: the model that listens.
        on: threshold of each class in force; off likewise.
        log: where events are written, for display.
        dropped_rows: gives the number of events that a log could not take.
        log_trouble: says why rows of the log wait, while they do.
        draws: somebody looks at the spectrogram while it grows.
        clock: where time is read; the same as that of the source.
        announced: tells whether an event that goes on may be shown yet, from its label and begin (as
            in `Event.start_s`).
        zone: of the times of day; None for that of the system.
    """

    def __init__(
        self,
        model: Model,
        on: tuple[float, ...],
        off: tuple[float, ...],
        log: str = "",
        dropped_rows: Callable[[], int] = lambda: 0,
        log_trouble: Callable[[], str] = lambda: "",
        draws: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        announced: Callable[[str, float], bool] = lambda label, start_s: True,
        zone: tzinfo | None = None,
    ) -> None:
        self._zone = zone
        self.draws = draws
        self._announced = announced
        self._clock = clock
        self._model = model
        self._thresholds = tuple(zip(on, off, strict=True))
        self._log = log
        self._dropped_rows = dropped_rows
        self._log_trouble = log_trouble
        self._lock = threading.Lock()
        self._started = self._clock.monotonic_s()
        spec = self._spec = model.manifest.front_end
        self._rate_hz = spec.sample_rate_hz
        self._frames_per_s = spec.sample_rate_hz / spec.hop_samples
        self._mel_bands = spec.mel_bands
        self._log_mel = spec.columns("log_mel") if "log_mel" in spec.features else slice(0, 0)
        self._floor_db = 10.0 * math.log10(spec.floor)
        self._band_hz = tuple(float(hz) for hz in band_centres_hz(spec))
        self._cpu: deque[tuple[float, float]] = deque()
        self._events: deque[EventStatus] = deque(maxlen=EVENTS_KEPT)
        self._events_total = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._source: Source | None = None
        self._heard_before = self._heard_samples = 0
        self._earlier = self._health = SourceHealth()
        self._broken_samples = 0
        self._skipped_before = self._skipped_windows = 0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._frames: deque[FloatArray] = deque()
        self._frames_held = 0
        self._frames_total = 0
        self._levels: deque[tuple[float, float, int]] = deque()
        self._heard_before += self._heard_samples
        self._earlier = self._total_health()
        self._heard_samples = 0
        self._computing_s = 0.0
        self._broken_samples = 0
        self._health = SourceHealth()
        self._clipped_at = -math.inf
        self._every, self._skipped_before = 1, self._skipped_before + self._skipped_windows
        self._skipped_windows = 0
        now = self._clock.monotonic_s()
        # Of a source that does not watch over itself: only told by the blocks that come.
        self._state = CaptureState(now, SILENT_AFTER_S, STALLED_AFTER_S, reopen_after_s=math.inf)
        self._last_block_at = now
        zeros = np.zeros(len(self._model.labels), np.float32)
        self._raw = self._smoothed = zeros
        self._open: tuple[tuple[str, int, int | None, float], ...] = ()
        self._end_sample = 0

    def opened(self, source: Source) -> None:
        """A source begins."""
        with self._lock:
            self._begin_stream()
            self._source = source

    def heard(self, block: Block, health: SourceHealth) -> None:
        """A block came in; an empty one says that nothing did."""
        now = self._clock.monotonic_s()
        samples = block.samples
        with self._lock:
            self._health = health
            if now - self._last_block_at >= STALLED_AFTER_S:
                self._state.beat(now)  # nobody has looked: the process was stopped
            if len(samples):
                finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
                peak = max(float(finite.max()), -float(finite.min()))
                power = float(np.dot(finite, finite))
                self._levels.append((peak, power, len(samples)))
                while sum(n for _, _, n in self._levels) > LEVEL_S * self._rate_hz and len(self._levels) > 1:
                    self._levels.popleft()
                self._heard_samples += len(samples)
                self._end_sample = block.end_sample
                if peak >= 0.999:
                    self._clipped_at = now
                live = self._source is not None and self._source.live
                alive = peak > 0.0 if health.alive is None else health.alive
                self._state.heard(now, sound=alive or not live)
            self._last_block_at = now

    def paced(self, every: int, skipped_windows: int) -> None:
        """Only every n-th window is classified; so many have been left out since the source began."""
        with self._lock:
            self._every, self._skipped_windows = every, skipped_windows

    def framed(self, frames: Frames, broken_samples: int) -> None:
        """Frames were computed."""
        if len(frames.values) == 0:
            return
        with self._lock:
            self._broken_samples = broken_samples
            self._frames.append(decibels_of(frames.values[:, self._log_mel], self._spec))
            self._frames_held += len(frames.values)
            self._frames_total += len(frames.values)
            while self._frames_held - len(self._frames[0]) > SPECTROGRAM_S * self._frames_per_s:
                self._frames_held -= len(self._frames.popleft())

    def scored(self, raw: FloatArray, smoothed: FloatArray, sounds: list[OpenSound]) -> None:
        """A window was scored."""
        going_on = tuple(
            (s.label, s.start_sample, s.faded_sample, max(s.levels, default=0.0)) for s in sounds
        )
        with self._lock:
            self._raw, self._smoothed, self._open = raw, smoothed, going_on

    def interrupted(self) -> None:
        """A gap, a stall or a stop: nothing goes on any more."""
        with self._lock:
            self._raw = self._smoothed = np.zeros(len(self._model.labels), np.float32)
            self._open = ()

    def computed(self, seconds: float, windows: int) -> None:
        """A block took so long to compute and completed so many windows."""
        with self._lock:
            self._computing_s += seconds
            if windows:
                self._latencies_ms.append(1000.0 * seconds / windows)

    def finished(self, event: Event) -> None:
        """An event is over."""
        shown = EventStatus(
            event.label,
            clock_text(event.start_s, event.live, self._zone),
            event.duration_s,
            event.confidence,
            active=False,
        )
        with self._lock:
            self._events.appendleft(shown)
            self._events_total += 1

    def closed(self) -> None:
        """The source has ended."""
        with self._lock:
            self._open = ()
            self._state.finished(self._clock.monotonic_s())

    def _total_health(self) -> SourceHealth:
        """What all sources together have lost so far."""
        earlier, now = self._earlier, self._health
        return SourceHealth(
            earlier.gaps + now.gaps,
            earlier.lost_samples + now.lost_samples,
            earlier.overflows + now.overflows,
            earlier.broken_samples + now.broken_samples + self._broken_samples,
        )

    @property
    def state(self) -> State:
        """What the source is doing."""
        with self._lock:
            return self._state_now(self._clock.monotonic_s())[0]

    @property
    def problem(self) -> str:
        """What keeps capture from working, while something does."""
        return self._health.problem

    @property
    def total_heard_s(self) -> float:
        """Seconds of audio taken in from all sources so far."""
        return (self._heard_before + self._heard_samples) / self._rate_hz

    def snapshot(self) -> Status:
        """The state of things now."""
        now = self._clock.monotonic_s()
        with self._lock:
            state, state_since = self._state_now(now)
            source, frames = self._source, list(self._frames)
            live = source is not None and source.live
            announced = [x for x in self._open if self._announced(x[0], self._start_s(source, x[1]))]
            going_on = tuple(self._going_on(source, *sound) for sound in reversed(announced))
            active = {sound[0] for sound in announced}
            heard_s = self._heard_samples / self._rate_hz
            return Status(
                state=state,
                state_since_s=now - state_since,
                source=self._source_name(source),
                live=live,
                model=self._model.name,
                log=self._log,
                heard_s=heard_s,
                total_s=source.duration_s if source else None,
                level=self._level(now),
                spectrogram=np.concatenate(frames) if frames else np.empty((0, self._mel_bands), np.float32),
                frames_total=self._frames_total,
                floor_db=self._floor_db,
                frames_per_s=self._frames_per_s,
                band_hz=self._band_hz,
                classes=tuple(
                    ClassStatus(label, float(raw), float(smoothed), on, off, label in active)
                    for label, raw, smoothed, (on, off) in zip(
                        self._model.labels, self._raw, self._smoothed, self._thresholds, strict=True
                    )
                ),
                events=going_on + tuple(self._events),
                events_total=self._events_total,
                health=self._own_health(now, heard_s),
                problem=self._health.problem,
                advice=self._health.advice,
                log_trouble=self._log_trouble(),
            )

    @staticmethod
    def _source_name(source: Source | None) -> str:
        """The device, or the file without its folders."""
        if source is None:
            return ""
        return printable(source.name if source.live else Path(source.name).name)

    def _state_now(self, now: float) -> tuple[State, float]:
        """The state and since when, as the source tells it, or as the blocks do."""
        health, own = self._health, self._state
        if health.state and own.state != "finished" and now - self._last_block_at < STALLED_AFTER_S:
            return health.state, health.state_since_s
        if self._source is not None and self._source.live:
            own.waited(now)
            if own.state == "starting" and now - own.since_s >= STALLED_AFTER_S:
                return "stalled", own.since_s
        return own.state, own.since_s

    def _level(self, now: float) -> Level:
        def dbfs(amplitude: float) -> float:
            return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf

        samples = sum(n for _, _, n in self._levels)
        peak = max((peak for peak, _, _ in self._levels), default=0.0)
        power = sum(power for _, power, _ in self._levels) / max(1, samples)
        return Level(dbfs(peak), dbfs(math.sqrt(power)), now - self._clipped_at < CLIP_SHOWN_S)

    def _start_s(self, source: Source | None, start_sample: int) -> float:
        """The date of a sample of a live source, or its position in a file."""
        if source is not None and has_dates(source):
            with contextlib.suppress(SourceError):  # just this moment it has turned out to be a recording
                return source.unix_time(start_sample)
        return start_sample / self._rate_hz

    def _going_on(
        self, source: Source | None, label: str, start: int, faded: int | None, confidence: float
    ) -> EventStatus:
        dated = source is not None and has_dates(source)
        at_s = self._start_s(source, start)
        lasted_s = ((self._end_sample if faded is None else faded) - start) / self._rate_hz
        return EventStatus(label, clock_text(at_s, dated, self._zone), max(0.0, lasted_s), confidence, True)

    def _own_health(self, now: float, heard_s: float) -> Health:
        latencies = sorted(self._latencies_ms) or [0.0]
        total = self._total_health()
        self._cpu.append((now, time.process_time()))
        while len(self._cpu) > 2 and now - self._cpu[0][0] > CPU_OVER_S:
            self._cpu.popleft()
        (then, used_then), (_, used) = self._cpu[0], self._cpu[-1]
        return Health(
            real_time_factor=self._computing_s / heard_s if heard_s else 0.0,
            hop_latency_p50_ms=latencies[len(latencies) // 2],
            hop_latency_p95_ms=latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
            gaps=total.gaps,
            lost_s=total.lost_samples / self._rate_hz,
            overflows=total.overflows,
            broken_samples=total.broken_samples,
            dropped_rows=self._dropped_rows(),
            cpu_percent=100.0 * (used - used_then) / (now - then) if now > then else 0.0,
            memory_mb=resident_mb(),
            uptime_s=now - self._started,
            every=self._every,
            skipped_windows=self._skipped_before + self._skipped_windows,
            backlog_s=self._health.backlog_s,
            ledger=self._health.ledger,
        )


def resident_mb() -> float:
    """Memory of this process and of those it started, in 10^6 bytes; 0 where the system does not tell."""
    pages = 0
    for process in ("self", *_children()):
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0


def _children() -> list[str]:
    found: list[str] = []
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            found += path.read_text().split()
        except OSError:  # the thread has ended
            continue
    return found
