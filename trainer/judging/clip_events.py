"""Score a model on clips as events: does a clip in the middle of real background give the right one?

Each clip is heard as it is, with three seconds of one background recording before it and the three
seconds that follow there after it, through the listening loop with the thresholds of the manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.model import Model
from streamer.types import FloatArray
from trainer.datasets import Background, Clip, DatasetError, read_background
from trainer.judging.ear import Ear
from trainer.soundscapes.scenes import FADE_S, continued
from trainer.words import folds

AROUND_S = 3.0
"""Background before the clip, and after it."""

SEED = 1


@dataclass(frozen=True)
class HeardClip:
    """The labels of the events that a clip gave."""

    label: str
    heard: frozenset[str]
    """Without those that the background may contain, unless it is the clip's own label."""


def report(
    model: Model, clips: Sequence[Clip], background: Path, split: str = "train", seed: int = SEED
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Shares of clips that give an event of their class, and of a wrong one: for machines and for people.

    Clips whose label the model does not know, or that cannot be read, are left out and counted.

    Raises:
        DatasetError: there is no background, or no clip that the model knows.
        SourceError: a background cannot be read.
    """
    ear = Ear(model)
    recordings = [(item, ear.read(item.path)) for item in read_background(background, split)]
    if not recordings:
        raise DatasetError(f"{background} has no background in its split {split}")
    random = np.random.default_rng(seed)
    heard: list[HeardClip] = []
    for clip in clips:
        if clip.label not in model.labels:
            continue
        try:
            sound = ear.read(clip.path)
        except SourceError:
            continue
        stream, under = surrounded(sound, recordings, ear.rate_hz, random)
        labels = {event.label for event in ear.hear(stream)}
        heard.append(HeardClip(clip.label, frozenset(labels - (under.may_contain - {clip.label}))))
    if not heard:
        raise DatasetError(f"there are no clips of a sound that the model {model.name} knows")
    table = {
        "model": model.name,
        "data": "events",
        "folds": sorted({clip.fold for clip in clips}),
        "around_s": AROUND_S,
        "background_split": split,
        "left_out": len(clips) - len(heard),
        **score(heard),
    }
    return table, readable(table)


def surrounded(
    sound: FloatArray,
    recordings: Sequence[tuple[Background, FloatArray]],
    rate_hz: int,
    random: np.random.Generator,
) -> tuple[FloatArray, Background]:
    """A clip with background before and after it, at the levels that both have, and which one it is."""
    lengths = np.array([len(samples) for _, samples in recordings], float)
    background, recorded = recordings[int(random.choice(len(recordings), p=lengths / lengths.sum()))]
    around = round(AROUND_S * rate_hz)
    start = int(random.integers(max(1, len(recorded) - 2 * around)))
    lead, tail = np.split(continued(recorded, start, 2 * around, rate_hz), 2)
    # Nothing may click where one ends and the other begins.
    ramp = np.linspace(0.0, 1.0, round(FADE_S * rate_hz), dtype=np.float32)
    lead[-len(ramp) :] *= ramp[::-1]
    tail[: len(ramp)] *= ramp
    return np.concatenate([lead, sound, tail]), background


def score(heard: Sequence[HeardClip]) -> dict[str, Any]:
    """All figures, as the JSON output has them."""
    right = [clip.label in clip.heard for clip in heard]
    wrong = [bool(clip.heard - {clip.label}) for clip in heard]
    clips = Counter(clip.label for clip in heard)
    found = Counter(clip.label for clip in heard if clip.label in clip.heard)
    mistaken = Counter(label for clip in heard for label in clip.heard - {clip.label})
    return {
        "clips": len(heard),
        "right": round(float(np.mean(right)), 5),
        "wrong": round(float(np.mean(wrong)), 5),
        "nothing": round(float(np.mean([not clip.heard for clip in heard])), 5),
        "per_class": {
            label: {"clips": count, "right": round(found[label] / count, 4), "wrongly_heard": mistaken[label]}
            for label, count in sorted(clips.items())
        },
        "mistaken_for": dict(mistaken.most_common()),
    }


def readable(table: dict[str, Any]) -> tuple[str, ...]:
    """The same for people."""
    worst = sorted(table["per_class"].items(), key=lambda item: item[1]["right"])[:10]
    mistaken = list(table["mistaken_for"].items())[:5]
    return (
        f"{table['model']} on {table['clips']} clips with {AROUND_S:g} s of background around them, "
        f"{folds(table['folds'])}:",
        f"  an event of the right class  {100 * table['right']:5.1f} %",
        f"  an event of a wrong class    {100 * table['wrong']:5.1f} %",
        f"  no event at all              {100 * table['nothing']:5.1f} %; {table['left_out']} clips left out",
        "  least heard: " + ", ".join(f"{label} {100 * found['right']:.0f} %" for label, found in worst),
        "  most often heard wrongly: "
        + (", ".join(f"{label} {count}" for label, count in mistaken) or "none"),
    )
