"""The one loop: source -> front end -> network -> smoothing -> tracker -> events."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from streamer.classifier import Classifier
from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.edges import EdgeFinder
from streamer.errors import SettingsError, SourceError
from streamer.labels import advice, find_label
from streamer.manifest import ClassRule
from streamer.model import DEFAULT_MODEL, Model, load_model
from streamer.monitor import Monitor
from streamer.pacing import Pacer
from streamer.scorer import Scorer
from streamer.settings import EventSettings, SourceSettings
from streamer.smoothing import Smoother
from streamer.sources import Report, Source, SourceHealth, has_dates, no_report, open_source
from streamer.tracker import SHORTEST_S, OpenSound, Tracker, TrackerTimes
from streamer.types import Block, Event, FloatArray, Scores, Sound

STALL_S = 2.0
"""A live source that gives nothing for so long has stalled: what was going on is over. The time in which
nobody looks, because the process is stopped, does not count."""


class Listener:
    """Blocks in, sounds out: the whole pipeline behind a source."""

    def __init__(
        self,
        model: Model,
        settings: EventSettings | None = None,
        threads: int = 1,
        monitor: Monitor | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        settings = settings or EventSettings()
        manifest = model.manifest
        smoothing_s = manifest.smoothing_s if settings.smoothing_s is None else settings.smoothing_s
        self._rate_hz = manifest.front_end.sample_rate_hz
        classifier = classifier or Classifier(model, threads)
        if settings.threshold is not None and settings.threshold >= classifier.highest_probability:
            raise SettingsError(
                f"no sound can reach the threshold {settings.threshold:g}: the probabilities of "
                f"{model.name} end at {classifier.highest_probability:.3f}"
            )
        eager = monitor is not None and monitor.draws
        self._scorer = Scorer(classifier, settings.hop_s, eager)
        self._smoother = Smoother(smoothing_s)
        self._tracker = Tracker(
            rules_in_force(model, settings),
            TrackerTimes(
                self._rate_hz,
                self._scorer.hop_s,
                manifest.visible,
                manifest.visible_onset_s,
                manifest.visible_offset_s,
                settings.max_duration_s,
            ),
            EdgeFinder(manifest.front_end),
        )
        wanted = wanted_labels(model, settings)
        self._reported = np.array([label in wanted for label in model.labels])
        self._hides = not self._reported.all()
        self._nothing = np.zeros(len(model.labels), np.float32)
        self._pacer = Pacer()
        self._monitor = monitor
        self._next_sample: int | None = None
        self._heard_until = 0

    @property
    def open_sounds(self) -> list[OpenSound]:
        """Sounds that are going on."""
        return self._tracker.open_sounds

    @property
    def going_on(self) -> list[Sound]:
        """Sounds that are going on, each as it would be if no more were heard."""
        shortest = round(SHORTEST_S * self._rate_hz)
        sounds = []
        for sound in self._tracker.open_sounds:
            end = self._heard_until if sound.faded_sample is None else sound.faded_sample
            now = sound.finished(end)
            if not sound.cut:
                now = dataclasses.replace(now, start_sample=min(sound.start_sample, max(0, end - shortest)))
            if now.start_sample < end:
                sounds.append(now)
        return sounds

    def keep_pace(self, backlog_s: float) -> int:
        """Leave windows out, or stop doing so, according to how much live sound waits (see `Pacer`).

        Returns:
            Every how many-th window is classified from now on if that has changed, else 0.
        """
        changed = self._pacer.update((self._next_sample or 0) / self._rate_hz, backlog_s)
        self._scorer.every = self._pacer.every
        if self._monitor:
            self._monitor.paced(self._pacer.every, self._scorer.skipped_windows)
        return self._pacer.every if changed else 0

    def push(self, block: Block) -> list[Sound]:
        """Take the next block; give the sounds that are over."""
        began = time.perf_counter()
        done: list[Sound] = []
        if self._next_sample is not None and block.start_sample != self._next_sample:
            done.extend(self.interrupt())
        self._next_sample = block.end_sample
        frames, scores = self._scorer.push(block)
        if self._monitor:
            self._monitor.framed(frames, self._scorer.broken_samples)
        done.extend(self._track(scores))
        if self._monitor:
            self._monitor.computed(time.perf_counter() - began, len(scores))
        return done

    def interrupt(self) -> list[Sound]:
        """End every sound at a gap: nothing is claimed about what was not heard."""
        self._scorer.reset()
        self._smoother.reset()
        if self._monitor:
            self._monitor.interrupted()
        return self._tracker.finish()

    def finish(self) -> list[Sound]:
        """End every sound at the end of a recording; a very short one is scored once."""
        end = self._next_sample or 0
        _, scores = self._scorer.finish()
        sounds = self._track(scores) + self._tracker.finish()
        # The last frame may reach into the padding, but no sound does.
        return [
            dataclasses.replace(sound, end_sample=min(sound.end_sample, end))
            for sound in sounds
            if sound.start_sample < end
        ]

    def _track(self, scores: list[Scores]) -> list[Sound]:
        done: list[Sound] = []
        for item in scores:
            if not item.window.silent:
                self._heard_until = item.window.audible_end
            raw = self._nothing if item.probabilities is None else item.probabilities
            smoothed = self._smoother.push(raw, item.window.end_sample / self._rate_hz)
            done.extend(self._tracker.push(item.window, self._shown(raw), self._shown(smoothed)))
            if self._monitor:
                self._monitor.scored(raw, smoothed, self._tracker.open_sounds)
        return done

    def _shown(self, probabilities: FloatArray) -> FloatArray:
        """The probabilities, 0 for labels that shall not be reported."""
        return np.where(self._reported, probabilities, 0.0) if self._hides else probabilities


def wanted_labels(model: Model, settings: EventSettings) -> frozenset[str]:
    """The labels of the model that shall be reported: those that the settings name, or all.

    The name of a group means all of its labels; if it is a label as well, that one, too.

    Raises:
        SettingsError: the settings name a label that the model does not know.
    """
    if not settings.labels:
        return frozenset(model.labels)
    groups = model.manifest.groups
    found: set[str] = set()
    for text in settings.labels:
        label, group = find_label(text, model.labels), find_label(text, groups)
        if label is None and group is None:
            known = advice(text, [*model.labels, *groups])
            raise SettingsError(f"the model {model.name} does not know {text!r}; {known}")
        found |= ({label} if label else set()) | set(groups[group] if group else ())
    return frozenset(found)


def rules_in_force(model: Model, settings: EventSettings) -> tuple[ClassRule, ...]:
    """The rules of the manifest with what the settings change.

    Raises:
        SettingsError: the settings name a label that the model does not know.
    """
    wanted_labels(model, settings)
    rules = []
    for rule in model.manifest.classes:
        if settings.threshold is not None:
            rule = dataclasses.replace(
                rule, on=settings.threshold, off=settings.threshold * rule.off / rule.on
            )
        if settings.min_duration_s is not None:
            rule = dataclasses.replace(rule, min_duration_s=settings.min_duration_s)
        if settings.hangover_s is not None:
            rule = dataclasses.replace(rule, hangover_s=settings.hangover_s)
        rules.append(rule)
    return tuple(rules)


def listen(
    source: Source | str | Path = "mic",
    model: Model | str | Path = DEFAULT_MODEL,
    settings: EventSettings | None = None,
    *,
    threads: int = 1,
    monitor: Monitor | None = None,
    stop: threading.Event | None = None,
    duration_s: float = 0.0,
    classifier: Classifier | None = None,
    clock: Clock = SYSTEM_CLOCK,
    report: Report = no_report,
    going_on: Callable[[list[Event]], None] | None = None,
) -> Iterator[Event]:
    """Listen to a source until it ends and yield each event when it is over.

    Args:
        source: ``"mic"``, ``"-"``, a sound file, or any `Source` opened at the model's rate.
        model: a shipped model's name, the path of a ``.tflite`` file, or a loaded model.
        settings: how probabilities become events; by default as the model's manifest says.
        threads: processor threads for the network.
        monitor: is told everything that happens, for a dashboard.
        stop: setting it ends the listening; events that are going on are yielded first.
        duration_s: stop after so many seconds of audio; 0 means at the end of the source.
        classifier: the model's network, to open it only once for many sources.
        clock: where time is read.
        report: takes note of windows that are left out (``pace``: ``every``, ``backlog_s``), and of what
            a source reports that is opened here.
        going_on: is given the events that go on, after every block, each as if it ended now. Whoever
            takes them keeps events, and tells the monitor itself which are over when they are safe.

    Raises:
        SourceError, ModelError, SettingsError: with one line that says what is wrong.
    """
    if not isinstance(model, Model):
        model = load_model(model)
    rate_hz = model.manifest.front_end.sample_rate_hz
    listener = Listener(model, settings, threads, monitor, classifier)
    if isinstance(source, (str, Path)):
        source = open_source(str(source), SourceSettings(), rate_hz, report)
    elif not callable(getattr(source, "blocks", None)):
        raise SettingsError(
            f"cannot listen to a {type(source).__name__}: give 'mic', '-', the path of a sound file, or a "
            f"Source; samples in memory become one with SamplesSource(samples, {rate_hz}), which "
            "streamer.sources has"
        )

    def as_event(sound: Sound) -> Event:
        dated = has_dates(source)

        def when(sample: int) -> float:
            return source.unix_time(sample) if dated else sample / rate_hz

        return Event(
            sound.label,
            when(sound.start_sample),
            when(sound.end_sample),
            sound.confidence,
            sound.mean_confidence,
            source.name,
            model.name,
            dated,
        )

    def event(sound: Sound) -> Event:
        done = as_event(sound)
        if monitor and going_on is None:
            monitor.finished(done)
        return done

    waiting: list[Sound] = []

    def told(sounds: list[Sound], health: SourceHealth) -> Iterator[Event]:
        """What is over; while nobody knows what its times mean, it waits."""
        waiting.extend(sounds)
        if not health.undecided:
            yield from map(event, waiting)
            waiting.clear()

    if monitor:
        monitor.opened(source)
    failure: SourceError | None = None
    ended = False
    try:
        try:
            idle_since_s: float | None = None
            for block in _limited(source.blocks(), round(duration_s * rate_hz)):
                if stop is not None and stop.is_set():
                    break
                health = source.health
                if monitor:
                    monitor.heard(block, health)
                if len(block.samples):
                    idle_since_s = None
                    if every := listener.keep_pace(health.backlog_s):
                        report("pace", every=every, backlog_s=round(health.backlog_s, 3))
                    yield from told(listener.push(block), health)
                    if going_on is not None and not health.undecided:
                        going_on([as_event(sound) for sound in listener.going_on])
                    continue
                if idle_since_s is None:
                    idle_since_s = clock.monotonic_s()
                stalled = source.live and clock.monotonic_s() - idle_since_s > STALL_S
                yield from told(listener.interrupt() if stalled and not health.undecided else [], health)
            else:
                ended = True
        except SourceError as error:
            failure = error
        if source.health.undecided:
            source.close()  # then it decides
        # Only a recording that was heard to its end is padded when it is short.
        whole = ended and not source.live and not duration_s
        yield from told(listener.finish() if whole else listener.interrupt(), source.health)
        if going_on is not None:
            going_on([])
    finally:
        source.close()
        if monitor:
            monitor.closed()
    if failure:
        raise failure


def _limited(blocks: Iterator[Block], samples: int) -> Iterator[Block]:
    """The first so many samples of the blocks; all of them for 0."""
    heard = 0
    for block in blocks:
        if samples and heard + len(block.samples) >= samples:
            yield Block(block.start_sample, block.samples[: samples - heard])
            return
        heard += len(block.samples)
        yield block
