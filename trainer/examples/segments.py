"""Clips cut into segments at fixed places, as the published protocols do it.

The same cutting serves the training (with changed copies of each clip, or mixes of two) and the
scoring of a network on whole segments, where nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.frontend import MelStream, decibels_of
from streamer.tables import to_table
from streamer.types import FloatArray
from trainer.datasets import Background, Clip
from trainer.examples.cache import ArrayCache
from trainer.examples.inputs import Batch, Normalisation, features, measure, to_inputs
from trainer.examples.spectrograms import read_mono
from trainer.examples.waveforms import copies_of
from trainer.recipe import Recipe
from trainer.soundscapes.mixtures import ACTIVE_S, Mixture, mix_pair, pairs_of_classes


@dataclass(frozen=True)
class Sequences:
    """Features of many recordings and the places where segments begin in them."""

    values: tuple[FloatArray, ...]
    """Features of each recording, shape (frames, columns)."""

    where: np.ndarray
    """Recording and first frame of each segment, shape (segments, 2)."""

    targets: FloatArray
    """Shape (segments, labels)."""

    def beside(self, other: Sequences) -> Sequences:
        """The segments of both."""
        moved = other.where + np.array([len(self.values), 0])
        return Sequences(
            self.values + other.values,
            np.concatenate([self.where, moved]),
            np.concatenate([self.targets, other.targets]),
        )

    def batch(self, chosen: np.ndarray, normalisation: Normalisation, recipe: Recipe) -> Batch:
        """Inputs and targets of some segments."""
        frames = recipe.window_frames
        cut = np.stack([self.values[item][start : start + frames] for item, start in self.where[chosen]])
        return to_inputs((cut - normalisation.mean) / normalisation.std, recipe), self.targets[chosen]


def prepared_samples(samples: FloatArray, recipe: Recipe) -> FloatArray:
    """Samples as a recipe's protocol wants them: scaled to its peak, at least one window long."""
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    if recipe.segments.peak_normalise and peak > 0:
        samples = samples / np.float32(peak)
    missing = recipe.front_end.samples_of(recipe.window_frames) - len(samples)
    return np.pad(samples, (0, max(0, missing))).astype(np.float32)


def feature_frames(samples: FloatArray, recipe: Recipe) -> FloatArray:
    """Features of a recording, shape (frames, columns)."""
    return features(MelStream(recipe.front_end).push(prepared_samples(samples, recipe)), recipe)


def segment_starts(values: FloatArray, recipe: Recipe) -> list[int]:
    """First frames of the segments that hold something to hear."""
    frames = recipe.window_frames
    level = recipe.front_end.columns("log_mel")
    silent_db = max(recipe.segments.silent_below_db, 10 * np.log10(recipe.front_end.floor) + 1e-3)
    starts = range(0, len(values) - frames + 1, recipe.segments.hop_frames)
    levels_db = decibels_of(values[:, level], recipe.front_end)
    return [at for at in starts if levels_db[at : at + frames].mean() > silent_db]


def clip_features(
    clip: Clip, recipe: Recipe, changed: bool, backgrounds: tuple[Background, ...], cache: ArrayCache
) -> list[FloatArray] | None:
    """Features of a clip and, if `changed`, of its copies; None when it cannot be read."""
    seed = recipe.schedule.seed
    copies = recipe.copies if changed else ()
    wants_background = any(copy.background_snr_db for copy in copies)

    def compute() -> dict[str, np.ndarray]:
        samples = read_mono(clip.path, rate_hz)
        heard = [samples]
        if copies:
            under = background_samples(backgrounds, rate_hz) if wants_background else ()
            heard += copies_of(samples, rate_hz, clip.label, copies, seed, clip.path.stem, under)
        return {f"{at:04d}": feature_frames(item, recipe) for at, item in enumerate(heard)}

    rate_hz = recipe.front_end.sample_rate_hz
    what = {
        "front_end": to_table(recipe.front_end),
        "peak_normalise": recipe.segments.peak_normalise,
        "window_frames": recipe.window_frames,
        "copies": [clip.label, clip.path.stem, seed, to_table(copies)] if copies else [],
        "background": background_identity(backgrounds) if wants_background else [],
    }
    try:
        arrays = cache.get(clip.path, what, compute)
    except (SourceError, OSError):
        return None
    return [arrays[name] for name in sorted(arrays)]


@lru_cache(maxsize=1)
def background_samples(backgrounds: tuple[Background, ...], rate_hz: int) -> tuple[FloatArray, ...]:
    """Background recordings that may lie under a copy."""
    return tuple(read_mono(item.path, rate_hz) for item in backgrounds)


def background_identity(backgrounds: tuple[Background, ...]) -> list[Any]:
    """What copies with background depend on, for the cache."""
    return [(item.path.name, item.path.stat().st_size, item.path.stat().st_mtime_ns) for item in backgrounds]


def features_of_clips(
    clips: Sequence[Clip],
    recipe: Recipe,
    cache: ArrayCache,
    changed: bool = False,
    backgrounds: tuple[Background, ...] = (),
) -> list[list[FloatArray] | None]:
    """`clip_features` of many clips, on all cores."""
    work = partial(clip_features, recipe=recipe, changed=changed, backgrounds=backgrounds, cache=cache)
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(work, clips, chunksize=8))


def cut_clips(
    features_of: Sequence[list[FloatArray]], truths: Sequence[int], labels: int, recipe: Recipe
) -> Sequences:
    """Segments of clips that hold one known sound each."""
    values: list[FloatArray] = []
    where: list[tuple[int, int]] = []
    targets: list[int] = []
    for copies, truth in zip(features_of, truths, strict=True):
        for item in copies:
            starts = segment_starts(item, recipe)
            where += [(len(values), start) for start in starts]
            targets += [truth] * len(starts)
            values.append(item)
    places = np.array(where, np.int64).reshape(-1, 2)
    return Sequences(tuple(values), places, np.eye(labels, dtype=np.float32)[targets])


class Segments:
    """Training examples of a recipe with ``examples = "segments"``; see `trainer.examples.load.Examples`."""

    def __init__(
        self,
        recipe: Recipe,
        clips: Sequence[Clip],
        labels: tuple[str, ...],
        backgrounds: tuple[Background, ...],
        cache: ArrayCache,
    ) -> None:
        self._recipe = recipe
        self.labels = labels
        wants_background = any(copy.background_snr_db for copy in recipe.copies)
        self.backgrounds = backgrounds if wants_background else ()
        loaded = features_of_clips(clips, recipe, cache, changed=True, backgrounds=self.backgrounds)
        self.clips = tuple(clip for clip, item in zip(clips, loaded, strict=True) if item is not None)
        self.unreadable = tuple(clip.path for clip, item in zip(clips, loaded, strict=True) if item is None)
        truths = [labels.index(clip.label) for clip in self.clips]
        self._single = cut_clips([item for item in loaded if item is not None], truths, len(labels), recipe)
        wants_mixes = recipe.mixes and recipe.schedule.single_epochs < recipe.schedule.epochs
        self._mixed = mixed_segments(self.clips, labels, recipe) if wants_mixes else None
        if self._mixed and recipe.mixes and recipe.mixes.with_singles:
            self._mixed = self._mixed.beside(self._single)
        frames = recipe.window_frames
        self.normalisation: Normalisation = measure(
            (self._single.values[item][start : start + frames] for item, start in self._single.where),
            recipe,
        )

    def _of(self, epoch: int) -> Sequences:
        """What an epoch learns from."""
        if self._mixed is None or epoch < self._recipe.schedule.single_epochs:
            return self._single
        return self._mixed

    @property
    def examples_per_epoch(self) -> int:
        """Examples of the last epochs; with mixes, the first may have another number."""
        return self._count(self._of(self._recipe.schedule.epochs))

    def _count(self, those: Sequences) -> int:
        wanted = self._recipe.schedule.examples_per_epoch
        return min(wanted, len(those.where)) if wanted else len(those.where)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of one epoch; the same epoch gives the same batches, also after a resumed run."""
        those = self._of(epoch)
        plan = self._recipe.schedule
        order = np.random.default_rng((plan.seed, epoch)).permutation(len(those.where))
        order = order[: self._count(those)]
        for start in range(0, len(order), plan.batch):
            yield those.batch(order[start : start + plan.batch], self.normalisation, self._recipe)


def mixed_segments(clips: Sequence[Clip], labels: tuple[str, ...], recipe: Recipe) -> Sequences:
    """Segments of mixes of two clips of one fold; a target is 1 where its sound is really active."""
    assert recipe.mixes is not None
    random = np.random.default_rng(recipe.schedule.seed)
    chosen: list[tuple[Clip, Clip, float]] = []
    for fold in sorted({clip.fold for clip in clips}):
        there = [clip for clip in clips if clip.fold == fold]
        for one, other in pairs_of_classes([clip.label for clip in there], recipe.mixes.per_pair, random):
            chosen.append((there[one], there[other], float(random.uniform(*recipe.mixes.level_db))))
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        made = list(pool.map(partial(_mixture, recipe=recipe), chosen, chunksize=32))
    values: list[FloatArray] = []
    where: list[tuple[int, int]] = []
    targets: list[FloatArray] = []
    for (first, second, _), (item, mixture) in zip(chosen, made, strict=True):
        for start in segment_starts(item, recipe):
            truth = truth_of(mixture, (first.label, second.label), start, labels, recipe)
            if recipe.mixes.truth == "first":
                truth = np.eye(len(labels), dtype=np.float32)[labels.index(first.label)]
            where.append((len(values), start))
            targets.append(truth)
        values.append(item)
    return Sequences(tuple(values), np.array(where, np.int64).reshape(-1, 2), np.array(targets, np.float32))


def _mixture(chosen: tuple[Clip, Clip, float], recipe: Recipe) -> tuple[FloatArray, Mixture]:
    first, second, level_db = chosen
    rate_hz = recipe.front_end.sample_rate_hz
    one, other = (read_mono(clip.path, rate_hz) for clip in (first, second))
    mixture = mix_pair(one, other, level_db, "first", rate_hz)
    return feature_frames(mixture.samples, recipe), mixture


def truth_of(
    mixture: Mixture, pair: tuple[str, str], start: int, labels: tuple[str, ...], recipe: Recipe
) -> FloatArray:
    """Which sounds are active in a segment of a mix, shape (labels,)."""
    spec = recipe.front_end
    begin = start * spec.hop_samples
    end = begin + spec.samples_of(recipe.window_frames)
    truth = np.zeros(len(labels), np.float32)
    for label, part in zip(pair, mixture.parts, strict=True):
        if part.active_samples(begin, end) >= ACTIVE_S * spec.sample_rate_hz:
            truth[labels.index(label)] = 1.0
    return truth
