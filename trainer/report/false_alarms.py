"""How often a model reports a sound that is not there, over the threshold, on real background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.listen import rules_in_force
from streamer.model import Model
from streamer.scorer import Scorer
from streamer.settings import EventSettings
from streamer.smoothing import Smoother
from streamer.tracker import Tracker, TrackerTimes
from streamer.types import Block, Scores
from trainer.datasets import Background, DatasetError, read_background
from trainer.report.colours import BLUE, GREEN, MUTED, SERIES
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import count, listed, percent, plain

THRESHOLDS: NDArray[np.float64] = np.round(np.arange(0.10, 0.96, 0.05), 2)
WORST = 5


@dataclass(frozen=True)
class Alarms:
    """Events on background of one model; none of them is true."""

    labels: tuple[str, ...]
    thresholds: NDArray[np.float64]
    counts: NDArray[np.int64]
    """Shape (thresholds, labels)."""

    own: NDArray[np.int64]
    """With the thresholds of the manifest, shape (labels,)."""

    hours: float
    recordings: int

    @property
    def per_hour(self) -> NDArray[np.float64]:
        """Shape (thresholds, labels)."""
        return self.counts / self.hours


def count_alarms(
    model: Model, backgrounds: Sequence[Background], thresholds: NDArray[np.float64] = THRESHOLDS
) -> Alarms:
    """Let the listener's own smoothing and tracking hear background at each threshold.

    Sounds that may occur in a recording are not counted there; a file that cannot be read is left out.

    Raises:
        DatasetError: none can be read.
    """
    counts = np.zeros((len(thresholds), len(model.labels)), np.int64)
    own = np.zeros(len(model.labels), np.int64)
    seconds, heard = 0.0, 0
    classifier = Classifier(model)
    usable = [at for at, value in enumerate(thresholds) if value < classifier.highest_probability]
    for item in backgrounds:
        try:
            scores, duration_s = _scores(item.path, classifier)
        except SourceError:
            continue
        seconds, heard = seconds + duration_s, heard + 1
        counted = np.array([label not in item.may_contain for label in model.labels])
        own += counted * _events(model, scores, EventSettings())
        for at in usable:
            counts[at] += counted * _events(model, scores, EventSettings(threshold=float(thresholds[at])))
    if not heard:
        raise DatasetError("none of the background recordings can be read")
    return Alarms(model.labels, thresholds, counts, own, seconds / 3600, heard)


def background_for_tests(folder: Path) -> list[Background]:
    """Background that no model has learnt from.

    Raises:
        DatasetError: the folder holds none.
    """
    found = list(read_background(folder, "test"))
    if not found:
        raise DatasetError(f"{folder} lists no background (expected = none) of the split test")
    return found


def _scores(path: Path, classifier: Classifier) -> tuple[list[Scores], float]:
    from trainer.examples.spectrograms import read_mono

    rate_hz = classifier.model.manifest.front_end.sample_rate_hz
    samples = read_mono(path, rate_hz)
    scorer = Scorer(classifier)
    return scorer.push(Block(0, samples))[1] + scorer.finish()[1], len(samples) / rate_hz


def _events(model: Model, scores: Sequence[Scores], settings: EventSettings) -> NDArray[np.int64]:
    """Events of each class, shape (labels,), as the listener would log them."""
    manifest = model.manifest
    rate_hz = manifest.front_end.sample_rate_hz
    smoother = Smoother(manifest.smoothing_s)
    tracker = Tracker(
        rules_in_force(model, settings),
        TrackerTimes(
            rate_hz,
            manifest.hop_s,
            manifest.visible,
            manifest.visible_onset_s,
            manifest.visible_offset_s,
            settings.max_duration_s,
        ),
    )
    nothing = np.zeros(len(model.labels), np.float32)
    sounds = []
    for item in scores:
        raw = nothing if item.probabilities is None else item.probabilities
        sounds += tracker.push(item.window, raw, smoother.push(raw, item.window.end_sample / rate_hz))
    sounds += tracker.finish()
    found = np.zeros(len(model.labels), np.int64)
    for sound in sounds:
        found[model.labels.index(sound.label)] += 1
    return found


def still_heard(predictions: Predictions, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the clips in which their own sound reaches the threshold, shape (thresholds,)."""
    own = predictions.peaks[np.arange(len(predictions.truths)), predictions.truths]
    share: NDArray[np.float64] = (own >= thresholds[:, np.newaxis]).mean(axis=1)
    return share


def false_alarms(
    alarms: Sequence[Alarms],
    predictions: Predictions | None,
    thresholds_in_force: Sequence[float] = (),
    prefix: str = "",
) -> Picture:
    """False alarms an hour over the threshold, above the share of clips that are still heard.

    Args:
        alarms: of each model (fold).
        thresholds_in_force: those of the manifest, marked when all classes share one.
    """
    thresholds, labels = alarms[0].thresholds, alarms[0].labels
    totals = np.array([item.per_hour.sum(axis=1) for item in alarms])
    by_class = np.mean([item.per_hour for item in alarms], axis=0)
    worst = [at for at in np.argsort(-by_class.sum(axis=0), kind="stable")[:WORST] if by_class[:, at].any()]
    shared = thresholds_in_force[0] if len(set(thresholds_in_force)) == 1 else None
    name = f"{prefix}false-alarms"
    shows = _shows(alarms, totals.mean(axis=0), predictions)
    with drawing(WIDTH, 420 if predictions else 300) as figure:
        heights = [5, 2] if predictions else [1]
        panels = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        above = panels[0]
        for at, label in enumerate(worst):
            colour = SERIES[1 + at % (len(SERIES) - 1)]
            above.plot(
                thresholds,
                by_class[:, label],
                color=colour,
                linewidth=1.2,
                label=plain(labels[label]),
                gid=tip(plain(labels[label])),
            )
        if len(totals) > 1:
            for total in totals:
                above.plot(thresholds, total, color=BLUE, alpha=0.35, linewidth=0.9)
        above.plot(
            thresholds, totals.mean(axis=0), color=BLUE, linewidth=2.4, label="all sounds", gid=tip("all")
        )
        above.set_yscale("symlog", linthresh=1.0)
        above.set_ylim(bottom=0)
        above.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
        above.set_title("false alarms an hour")
        above.legend(loc="lower left", fontsize=8.5)
        if predictions:
            panels[1].plot(thresholds, still_heard(predictions, thresholds), color=GREEN)
            panels[1].set_title("clips whose own sound is still reported")
            panels[1].set_ylim(0, 1.02)
            panels[1].yaxis.set_major_formatter(lambda share, _: percent(share, 0))
        if shared is not None:
            for axes in panels:
                axes.axvline(shared, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        panels[-1].set_xlabel("threshold")
        svg = to_svg(figure, name, shows)
    mark = "The dashed line is the threshold in the model. " if shared is not None else ""
    thin = "Each thin blue line is the model of one fold. " if len(alarms) > 1 else ""
    return Picture(
        name,
        "False alarms on background",
        shows,
        "The model listens to recordings in which none of its sounds occurs, so that every event is a "
        f"false alarm. To the right the threshold rises and there are fewer of them, but real sounds are "
        f"missed as well. {thin}{mark}The upper scale is linear below 1 and logarithmic above.",
        svg,
        table=_table(thresholds, totals, predictions),
    )


def _shows(
    alarms: Sequence[Alarms],
    mean: NDArray[np.float64],
    predictions: Predictions | None,
) -> str:
    item = alarms[0]
    own = float(np.mean([each.own.sum() / each.hours for each in alarms]))
    text = (
        f"On {count(item.recordings, 'recording')} ({_lasting(item.hours)}): {own:.1f} false "
        "alarms an hour with the model's own thresholds"
    )
    at = int(np.argmin(np.abs(item.thresholds - 0.5)))
    text += f", {mean[at]:.1f} at a threshold of {item.thresholds[at]:.2f} for all sounds"
    calm = np.flatnonzero(mean < 1.0)
    if not len(calm):
        text += "; no threshold brings them under one an hour"
    elif calm[0] > 0 and mean[at] >= 1.0:
        text += f"; fewer than one an hour from {item.thresholds[calm[0]]:.2f} on"
        if predictions is not None:
            kept = float(still_heard(predictions, item.thresholds)[calm[0]])
            text += f", where {percent(kept, 0)} of the clips are still reported"
    wrong = np.sum([each.own for each in alarms], axis=0)
    most = [at for at in np.argsort(-wrong, kind="stable")[:3] if wrong[at]]
    if most:
        text += f". Most often: {listed([plain(item.labels[label]) for label in most])}"
    return text + "."


def _lasting(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours * 60 >= 2 else f"{hours * 3600:.0f} seconds"


def _table(
    thresholds: NDArray[np.float64], totals: NDArray[np.float64], predictions: Predictions | None
) -> Table:
    heard = still_heard(predictions, thresholds) if predictions is not None else None
    rows = []
    for at, threshold in enumerate(thresholds):
        row = [f"{threshold:.2f}", f"{totals[:, at].mean():.2f}"]
        if heard is not None:
            row.append(percent(float(heard[at])))
        rows.append(tuple(row))
    columns = ("threshold", "false alarms an hour", "clips still reported")
    return Table("False alarms by threshold", columns[: len(rows[0])], tuple(rows))
