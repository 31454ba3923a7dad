"""Sounds heard at once, with what is really heard of each and when.

Pure functions of samples: which clips to mix, how loud, and the truth about the result. Samples are
float32 mono of shape (n,); files are somebody else's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from streamer.types import BoolArray, FloatArray
from trainer.examples.waveforms import audible_frames, frame_samples

Style = Literal["50-50", "90-10"]
"""``50-50``: both sounds equally loud; ``90-10``: the second one 20 to 30 dB below the first."""

QUIETER_DB = (20.0, 30.0)
"""How far the second sound of a ``90-10`` mixture lies below the first, as published, evenly distributed."""

ACTIVE_S = 0.25
"""A sound is in a window when it is active for so long in it."""

PAUSE_S = 0.5
"""A shorter pause belongs to the sound: footsteps are one sound, two barks far apart are two."""


@dataclass(frozen=True)
class Placed:
    """A sound, where it is put and how loud."""

    samples: FloatArray
    """Shape (n,): the whole of it."""

    at_sample: int = 0
    """Where its first sample comes to lie. What lies before the mixture or after its end is cut off."""

    level_db: float = 0.0
    """Level relative to the first sound of the mixture, in dB; means nothing for the first itself."""


@dataclass(frozen=True)
class Part:
    """What became of one source in a mixture."""

    spans: tuple[tuple[int, int], ...]
    """First sample and sample after the last of each stretch in which it is active, in order."""

    level_db: float
    """Level where it is active, in dB relative to full scale; -inf when it is silent throughout."""

    @property
    def begin_sample(self) -> int:
        """First sample at which it is active; 0 when it never is."""
        return self.spans[0][0] if self.spans else 0

    @property
    def end_sample(self) -> int:
        """Sample after the last at which it is active; 0 when it never is."""
        return self.spans[-1][1] if self.spans else 0

    def active_samples(self, begin: int, end: int) -> int:
        """How many of the samples from `begin` up to `end` it is active in."""
        return sum(max(0, min(end, last) - max(begin, first)) for first, last in self.spans)


@dataclass(frozen=True)
class Mixture:
    """Sounds added up."""

    samples: FloatArray
    """Shape (n,), within -1 and 1."""

    parts: tuple[Part, ...]
    """Each of the sounds, in their order: in the samples and at the level of the mixture."""


def second_level_db(
    style: Style, random: np.random.Generator, quieter_db: tuple[float, float] = QUIETER_DB
) -> float:
    """Level of the second sound relative to the first, in dB, as `mix_pair` wants it.

    Args:
        quieter_db: how far the second sound of a ``90-10`` mixture lies below the first: from, to.
    """
    return -float(random.uniform(*quieter_db)) if style == "90-10" else 0.0


def mix_pair(
    first: FloatArray,
    second: FloatArray,
    level_db: float = 0.0,
    length: Literal["longest", "first"] = "longest",
    rate_hz: int = 22_050,
) -> Mixture:
    """Add two sounds that begin together, the second at a level relative to the first; see `mix_sounds`.

    Args:
        first, second: samples of shape (n,) and (m,).
        level_db: 0 for equally loud, -20 for a second sound that is 20 dB softer.
        length: of the mixture: that of the longer sound, or that of the first, to which the second is
            then cut. The shorter one is continued with silence.
        rate_hz: of both.
    """
    wanted = len(first) if length == "first" else max(len(first), len(second))
    return mix_sounds([Placed(first), Placed(second, level_db=level_db)], wanted, rate_hz)


def mix_sounds(sounds: Sequence[Placed], length: int, rate_hz: int = 22_050) -> Mixture:
    """Add sounds, each at its place and at its level relative to the first one.

    Where a sound is active is decided on the whole of it, so that room noise before a bark is no bark
    even when the bark itself is cut off. Levels are those of the active parts inside the mixture: a bark
    in silence counts as loud as the bark. What is not active in the mixture keeps its own level, and so
    do all when the first is not. Where the sum would pass full scale, all are turned down alike.

    Args:
        sounds: at least one.
        length: samples of the mixture.
        rate_hz: of all; decides how finely activity is measured (20 ms) and how long a pause may be.
    """
    tracks = [_at(sound.samples.astype(np.float32), sound.at_sample, length) for sound in sounds]
    actives = [_at(audible_samples(s.samples, rate_hz), s.at_sample, length) for s in sounds]
    levels = [_level(track, active) for track, active in zip(tracks, actives, strict=True)]
    for at, sound in enumerate(sounds):
        if at and levels[0] > 0.0 and levels[at] > 0.0:
            wanted = levels[0] * 10.0 ** (sound.level_db / 20.0)
            tracks[at] = tracks[at] * np.float32(wanted / levels[at])
            levels[at] = wanted
    total: FloatArray = np.stack(tracks).sum(axis=0, dtype=np.float32)
    turned_down = max(1.0, float(np.abs(total).max(initial=0.0)))
    parts = tuple(
        Part(_stretches(active, rate_hz), 20.0 * float(np.log10(level / turned_down)) if level else -np.inf)
        for active, level in zip(actives, levels, strict=True)
    )
    return Mixture(np.clip(total / np.float32(turned_down), -1.0, 1.0), parts)


def audible_samples(samples: FloatArray, rate_hz: int) -> BoolArray:
    """Samples that belong to the sound, shape (n,): their frame lies within 30 dB of the loudest one."""
    frames = audible_frames(samples, rate_hz)
    audible: BoolArray = np.repeat(frames, frame_samples(rate_hz))[: len(samples)]
    return audible


def active_spans(samples: FloatArray, rate_hz: int) -> tuple[tuple[int, int], ...]:
    """First sample and sample after the last of each stretch of sound between longer pauses.

    A frame of 20 ms belongs to the sound when it lies within 30 dB of the loudest one.
    """
    return _stretches(audible_samples(samples, rate_hz), rate_hz)


def pairs_of_classes(
    labels_of_clips: Sequence[str], per_pair: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Pairs of clips to mix: `per_pair` for every two different classes, by their places in the list.

    The clips of one class are used equally often, give or take one. No pair of clips comes twice unless
    the two classes leave no other pair of clips that are due. Within two classes, either is the first
    one equally often, give or take one. Only ever give clips of one fold.
    """
    used = np.zeros(len(labels_of_clips), int)
    clips = _clips_by_label(labels_of_clips)
    pairs: list[tuple[int, int]] = []
    for one, other in combinations(clips, 2):
        taken: set[tuple[int, int]] = set()
        swap = bool(random.integers(2))
        for _ in range(per_pair):
            due = [_least_used(clips[label], used, random) for label in (one, other)]
            choices = [(int(a), int(b)) for a in due[0] for b in due[1]]
            pair = next((choice for choice in choices if choice not in taken), choices[0])
            taken.add(pair)
            used[list(pair)] += 1
            pairs.append(pair[::-1] if swap else pair)
            swap = not swap
    return pairs


def groups_of_classes(
    labels_of_clips: Sequence[str], count: int, sizes: tuple[int, int], random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Groups of clips of different classes to mix, by their places in the list.

    Classes are used equally often, give or take one, and so are the clips of one class. Only ever give
    clips of one fold.

    Args:
        count: how many groups.
        sizes: fewest and most clips of a group, evenly drawn; there must be as many classes.
    """
    used = np.zeros(len(labels_of_clips), int)
    clips = list(_clips_by_label(labels_of_clips).values())
    used_classes = np.zeros(len(clips), int)
    groups: list[tuple[int, ...]] = []
    for _ in range(count):
        size = int(random.integers(sizes[0], sizes[1] + 1))
        order = random.permutation(len(clips))
        due = order[np.argsort(used_classes[order], kind="stable")][:size]
        used_classes[due] += 1
        # The rarest class is not to be the first one for that.
        group = [int(_least_used(clips[at], used, random)[0]) for at in random.permutation(due)]
        used[group] += 1
        groups.append(tuple(group))
    return groups


def _clips_by_label(labels_of_clips: Sequence[str]) -> dict[str, np.ndarray]:
    """Places of the clips of each class, classes by name."""
    return {
        label: np.flatnonzero([other == label for other in labels_of_clips])
        for label in sorted(set(labels_of_clips))
    }


def _least_used(clips: np.ndarray, used: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Those of the clips that were used least, in random order."""
    return random.permutation(clips[used[clips] == used[clips].min()])


def _at(values: np.ndarray, at: int, length: int) -> np.ndarray:
    """Values put at a place (which may be negative) of an otherwise empty array of that length."""
    out = np.zeros(length, values.dtype)
    first, last = max(0, at), min(length, at + len(values))
    if last > first:
        out[first:last] = values[first - at : last - at]
    return out


def _level(samples: FloatArray, active: BoolArray) -> float:
    """Root mean square of the active samples; 0 when there are none."""
    return float(np.sqrt(np.square(samples[active], dtype=np.float64).mean())) if active.any() else 0.0


def _stretches(active: BoolArray, rate_hz: int) -> tuple[tuple[int, int], ...]:
    """Begin and end of each run of active samples; shorter pauses belong to the run."""
    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    if not len(edges):
        return ()
    begins, ends = edges[::2], edges[1::2]
    apart = begins[1:] - ends[:-1] >= PAUSE_S * rate_hz
    kept = zip(begins[np.append(True, apart)], ends[np.append(apart, True)], strict=True)
    return tuple((int(begin), int(end)) for begin, end in kept)
