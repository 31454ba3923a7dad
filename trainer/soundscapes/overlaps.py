"""Clips of a dataset, mixed and written to disk: which clips, where in the mix, how loud.

Sources of a mix are always clips of one fold, of different classes. Three styles:

    50-50   every two classes of a fold, `per_pair` times: both clips begin together, equally loud, the
            mix is as long as the first one (system B of 2017; it added white noise to pairs of clips
            that come again, here no pair comes twice unless there are too few clips)
    90-10   the same with the second clip 20 dB softer (published: between 20 and 30 dB)
    free    one to three sources that begin at random places of a few seconds, each between -6 and
            +6 dB relative to the first

Levels are those of the active parts (`trainer.soundscapes.mixtures`), so are all times of the truth. All
is drawn from the seed and the fold alone: the same clips give the same files, byte by byte, and the mixes
of a fold do not depend on which other folds are mixed.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from streamer import __version__
from streamer.errors import SourceError
from trainer.datasets.clip import Clip, DatasetError
from trainer.datasets.mix import FORMAT, SOUNDS, Made, Mix, Source, write_truth
from trainer.examples.spectrograms import read_mono
from trainer.soundscapes.mixtures import (
    ACTIVE_S,
    Placed,
    active_spans,
    groups_of_classes,
    mix_sounds,
    pairs_of_classes,
    second_level_db,
)

OverlapStyle = Literal["50-50", "90-10", "free"]

RATE_HZ = 22_050
"""Of all mixes. It is that of the models, and half of the 44.1 kHz of most published clips."""

LEVELS_DB = (-6.0, 6.0)
"""Level of the further sources of a ``free`` mix, relative to the first, evenly distributed."""

HEARD_S = 1.0
"""A source of a ``free`` mix begins early enough for so much of its sound, or all of it, to be heard."""


@dataclass(frozen=True)
class Order:
    """What is to be mixed."""

    style: OverlapStyle
    seed: int = 1

    per_pair: int = 11
    """Of the styles of pairs: mixes for every two classes of a fold."""

    quieter_db: tuple[float, float] = (20.0, 20.0)
    """Of ``90-10``: how far the second sound lies below the first, evenly drawn from this range."""

    count: int = 500
    """Of ``free``: mixes of each fold."""

    sources: tuple[int, int] = (1, 3)
    """Of ``free``: fewest and most sources of a mix, evenly drawn."""

    seconds: float = 5.0
    """Of ``free``: length of a mix."""

    def __post_init__(self) -> None:
        checks = (
            (self.seed >= 0, f"the seed is {self.seed}; give a number from 0 on"),
            (self.per_pair >= 1, f"{self.per_pair} mixes a pair; give at least 1"),
            (self.count >= 1, f"{self.count} mixes; give at least 1"),
            (
                1 <= self.sources[0] <= self.sources[1],
                "{}-{} sources; give a number from 1 on, or a range as in 1-3".format(*self.sources),
            ),
            (1.0 <= self.seconds <= 600.0, f"mixes of {self.seconds:g} s; give between 1 and 600"),
            (
                0.0 <= self.quieter_db[0] <= self.quieter_db[1] <= 60.0,
                "{:g}-{:g} dB softer; give a number from 0 to 60, or a range as in 20-30".format(
                    *self.quieter_db
                ),
            ),
        )
        for fits, problem in checks:
            if not fits:
                raise DatasetError(problem)

    @property
    def level_db(self) -> tuple[float, float]:
        """Level of every source but the first, relative to the first: from, to."""
        if self.style == "free":
            return LEVELS_DB
        return (-self.quieter_db[1], -self.quieter_db[0]) if self.style == "90-10" else (0.0, 0.0)


@dataclass(frozen=True)
class Surveyed:
    """A clip and what is heard in it; times in samples at `RATE_HZ`."""

    clip: Clip
    length: int
    begin: int
    """First sample of its sound."""

    heard_at: int
    """Sample after the last of the first `HEARD_S` of its sound."""


@dataclass(frozen=True)
class Plan:
    """One mix that is to be written."""

    file: str
    fold: int
    length: int
    sources: tuple[tuple[Clip, int, float], ...]
    """Clip, place of its first sample, level relative to the first source in dB."""


@dataclass(frozen=True)
class Written:
    """What was written, and which clips were not used for what reason."""

    made: Made
    seconds: float
    not_used: dict[str, tuple[Path, ...]]


def write_mixes(order: Order, dataset: str, root: Path, clips: Sequence[Clip], out: Path) -> Written:
    """Mix clips and write sound files and truth; see `trainer.datasets.mix` for the layout.

    What was written so far is removed when it fails or is interrupted.

    Args:
        dataset: its name.
        root: its folder.
        clips: of one or several folds; no two folds are ever mixed.
        out: a folder that is new or empty.

    Raises:
        DatasetError: the folder is not empty, or a fold has too few classes.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file: give a new or an empty folder")
    if out.is_dir() and (there := sorted(path.name for path in out.iterdir())):
        raise DatasetError(f"{out} is not empty (it holds {there[0]}): give a new or an empty folder")
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=_leave_interrupts_to_parent) as pool:
        usable: list[Surveyed] = []
        not_used: dict[str, list[Path]] = {}
        for clip, found in zip(clips, pool.map(survey, clips, chunksize=16), strict=True):
            if isinstance(found, Surveyed):
                usable.append(found)
            else:
                not_used.setdefault(found, []).append(clip.path)
        plans = list(planned(order, sorted({clip.fold for clip in clips}), usable))
        (out / SOUNDS).mkdir(parents=True)
        try:
            work = partial(write_mix, root=root, out=out)
            mixes = list(pool.map(work, plans, chunksize=16))
            made = _made(order, dataset, plans, {why: len(paths) for why, paths in not_used.items()})
            write_truth(out, made, mixes)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            for path in out.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
    length = sum(plan.length for plan in plans)
    return Written(made, length / RATE_HZ, {why: tuple(paths) for why, paths in not_used.items()})


def survey(clip: Clip) -> Surveyed | str:
    """What is heard in a clip, or why it can be no source."""
    try:
        samples = read_mono(clip.path, RATE_HZ)
    except (SourceError, OSError):
        return "unreadable"
    spans = active_spans(samples, RATE_HZ)
    if not spans:
        return "silent"
    if sum(end - begin for begin, end in spans) < ACTIVE_S * RATE_HZ:
        # It could be true of no window.
        return f"less than {ACTIVE_S} s of sound"
    wanted = round(HEARD_S * RATE_HZ)
    heard_at = spans[-1][1]
    for begin, end in spans:
        if end - begin >= wanted:
            heard_at = begin + wanted
            break
        wanted -= end - begin
    return Surveyed(clip, len(samples), spans[0][0], heard_at)


def planned(order: Order, folds: Sequence[int], clips: Sequence[Surveyed]) -> Iterator[Plan]:
    """The mixes of these folds.

    Raises:
        DatasetError: a fold has fewer classes than a mix needs.
    """
    for fold in folds:
        there = [item for item in clips if item.clip.fold == fold]
        classes = len({item.clip.label for item in there})
        needed = order.sources[1] if order.style == "free" else 2
        if classes < needed:
            raise DatasetError(f"fold {fold} has sounds of too few classes: {classes}; a mix needs {needed}")
        random = np.random.default_rng((order.seed, fold))
        make = _free if order.style == "free" else _pairs
        for at, (length, sources) in enumerate(make(order, there, random), start=1):
            yield Plan(f"{SOUNDS}/{fold}-{at:05d}.flac", fold, length, sources)


Sources = tuple[tuple[Clip, int, float], ...]


def _pairs(
    order: Order, clips: Sequence[Surveyed], random: np.random.Generator
) -> Iterator[tuple[int, Sources]]:
    """Length and sources of pairs."""
    assert order.style != "free"
    for one, other in pairs_of_classes([item.clip.label for item in clips], order.per_pair, random):
        level_db = second_level_db(order.style, random, order.quieter_db)
        yield clips[one].length, ((clips[one].clip, 0, 0.0), (clips[other].clip, 0, level_db))


def _free(
    order: Order, clips: Sequence[Surveyed], random: np.random.Generator
) -> Iterator[tuple[int, Sources]]:
    """Length and sources of mixes in which each sound has its own onset."""
    length = round(order.seconds * RATE_HZ)
    for group in groups_of_classes([item.clip.label for item in clips], order.count, order.sources, random):
        sources = []
        for number, at in enumerate(group):
            item = clips[at]
            latest = max(0, length - (item.heard_at - item.begin))
            onset = int(random.integers(latest + 1))
            level_db = float(random.uniform(*LEVELS_DB)) if number else 0.0
            sources.append((item.clip, onset - item.begin, level_db))
        yield length, tuple(sources)


def write_mix(plan: Plan, root: Path, out: Path) -> Mix:
    """Write the sound file of one mix; give the truth about it."""
    import soundfile

    sounds = [Placed(read_mono(clip.path, RATE_HZ), at, db) for clip, at, db in plan.sources]
    mixture = mix_sounds(sounds, plan.length, RATE_HZ)
    soundfile.write(out / plan.file, mixture.samples, RATE_HZ, subtype="PCM_16")
    sources = tuple(
        Source(
            file=_below(clip.path, root),
            label=clip.label,
            level_db=part.level_db,
            spans_s=tuple((begin / RATE_HZ, end / RATE_HZ) for begin, end in part.spans),
        )
        for (clip, _, _), part in zip(plan.sources, mixture.parts, strict=True)
    )
    return Mix(plan.file, plan.fold, sources)


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches all processes; the first one cleans up and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _made(order: Order, dataset: str, plans: Sequence[Plan], not_used: dict[str, int]) -> Made:
    import soundfile
    import soxr

    free = order.style == "free"
    return Made(
        format=FORMAT,
        style=order.style,
        dataset=dataset,
        folds=tuple(sorted({plan.fold for plan in plans})),
        seed=order.seed,
        mixes=len(plans),
        rate_hz=RATE_HZ,
        level_db=order.level_db,
        per_pair=None if free else order.per_pair,
        count=order.count if free else None,
        sources=order.sources if free else None,
        seconds=order.seconds if free else None,
        not_used=not_used,
        versions={
            "esc-listen": __version__,
            "numpy": np.__version__,
            "libsndfile": soundfile.__libsndfile_version__,
            "soxr": soxr.__version__,
        },
    )
