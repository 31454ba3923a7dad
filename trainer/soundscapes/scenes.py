"""Long streams over real background in which every event's onset and offset are known.

Made in the manner of Scaper (Salamon et al., 2017, doi:10.1109/WASPAA.2017.8170052): clips are put at
random places over real background, each at a random signal-to-noise ratio. Here is how a scene is put
together; `trainer.soundscapes.scene_folder` writes and reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.errors import SourceError
from streamer.types import FloatArray
from trainer.datasets import Background, Clip, DatasetError
from trainer.examples.waveforms import active_level, audible_frames, frame_samples

PAUSE_S = 1.5
"""A shorter pause belongs to the event: a ticking clock is one event, two barks far apart are two."""

EDGE_S = 2.0
"""Background alone at either end of a scene."""

APART_S = 3.0
"""Between two events of one class in a scene, so that it is clear which of them was heard."""

FADE_S = 0.01
"""An event that was cut out of a clip fades in and out over this."""

SEAM_S = 0.25
"""A background that is too short is continued with its beginning; the two overlap by this."""

QUIETEST_DBFS = -60.0
"""Background counts as at least this loud, so that an event over digital silence is heard."""

TRIES = 200
"""Places that are tried for an event before the scene counts as full."""


@dataclass(frozen=True)
class SceneSettings:
    """What scenes are like."""

    count: int = 20
    length_s: float = 60.0
    snr_db: tuple[float, float] = (0.0, 20.0)
    """Level of an event where it is active above the level of the background under it, evenly drawn."""

    events_per_minute: float = 6.0
    overlap: int = 2
    """So many events at the most sound at once."""

    rate_hz: int = 22_050
    seed: int = 1

    def __post_init__(self) -> None:
        for right, problem in (
            (self.count >= 1, f"count: {self.count} scenes are none; ask for at least 1"),
            (self.length_s > 2 * EDGE_S, f"length: {self.length_s:g} s is too short; more than 4 are needed"),
            (self.snr_db[0] <= self.snr_db[1], "snr: write the lower value first, as in 0,20"),
            (self.snr_db[0] >= -60 and self.snr_db[1] <= 60, "snr: must lie between -60 and 60 dB"),
            (self.events_per_minute >= 0, "density: must not be negative"),
            (self.overlap >= 1, f"overlap: {self.overlap} sounds at once are none; allow at least 1"),
            (self.rate_hz >= 8_000, f"rate: {self.rate_hz} Hz is too low; at least 8000 are needed"),
            (self.seed >= 0, "seed: must not be negative"),
        ):
            if not right:
                raise DatasetError(problem)

    @property
    def events(self) -> int:
        """Events that are wanted in each scene."""
        return round(self.events_per_minute * self.length_s / 60.0)


@dataclass(frozen=True)
class KnownEvent:
    """One event of a scene."""

    label: str
    onset_s: float
    offset_s: float
    snr_db: float
    source: str
    """Name of the clip's file."""


@dataclass(frozen=True)
class SceneNotes:
    """What is under the events of one scene."""

    file: str
    seconds: float
    events: int
    background: str
    """Name of the recording's file."""

    background_start_s: float
    may_contain: tuple[str, ...]
    """Labels that may occur in the background. No event has one of them, and reports count for nothing."""


@dataclass(frozen=True)
class Scene:
    """One stream and the truth about it."""

    samples: FloatArray
    events: tuple[KnownEvent, ...]
    notes: SceneNotes
    no_place: int


def longest_activity(samples: FloatArray, rate_hz: int, longest: int) -> FloatArray:
    """The longest stretch of a clip without a pause of `PAUSE_S`, cut where it begins and ends to sound.

    A frame of 20 ms sounds when it lies within 30 dB of the loudest one.

    Args:
        samples: shape (n,).
        longest: cut to at most so many samples.

    Returns:
        Shape (m,), faded in and out; empty when the clip is silent.
    """
    frame = frame_samples(rate_hz)
    audible = np.flatnonzero(audible_frames(samples, rate_hz))
    if not len(audible):
        return samples[:0]
    breaks = np.flatnonzero((np.diff(audible) - 1) * frame >= PAUSE_S * rate_hz) + 1
    stretch = max(np.split(audible, breaks), key=lambda part: part[-1] - part[0])
    cut = samples[stretch[0] * frame : (stretch[-1] + 1) * frame][:longest].copy()
    fade = min(round(FADE_S * rate_hz), len(cut) // 2)
    ramp = (np.arange(fade) + 0.5) / max(1, fade)
    cut[:fade] *= ramp
    cut[len(cut) - fade :] *= ramp[::-1]
    return cut


def continued(samples: FloatArray, start: int, length: int, rate_hz: int) -> FloatArray:
    """So many samples of a recording from `start` on, which begins anew without a seam when it ends."""
    if start + length <= len(samples):
        return samples[start : start + length].copy()
    seam = min(round(SEAM_S * rate_hz), len(samples) // 2)
    quarter = (np.arange(seam) + 0.5) / max(1, seam) * (np.pi / 2)
    loop = samples[: len(samples) - seam].copy()
    # Equal power: the two are not alike, so their powers add up.
    loop[:seam] = loop[:seam] * np.sin(quarter) + samples[len(samples) - seam :] * np.cos(quarter)
    return np.resize(np.roll(loop, -start), length)


class Deck:
    """Clips drawn like cards: every class equally often, and every clip of a class, give or take one.

    A class that is forbidden when its turn comes waits; what it then missed is not made up for.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        cut: Callable[[Clip], FloatArray],
        random: np.random.Generator,
    ) -> None:
        self.left_out: list[str] = []
        self._cut = cut
        self._random = random
        self._clips: dict[str, list[Clip]] = {}
        for clip in clips:
            self._clips.setdefault(clip.label, []).append(clip)
        self._cards: dict[str, list[Clip]] = {label: [] for label in self._clips}
        self._labels: list[str] = []

    def draw(self, forbidden: Collection[str], unwanted: Collection[str]) -> tuple[Clip, FloatArray] | None:
        """The next clip that sounds, and what is active of it; None when every class is forbidden.

        Unwanted classes are drawn only when no others are waiting.
        """
        while label := self._next_label(forbidden, unwanted):
            while self._clips[label]:
                if not self._cards[label]:
                    order = self._random.permutation(len(self._clips[label]))
                    self._cards[label] = [self._clips[label][at] for at in order]
                clip = self._cards[label].pop()
                try:
                    sound = self._cut(clip)
                except SourceError:
                    sound = np.empty(0, np.float32)
                if len(sound):
                    return clip, sound
                self.left_out.append(clip.path.name)
                self._clips[label].remove(clip)
            del self._clips[label]
        return None

    def _next_label(self, forbidden: Collection[str], unwanted: Collection[str]) -> str | None:
        for _ in range(2):
            allowed = [label for label in self._labels if label in self._clips and label not in forbidden]
            if allowed:
                label = next((label for label in allowed if label not in unwanted), allowed[0])
                self._labels.remove(label)
                return label
            left = sorted(self._clips.keys() - set(self._labels))
            self._labels += [left[at] for at in self._random.permutation(len(left))]
        return None


def make_scene(
    number: int,
    deck: Deck,
    backgrounds: Sequence[tuple[Background, FloatArray]],
    settings: SceneSettings,
) -> Scene:
    """The scene of a number, from 1 on.

    Args:
        backgrounds: recordings and their samples at the rate of the scenes; each moment of them is
            equally likely to be the beginning of a scene.
    """
    random = np.random.default_rng((settings.seed, number))
    rate_hz, length = settings.rate_hz, round(settings.length_s * settings.rate_hz)
    ends = np.cumsum([len(samples) for _, samples in backgrounds])
    moment = int(random.integers(ends[-1]))
    which = int(np.searchsorted(ends, moment, side="right"))
    background, recorded = backgrounds[which]
    start = moment - int(ends[which]) + len(recorded)
    under = continued(recorded, start, length, rate_hz)
    stream = under.copy()
    placed: list[tuple[int, int, KnownEvent]] = []
    no_place = 0
    for _ in range(settings.events):
        drawn = deck.draw(background.may_contain, {event.label for _, _, event in placed})
        if drawn is None:
            break
        clip, sound = drawn
        snr_db = float(random.uniform(*settings.snr_db))
        taken = [(first, last, event.label == clip.label) for first, last, event in placed]
        at = free_place(len(sound), length, taken, settings, random)
        if at is None:
            no_place += 1
            continue
        end = at + len(sound)
        local = max(10 ** (QUIETEST_DBFS / 20), float(np.sqrt(np.mean(np.square(under[at:end])))))
        gain = local * 10 ** (snr_db / 20) / active_level(sound, rate_hz)
        stream[at:end] += sound * np.float32(gain)
        event = KnownEvent(clip.label, at / rate_hz, end / rate_hz, snr_db, clip.path.name)
        placed.append((at, end, event))
    loudest = float(np.abs(stream).max())
    if loudest > 1.0:
        stream /= np.float32(loudest)
    events = tuple(event for _, _, event in sorted(placed, key=lambda item: item[0]))
    notes = SceneNotes(
        f"scene-{number:03}.flac",
        length / rate_hz,
        len(events),
        background.path.name,
        round(start / rate_hz, 4),
        tuple(sorted(background.may_contain)),
    )
    return Scene(stream, events, notes, no_place)


def free_place(
    length: int,
    stream: int,
    taken: Sequence[tuple[int, int, bool]],
    settings: SceneSettings,
    random: np.random.Generator,
) -> int | None:
    """A random first sample for a sound, or None where the scene is full.

    Args:
        length, stream: samples of the sound and of the scene.
        taken: first sample, sample after the last, and whether it has the same label, of each event.
    """
    edge, apart = round(EDGE_S * settings.rate_hz), round(APART_S * settings.rate_hz)
    room = stream - 2 * edge - length
    for _ in range(TRIES if room >= 0 else 0):
        at = edge + int(random.integers(room + 1))
        end = at + length
        under = [(first, last) for first, last, _ in taken if first < end and at < last]
        # Most sound at once where one of them, or the new one, begins.
        begins = [max(at, first) for first, _ in under]
        crowd = max((sum(a <= begin < b for a, b in under) for begin in begins), default=0)
        near = any(same and first - apart < end and at < last + apart for first, last, same in taken)
        if not near and crowd < settings.overlap:
            return at
    return None
