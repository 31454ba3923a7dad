"""How well each class is recognised, and how much that depends on the fold."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.report.colours import BLUE, INK, LINE, ORANGE
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import count, percent, plain


def recall_by_fold(predictions: Predictions) -> dict[int, list[tuple[int, float]]]:
    """Fold and share of its clips that are right, for every class that has clips."""
    parts = [(fold, predictions.of_fold(fold)) for fold in predictions.fold_numbers]
    return {
        label: [(fold, part.recall(label)) for fold, part in parts if (part.truths == label).any()]
        for label in predictions.known
    }


def interval(hits: int, clips: int) -> tuple[float, float]:
    """Where the true share lies with 95 % confidence (Wilson, 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, clips).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def recall_picture(predictions: Predictions, prefix: str = "") -> Picture:
    """Box and points over the folds; for a single fold a point and its 95 % interval."""
    by_fold = recall_by_fold(predictions)
    order = sorted(by_fold, key=lambda label: (predictions.recall(label), label))
    several = len(predictions.fold_numbers) > 1
    name = f"{prefix}recall"
    shows = _shows(predictions, order)
    with drawing(WIDTH, 70 + 15 * len(order)) as figure:
        axes = figure.subplots()
        places = range(len(order), 0, -1)
        if several:
            axes.boxplot(
                [[share for _, share in by_fold[label]] for label in order],
                positions=places,
                orientation="horizontal",
                widths=0.6,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": BLUE, "alpha": 0.25, "edgecolor": BLUE, "linewidth": 0.8},
                whiskerprops={"color": BLUE, "linewidth": 0.8},
                capprops={"color": BLUE, "linewidth": 0.8},
                medianprops={"color": BLUE, "linewidth": 2},
            )
        for place, label in zip(places, order, strict=True):
            _points(axes, predictions, label, by_fold[label], place, several)
        axes.set_yticks(list(places), [plain(predictions.labels[label]) for label in order], color=INK)
        axes.set_ylim(0.4, len(order) + 0.6)
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.axvline(predictions.accuracy, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("clips of the class that are right; dashed: all clips")
        svg = to_svg(figure, name, shows)
    how = (
        "Each point is a test fold. The box holds the middle half of the folds, the thick line in it is "
        "the median, and the whiskers reach to the farthest fold that is within 1.5 boxes. A wide box "
        "means that it depends on which recordings are asked for."
        if several
        else "There is one fold only, so there is no spread over folds to show. The line is where the "
        "true share lies with 95 % confidence (Wilson): with so few clips it is long."
    )
    return Picture(
        name,
        "How well each sound is recognised",
        shows,
        how,
        svg,
        table=_table(predictions, order, by_fold),
    )


def _points(
    axes: Any,
    predictions: Predictions,
    label: int,
    shares: list[tuple[int, float]],
    place: int,
    several: bool,
) -> None:
    name = plain(predictions.labels[label])
    if not several:
        those = predictions.truths == label
        low, high = interval(int(predictions.right[those].sum()), int(those.sum()))
        axes.plot([low, high], [place, place], color=BLUE, alpha=0.45, linewidth=1.5)
    # Folds with equal shares stand beside each other.
    offsets = np.linspace(-0.22, 0.22, len(shares)) if len(shares) > 1 else [0.0]
    for (fold, share), offset in zip(shares, offsets, strict=True):
        axes.plot(
            share,
            place + offset,
            "o",
            markersize=3.4,
            color=BLUE,
            clip_on=False,
            gid=tip(f"{name}, fold {fold}: {percent(share)}"),
        )
    axes.axhline(place, color=LINE, linewidth=0.5, zorder=0.5)


def _shows(predictions: Predictions, order: list[int]) -> str:
    def named(label: int) -> str:
        return f"{plain(predictions.labels[label])} ({percent(predictions.recall(label), 0)})"

    if predictions.right.all():
        return f"All {len(order)} sounds are recognised without a mistake."
    few = min(3, len(order))
    perfect = sum(predictions.recall(label) == 1.0 for label in order)
    text = f"Least recognised: {', '.join(named(label) for label in order[:few])}. "
    if perfect:
        return text + f"{count(perfect, 'sound')} of {len(order)} without a mistake."
    return text + f"Best: {', '.join(named(label) for label in order[::-1][:few])}."


def _table(predictions: Predictions, order: list[int], by_fold: dict[int, list[tuple[int, float]]]) -> Table:
    folds = predictions.fold_numbers
    rows = []
    for label in order:
        shares = dict(by_fold[label])
        cells = [percent(shares[fold], 0) if fold in shares else "" for fold in folds]
        clips = int((predictions.truths == label).sum())
        rows.append(
            (plain(predictions.labels[label]), percent(predictions.recall(label), 0), str(clips), *cells)
        )
    named = tuple(f"fold {fold}" for fold in folds)
    return Table("Every sound, the least recognised first", ("sound", "right", "clips", *named), tuple(rows))
