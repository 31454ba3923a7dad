"""Score a model on sounds of other makers: does each, laid over real background, give the right event?

Every clip of one split of the pool is laid over one background recording, 6 to 24 dB above it, with three
seconds of that background before it and after it, and heard through the listening loop with the thresholds of
the manifest. Both levels are those of the louder parts, so that a short knock counts as a long engine does.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.model import Model
from streamer.types import FloatArray
from trainer.datasets import DatasetError, read_background
from trainer.datasets.pool import pool_rows
from trainer.judging.clip_events import AROUND_S, HeardClip, score
from trainer.judging.ear import Ear
from trainer.soundscapes.scenes import continued

SNR_DB = (6.0, 24.0)
SEED = 1

LEVEL_BLOCK_S = 0.05
"""Levels are measured over blocks of this length."""

LOUD_PART = 1e-3
"""Blocks whose power is above this share of the loudest count for the level of a sound (30 dB)."""

PEAK = 0.99
"""A mixture that would clip is turned down to this."""


def report(
    model: Model,
    folder: Path,
    background: Path,
    split: str = "test",
    labels: Sequence[str] = (),
    seed: int = SEED,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Shares of clips that give an event of their class, and of a wrong one: for machines and for people.

    Clips whose label the model does not know, or that cannot be read, are left out and counted.

    Args:
        folder: of the pool.
        background: recordings; those of the same split in which nothing is expected are used.
        labels: only events and clips of these labels count; all when empty.

    Raises:
        DatasetError: there is no background, or no clip that the model knows.
        SourceError: a background cannot be read.
    """
    ear = Ear(model)
    counted = frozenset(labels) or frozenset(model.labels)
    recordings = [(item, ear.read(item.path)) for item in read_background(background, split)]
    if not recordings:
        raise DatasetError(f"{background} has no background in its split {split}")
    clips = [row.clip for row in pool_rows(folder) if row.split == split]
    random = np.random.default_rng(seed)
    heard: list[HeardClip] = []
    for clip in clips:
        # Drawn for every clip, so that all models hear the same mixtures.
        under, recorded = recordings[int(random.integers(len(recordings)))]
        start, snr_db = random.random(), random.uniform(*SNR_DB)
        if clip.label not in counted or clip.label not in model.labels:
            continue
        try:
            sound = ear.read(clip.path)
        except SourceError:
            continue
        stream = laid_over(sound, recorded, start, snr_db, ear.rate_hz)
        found = {event.label for event in ear.hear(stream)} & counted
        heard.append(HeardClip(clip.label, frozenset(found - (under.may_contain - {clip.label}))))
    if not heard:
        raise DatasetError(f"{folder} has no clip of a sound that the model {model.name} knows in {split}")
    found_by_class = score(heard)
    macro = statistics.fmean(row["right"] for row in found_by_class["per_class"].values())
    table = {
        "model": model.name,
        "data": "pool",
        "split": split,
        "snr_db": list(SNR_DB),
        "left_out": len(clips) - len(heard),
        "macro_right": round(macro, 5),
        **found_by_class,
    }
    return table, readable(table)


def laid_over(
    sound: FloatArray, recorded: FloatArray, start: float, snr_db: float, rate_hz: int
) -> FloatArray:
    """A sound in the middle of background that is `snr_db` softer; shape (n,).

    Args:
        sound: the sound, shape (m,).
        recorded: the background, shape (k,); repeated where it is too short.
        start: where in the recording to begin, as a share of what is possible, 0 to 1.
        snr_db: level of the sound over the background.
    """
    around = round(AROUND_S * rate_hz)
    length = len(sound) + 2 * around
    at = int(start * max(0, len(recorded) - length))
    stream = continued(recorded, at, length, rate_hz).astype(np.float32)
    own, under = level(sound, rate_hz), level(stream, rate_hz)
    if own > 0 and under > 0:
        stream *= np.float32(np.sqrt(own / under) * 10.0 ** (-snr_db / 20.0))
    stream[around : around + len(sound)] += sound
    peak = float(np.abs(stream).max())
    return stream * np.float32(min(1.0, PEAK / peak)) if peak > 0 else stream


def level(samples: FloatArray, rate_hz: int) -> float:
    """Mean power of the blocks of a sound that are within 30 dB of its loudest."""
    size = max(1, round(LEVEL_BLOCK_S * rate_hz))
    whole = samples[: max(1, len(samples) // size) * size]
    power = np.square(whole.reshape(-1, min(size, len(whole))), dtype=np.float64).mean(axis=1)
    return float(power[power > LOUD_PART * power.max()].mean()) if power.max() > 0 else 0.0


def readable(table: dict[str, Any]) -> tuple[str, ...]:
    """The same for people."""
    low, high = table["snr_db"]
    rows = sorted(table["per_class"].items(), key=lambda item: (item[1]["right"], -item[1]["clips"]))
    named = [f"{label} {count}" for label, count in list(table["mistaken_for"].items())[:5]]
    return (
        f"{table['model']} on {table['clips']} sounds of other makers (split {table['split']}), "
        f"{low:g} to {high:g} dB over real background:",
        f"  an event of the right class  {100 * table['right']:5.1f} %, mean of the classes "
        f"{100 * table['macro_right']:.1f} %",
        f"  an event of a wrong class    {100 * table['wrong']:5.1f} %",
        f"  no event at all              {100 * table['nothing']:5.1f} %; {table['left_out']} clips left out",
        "  by class, right of clips: "
        + ", ".join(f"{label} {round(row['right'] * row['clips'])}/{row['clips']}" for label, row in rows),
        "  most often detected wrongly: " + (", ".join(named) or "none"),
    )
