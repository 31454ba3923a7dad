"""Whether a probability means what it says: reliability diagram and calibration error.

Guo et al., "On calibration of modern neural networks", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.judging.clips import ECE_BINS
from trainer.report.colours import BLUE, MUTED, ORANGE
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import count, percent

FEW = 5
"""A bin with fewer clips is drawn pale: it says little."""


@dataclass(frozen=True)
class Bin:
    """Clips whose confidence lies in one bin."""

    low: float
    high: float
    clips: int
    confidence: float
    """Mean of the probabilities of what the clips are taken for."""

    accuracy: float
    """Share of the clips that are right."""


def bins_of(predictions: Predictions, bins: int = ECE_BINS) -> list[Bin]:
    """The bins that hold clips, equally wide."""
    confidence, right = predictions.confidence, predictions.right
    at = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(
            place / bins,
            (place + 1) / bins,
            int((at == place).sum()),
            float(confidence[at == place].mean()),
            float(right[at == place].mean()),
        )
        for place in range(bins)
        if (at == place).any()
    ]


def reliability(predictions: Predictions, prefix: str = "") -> Picture:
    """The diagram, above how many clips there are at each confidence."""
    bins = bins_of(predictions)
    name = f"{prefix}reliability"
    shows = _shows(predictions)
    with drawing(WIDTH, 440) as figure:
        above, below = figure.subplots(2, sharex=True, height_ratios=[4, 1])
        above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for item in bins:
            width = item.high - item.low
            said = (
                f"confidence {percent(item.low, 0)} to {percent(item.high, 0)}: "
                f"{count(item.clips, 'clip')}, {percent(item.accuracy, 0)} right"
            )
            alpha = 0.35 if item.clips >= FEW else 0.12
            above.bar(item.low, item.accuracy, width * 0.94, align="edge", color=BLUE, alpha=alpha)
            above.plot(
                [item.confidence] * 2,
                [item.confidence, item.accuracy],
                color=ORANGE,
                linewidth=2.2,
                alpha=0.7,
            )
            above.plot(item.confidence, item.accuracy, "o", color=BLUE, markersize=5, gid=tip(said))
            below.bar(item.low, item.clips, width * 0.94, align="edge", color=MUTED, alpha=0.5)
        above.set_ylim(0, 1.02)
        above.set_xlim(0, 1)
        above.set_ylabel("clips that are right")
        below.set_ylabel("clips")
        below.set_xlabel("confidence: probability of what the clip is taken for")
        for axis in (above.yaxis, below.xaxis):
            axis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        svg = to_svg(figure, name, shows)
    rows = [("all", str(len(predictions.truths)), percent(float(predictions.confidence.mean())),
             percent(predictions.accuracy), f"{predictions.ece:.3f}")]  # fmt: skip
    for fold in predictions.fold_numbers:
        part = predictions.of_fold(fold)
        mean = percent(float(part.confidence.mean()))
        rows.append((f"fold {fold}", str(len(part.truths)), mean, percent(part.accuracy), f"{part.ece:.3f}"))
    return Picture(
        name,
        "Does a probability mean what it says?",
        shows,
        "Each bar holds the clips whose decision had about that probability; its height is how many of "
        "them are right. On the dashed line a 70 % is right in 70 of 100 cases. An orange line below it "
        "is how much too sure the model is, above it how much too modest. Pale bars hold fewer than "
        f"{FEW} clips; the small bars below count them.",
        svg,
        table=Table(
            f"Calibration error over {ECE_BINS} bins",
            ("clips of", "clips", "mean confidence", "right", "ECE"),
            tuple(rows),
        ),
    )


def _shows(predictions: Predictions) -> str:
    gap = float(predictions.confidence.mean()) - predictions.accuracy
    text = f"The calibration error (ECE) is {predictions.ece:.3f}. "
    if abs(gap) < 0.01:
        return text + "On the whole it is as sure as it is right."
    how = "too sure" if gap > 0 else "too modest"
    return text + (
        f"On the whole it is {how}: it says {percent(float(predictions.confidence.mean()), 0)} "
        f"and is right in {percent(predictions.accuracy, 0)}."
    )
