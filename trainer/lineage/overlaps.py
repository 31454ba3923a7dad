"""The table of the 2017 work on overlapping background sounds, made again with official folds.

Every network is the int8 file of a fold of `trainer.lineage.networks`, scored on mixes of the fold that it
never saw: pairs at equal level, single sounds, and sounds with a faint one 30 dB below. Every sound is
scaled to its peak, as in the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from streamer.model import Model, load_model
from trainer.calibration.decisions import HeardWindows, choose_decisions
from trainer.datasets import Clip, read_dataset
from trainer.datasets.mix import MADE, read_mixes
from trainer.judging.clips import evaluate, score_clips
from trainer.judging.mixes import Judged, figures, score_mixes
from trainer.soundscapes.overlaps import Order, write_mixes

FOLDS = (1, 2, 3)
FAINT_DB = 30.0
PUBLISHED_DECISION = 0.5


@dataclass(frozen=True)
class Entrant:
    """A network of `trainer.lineage.networks` in this table."""

    title: str
    experiment: str
    several_at_once: bool = True
    """It has one sigmoid a sound: only such networks are asked for pairs."""

    own_decisions: bool = False
    """Decisions as `esc-train calibrate` chooses them, from pairs of the training folds; otherwise 0.5
    for every sound, as published."""


ENTRANTS = (
    Entrant("multilabel, pairs only", "urban-pairs"),
    Entrant("multilabel, after single sounds", "urban-pairs-pretrained"),
    Entrant("ConvNet (softmax), single sounds", "urban-piczak", several_at_once=False),
    Entrant("ConvNet (softmax), single sounds and overlays", "urban-piczak-overlays", several_at_once=False),
    Entrant("base (ours)", "urban-base"),
    Entrant("base (ours), decisions of its own", "urban-base", own_decisions=True),
)
PAIR_FIGURES = ("exact_match", "at_least_one", "hamming", "macro_f1", "micro_f1", "clip_exact_match")


@dataclass(frozen=True)
class Line:
    """Figures of one network, one value a fold, from 0 to 1."""

    network: str
    figures: dict[str, list[float]]


def prepared_mixes(urbansound8k: Path, out: Path) -> dict[tuple[str, int], Path]:
    """Mixes of every fold: ``50-50`` pairs and ``faint`` overlays; those that are there stay."""
    clips = read_dataset("urbansound8k", urbansound8k)
    orders = {"50-50": Order("50-50"), "faint": Order("90-10", quieter_db=(FAINT_DB, FAINT_DB))}
    folders = {}
    for name, order in orders.items():
        for fold in FOLDS:
            folder = out / f"mixes-{name}-fold-{fold}"
            if not (folder / MADE).is_file():
                chosen = [clip for clip in clips if clip.fold == fold]
                write_mixes(order, "urbansound8k", urbansound8k, chosen, folder)
            folders[name, fold] = folder
    return folders


def louder_sounds(folder: Path, fold: int) -> list[Clip]:
    """Mixes as clips that bear the label of their louder sound."""
    return [Clip(folder / mix.file, mix.sources[0].label, fold, mix.file) for mix in read_mixes(folder).mixes]


def score_network(
    entrant: Entrant, runs: Path, urbansound8k: Path, folders: dict[tuple[str, int], Path]
) -> dict[str, list[float]]:
    """All figures of one network over the folds."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: Any) -> None:
        found.setdefault(name, []).append(float(value))

    clips = read_dataset("urbansound8k", urbansound8k)
    models = {fold: load_model(runs / entrant.experiment / f"fold-{fold}" / "int8.tflite") for fold in FOLDS}
    pairs: dict[int, list[Judged]] = {}
    if entrant.several_at_once:
        pairs = {fold: judged_mixes(models[fold], folders["50-50", fold]) for fold in FOLDS}
    for fold, model in models.items():
        own = [clip for clip in clips if clip.fold == fold]
        alone = evaluate(model, own, scaled_to_peak=True)
        note("single sounds: windows", alone.window_accuracy)
        note("single sounds: clips", alone.clip_accuracy)
        faint = evaluate(model, louder_sounds(folders["faint", fold], fold), scaled_to_peak=True)
        note("faint second: windows", faint.window_accuracy)
        note("faint second: clips", faint.clip_accuracy)
        if entrant.several_at_once:
            thresholds = np.full(len(model.labels), PUBLISHED_DECISION, np.float32)
            if entrant.own_decisions:
                others = [item for other in FOLDS if other != fold for item in pairs[other]]
                thresholds = np.array(choose_decisions(joined(others)), np.float32)
            alone_as_sets = figures(judged_singles(model, own), model.labels, thresholds)
            for name in ("exact_match", "macro_f1"):
                note(f"single sounds: {name}", alone_as_sets[name])
            together = figures(pairs[fold], model.labels, thresholds)
            for name in PAIR_FIGURES:
                note(f"pairs: {name}", together[name])
    return found


def judged_mixes(model: Model, folder: Path) -> list[Judged]:
    """Windows of mixes, each scaled to its peak."""
    heard = score_mixes(read_mixes(folder).mixes, folder, model.path, scaled_to_peak=True)
    return [item for item in heard if item is not None]


def judged_singles(model: Model, clips: Sequence[Clip]) -> list[Judged]:
    """Single sounds judged as sets: every audible window holds its clip's label and no other."""
    known = [clip for clip in clips if clip.label in model.labels]
    return [
        Judged(np.tile(np.array(model.labels) == clip.label, (len(scores), 1)), scores)
        for clip, scores in zip(known, score_clips(known, model.path, scaled_to_peak=True), strict=True)
        if scores is not None
    ]


def joined(judged: Sequence[Judged]) -> HeardWindows:
    """All windows together."""
    return HeardWindows(
        np.concatenate([item.truth for item in judged]),
        np.concatenate([item.probabilities for item in judged]),
    )


def readable(lines: Sequence[Line]) -> str:
    """A table in Markdown: mean and standard deviation over folds; percent but for F1 and Hamming."""
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    rows = ["| | " + " | ".join(line.network for line in lines) + " |", "|---" * (len(lines) + 1) + "|"]
    for name in names:
        scale, digits = (1.0, 3) if name.endswith(("f1", "hamming")) else (100.0, 1)
        cells = []
        for line in lines:
            values = [scale * value for value in line.figures.get(name, [])]
            spread = stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{fmean(values):.{digits}f} +- {spread:.{digits}f}" if values else "-")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)
