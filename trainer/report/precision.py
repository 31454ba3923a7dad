"""Precision and recall over the threshold, for all sounds together and for the worst ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.report.colours import BLUE, INK, MUTED, ORANGE
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import percent, plain

WORST = 10


@dataclass(frozen=True)
class Curve:
    """Precision over recall of one class against all other clips."""

    label: str
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    average_precision: float
    """Mean precision, weighted by the steps of recall; chance is the share of the class."""


def curve_of(predictions: Predictions, label: int) -> Curve:
    """The curve of one class by the mean probability of each clip."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    truth, score = predictions.truths == label, predictions.probabilities[:, label]
    precision, recall, _ = precision_recall_curve(truth, score)
    return Curve(predictions.labels[label], precision, recall, float(average_precision_score(truth, score)))


def micro_curve(predictions: Predictions) -> Curve:
    """All decisions about any clip and any class together."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    known = predictions.known
    truth = (predictions.truths[:, np.newaxis] == known).ravel()
    score = predictions.probabilities[:, known].ravel()
    precision, recall, _ = precision_recall_curve(truth, score)
    return Curve("all", precision, recall, float(average_precision_score(truth, score)))


def drawn(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision to draw: of thresholds that find equally much only the most precise one."""
    recall = np.unique(curve.recall)
    precision = np.array([curve.precision[curve.recall == at].max() for at in recall])
    return recall, precision


def macro_precision(curves: list[Curve], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes of the best precision that is left at each recall."""
    best = [
        [float(curve.precision[curve.recall >= recall - 1e-12].max()) for recall in at] for curve in curves
    ]
    mean: NDArray[np.float64] = np.mean(best, axis=0)
    return mean


def precision_recall(predictions: Predictions, prefix: str = "") -> list[Picture]:
    """One picture for all sounds, one with the ten worst."""
    curves = sorted(
        (curve_of(predictions, label) for label in predictions.known),
        key=lambda curve: (curve.average_precision, curve.label),
    )
    return [_together(predictions, curves, prefix), _worst(predictions, curves[:WORST], prefix)]


def _together(predictions: Predictions, curves: list[Curve], prefix: str) -> Picture:
    micro = micro_curve(predictions)
    macro = float(np.mean([curve.average_precision for curve in curves]))
    at = np.linspace(0.0, 1.0, 101)
    name = f"{prefix}precision-recall"
    shows = (
        f"Mean average precision over the sounds: {macro:.3f}; of all decisions together: "
        f"{micro.average_precision:.3f}."
    )
    with drawing(WIDTH, 360) as figure:
        axes = figure.subplots()
        axes.plot(*drawn(micro), color=BLUE, label="all decisions (micro)", drawstyle="steps-pre")
        axes.plot(at, macro_precision(curves, at), color=ORANGE, label="mean of the sounds (macro)")
        axes.legend(loc="lower left")
        _limits(axes)
        axes.set_xlabel("recall: share of the sounds that are found")
        axes.set_ylabel("precision: share of the finds that are right")
        svg = to_svg(figure, name, shows)
    rows = tuple((plain(curve.label), f"{curve.average_precision:.3f}") for curve in curves)
    return Picture(
        name,
        "How much is found at what price",
        shows,
        "Each point of a line is a threshold. Far right: almost everything is found; high up: almost "
        "everything that is found is right. The nearer to the corner at the upper right, the better.",
        svg,
        table=Table(
            "Average precision of every sound, the worst first", ("sound", "average precision"), rows
        ),
    )


def _worst(predictions: Predictions, curves: list[Curve], prefix: str) -> Picture:
    name = f"{prefix}precision-recall-worst"
    first = curves[0]
    shows = (
        f"{plain(first.label).capitalize()} has the lowest average precision, {first.average_precision:.2f}."
    )
    rows = -(-len(curves) // 2)
    with drawing(WIDTH, 40 + 108 * rows) as figure:
        grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
        for axes, curve in zip(grid.flat, curves, strict=False):
            said = tip(f"{plain(curve.label)}: {curve.average_precision:.2f}")
            axes.plot(*drawn(curve), color=BLUE, linewidth=1.5, drawstyle="steps-pre", gid=said)
            axes.fill_between(*drawn(curve), color=BLUE, alpha=0.15, step="pre", linewidth=0)
            axes.set_title(f"{plain(curve.label)}  {curve.average_precision:.2f}", fontsize=9.5, color=INK)
            _limits(axes)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        figure.supxlabel("recall", color=MUTED, fontsize=10)
        figure.supylabel("precision", color=MUTED, fontsize=10)
        svg = to_svg(figure, name, shows)
    return Picture(
        name,
        f"The {'ten' if len(curves) == 10 else len(curves)} sounds hardest to pick out"
        if len(curves) < len(predictions.known)
        else "Each sound by itself",
        shows,
        "One small picture a sound, read like the one for all sounds; the number is its average precision.",
        svg,
    )


def _limits(axes: Any) -> None:
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda share, _: percent(share, 0))
        axis.set_ticks([0, 0.5, 1])
