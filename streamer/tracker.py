"""Smoothed probabilities to sounds with an onset and an offset.

Each class is tracked by itself, so several can go on at once:

- A sound begins when its smoothed probability reaches ``on`` and ends when it has stayed under ``off``
  for the hang-over (hysteresis).
- When it began is told from the first window in which the raw probability was at least `visible`: by
  the sharpest rise of the level there, or, where there is none, by how much of a sound a window must
  hold before the network tells it (`visible_onset_s`, half a hop more or less). Its end likewise.
- A sound that does not stop is cut into pieces of `longest_s`, so that the log is never far behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamer.edges import EdgeFinder
from streamer.manifest import ClassRule
from streamer.types import FloatArray, Sound, Window

SHORTEST_S = 0.1
"""No sound is logged as shorter than this."""


@dataclass(frozen=True)
class TrackerTimes:
    """Durations on the sample clock."""

    rate_hz: int
    hop_s: float
    visible: float
    visible_onset_s: float
    visible_offset_s: float
    longest_s: float

    def samples(self, seconds: float) -> int:
        """Seconds as a number of samples."""
        return round(seconds * self.rate_hz)


@dataclass
class OpenSound:
    """A sound that is going on."""

    label: str
    start_sample: int
    noticed_sample: int
    """End of the window in which it was noticed."""

    confirmed: bool = False
    """True once it has lasted for its minimum duration."""

    faded_sample: int | None = None
    """Best estimate of its end, while the network does not hear it."""

    below_since: int | None = None
    """End of the first window in which it was under ``off``, while it is."""

    cut: bool = False
    """True when earlier pieces of it have been logged."""

    levels: list[float] = field(default_factory=list)
    """Smoothed probabilities so far."""

    def finished(self, end_sample: int) -> Sound:
        """The sound as it is logged."""
        return Sound(
            self.label,
            self.start_sample,
            end_sample,
            confidence=max(self.levels),
            mean_confidence=sum(self.levels) / len(self.levels),
        )


class Tracker:
    """Follows every class of a model."""

    def __init__(
        self, rules: tuple[ClassRule, ...], times: TrackerTimes, edges: EdgeFinder | None = None
    ) -> None:
        self._rules = rules
        self._times = times
        self._edges = edges
        self._on = np.array([rule.on for rule in rules], np.float32)
        self._least_visible = np.array([min(times.visible, rule.off) for rule in rules], np.float32)
        self._shortest = times.samples(SHORTEST_S)
        self._open: dict[int, OpenSound] = {}
        self._logged_until: dict[int, int] = {}
        self._start_run()

    def _start_run(self) -> None:
        self._visible = np.zeros(len(self._rules), np.bool_)
        self._onset = np.zeros(len(self._rules), np.int64)
        self._previous: Window | None = None

    @property
    def open_sounds(self) -> list[OpenSound]:
        """Confirmed sounds that are going on, oldest first."""
        confirmed = [sound for sound in self._open.values() if sound.confirmed]
        return sorted(confirmed, key=lambda sound: sound.start_sample)

    def push(self, window: Window, raw: FloatArray, smoothed: FloatArray) -> list[Sound]:
        """Take what was heard in the next window; give the sounds that are over.

        Args:
            raw, smoothed: probabilities of shape (labels,).
        """
        visible = raw >= self._least_visible
        begins = visible & ~self._visible
        if begins.any():
            self._onset[begins] = self._estimated_onset(window)
        self._visible = visible
        done: list[Sound] = []
        for at in np.flatnonzero(smoothed >= self._on).tolist():
            if at not in self._open:
                onset = max(int(self._onset[at]), self._logged_until.get(at, 0))
                self._open[at] = OpenSound(self._rules[at].label, onset, window.end_sample)
        for at in list(self._open):
            done.extend(self._follow(at, window, bool(visible[at]), float(smoothed[at])))
        self._previous = window
        return done

    def finish(self) -> list[Sound]:
        """End every open sound: the samples stop here (end of the file, a gap, a stop)."""
        last = self._previous
        done: list[Sound] = []
        if last is not None:
            for at, sound in self._open.items():
                faded = sound.faded_sample
                done.extend(self._ended(at, sound, last.audible_end if faded is None else faded, last))
        self._open.clear()
        self._start_run()
        return done

    def _estimated_onset(self, window: Window) -> int:
        """When a sound that the network hears for the first time in `window` began."""
        edge = self._edges.onset(window) if self._edges else None
        if edge is not None:
            return max(edge, window.audible_start)
        if self._previous is None:
            # It may have been there before listening began; what was not heard is not claimed.
            return window.audible_start
        back_s = self._times.visible_onset_s + self._times.hop_s / 2
        return max(window.audible_start, window.end_sample - self._times.samples(back_s))

    def _estimated_offset(self, window: Window, sound: OpenSound) -> int:
        """When a sound that the network no longer hears in `window` ended."""
        before = self._previous
        edge = self._edges.offset(before) if self._edges and before else None
        if edge is None or edge <= sound.start_sample:
            ahead_s = self._times.visible_offset_s - self._times.hop_s / 2
            edge = window.start_sample + self._times.samples(ahead_s)
        heard = before if window.silent else window
        if heard is not None:
            edge = min(edge, heard.audible_end)
        return edge

    def _follow(self, at: int, window: Window, visible: bool, smoothed: float) -> list[Sound]:
        rule, sound = self._rules[at], self._open[at]
        if visible:
            sound.faded_sample = None
        elif sound.faded_sample is None:
            sound.faded_sample = self._estimated_offset(window, sound)
        if smoothed >= rule.off:
            sound.below_since = None
            sound.levels.append(smoothed)
        elif sound.below_since is None:
            sound.below_since = window.end_sample
        lasted = window.end_sample - sound.noticed_sample
        if sound.below_since is None and lasted >= self._times.samples(rule.min_duration_s):
            sound.confirmed = True
        if sound.below_since is not None:
            quiet = window.end_sample - sound.below_since
            if quiet >= self._times.samples(rule.hangover_s):
                return self._close(at, window)
            return []
        return self._cut(at, sound, window)

    def _close(self, at: int, window: Window) -> list[Sound]:
        sound = self._open.pop(at)
        end = sound.faded_sample
        return self._ended(at, sound, self._estimated_offset(window, sound) if end is None else end, window)

    def _ended(self, at: int, sound: OpenSound, end_sample: int, last: Window) -> list[Sound]:
        """The sound, or its last piece, if there is one to be logged."""
        if not sound.cut:
            end_sample = min(max(end_sample, sound.start_sample + self._shortest), last.end_sample)
            earliest = self._logged_until.get(at, last.start_sample)
            sound.start_sample = min(sound.start_sample, max(end_sample - self._shortest, earliest))
        if not sound.confirmed or end_sample <= sound.start_sample:
            return []
        self._logged_until[at] = end_sample
        return [sound.finished(end_sample)]

    def _cut(self, at: int, sound: OpenSound, window: Window) -> list[Sound]:
        """Log what has been heard of an endless sound and go on with the rest."""
        longest = self._times.samples(self._times.longest_s)
        heard = window.audible_end if sound.faded_sample is None else sound.faded_sample
        pieces: list[Sound] = []
        while sound.confirmed and heard - sound.start_sample >= longest:
            pieces.append(sound.finished(sound.start_sample + longest))
            sound.start_sample += longest
            self._logged_until[at] = sound.start_sample
            sound.levels = sound.levels[-1:]
            sound.cut = True
        return pieces
