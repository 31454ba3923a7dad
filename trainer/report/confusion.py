"""Which sound is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.report.colours import BLUE, CARD, INK, LINE, MUTED, ORANGE
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import count, percent, plain

MOST = 30
"""Confusions that are listed."""

FEW = 20
"""Names of so many columns may be larger."""

SHARES = 40
"""Room for the percentages at the right."""

STRONG = 0.7
"""From this share on a cell is so strong that its number is written in the colour of the page."""


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that are taken for another one."""

    truth: str
    taken: str
    clips: int
    of: int
    """All clips of the class."""

    @property
    def sentence(self) -> str:
        """In words."""
        return (
            f"{plain(self.truth)} is taken for {plain(self.taken)} ({self.clips} of {count(self.of, 'clip')})"
        )


@dataclass(frozen=True)
class Layout:
    """Sizes of a matrix with names above and at the left, in CSS pixels."""

    columns: int
    rows: int
    cell: float
    margin: float
    """Of the names."""

    letters: float

    @classmethod
    def of(cls, names: Sequence[str], rows: int) -> Layout:
        """As large as a phone is wide, unless the names would become too small for that."""
        letters = 9.5 if len(names) <= FEW else 8.0
        # Letters are about half as wide as high.
        margin = 10 + 0.56 * letters * max(map(len, names))
        cell = (WIDTH - margin - SHARES) / len(names)
        return cls(len(names), rows, min(40.0, max(cell, 1.9 * letters)), margin, letters)

    @property
    def width(self) -> float:
        """Of the drawing."""
        return self.cell * self.columns + self.margin + SHARES

    @property
    def height(self) -> float:
        """Of the drawing."""
        return self.cell * self.rows + self.margin + 8

    @property
    def wide(self) -> bool:
        """Whether it needs the whole page."""
        return self.width > 1.3 * WIDTH

    @property
    def least_px(self) -> int:
        """See `Picture`."""
        return round(1.1 * self.width) if self.wide else 0

    def axes(self, figure: Any) -> Any:
        """The axes of the matrix in its drawing."""
        figure.set_layout_engine("none")
        sides = (self.margin, 8, self.cell * self.columns, self.cell * self.rows)
        whole = (self.width, self.height, self.width, self.height)
        return figure.add_axes([side / of for side, of in zip(sides, whole, strict=True)])


def matrix(predictions: Predictions) -> NDArray[np.int64]:
    """Clips by true class and by decision, shape (labels, labels + 1); the last column: nothing heard."""
    labels = len(predictions.labels)
    counts = np.zeros((labels, labels + 1), np.int64)
    np.add.at(counts, (predictions.truths, predictions.decided), 1)
    return counts


def confusions(predictions: Predictions) -> list[Confusion]:
    """All confusions, the most frequent first."""
    counts = matrix(predictions)
    names = (*predictions.labels, "nothing")
    found = [
        Confusion(names[truth], names[taken], int(counts[truth, taken]), int(counts[truth].sum()))
        for truth, taken in zip(*np.nonzero(counts), strict=True)
        if truth != taken
    ]
    return sorted(found, key=lambda item: (-item.clips / item.of, -item.clips, item.truth, item.taken))


def confusion_matrix(predictions: Predictions, prefix: str = "") -> Picture:
    """The matrix of clips, rows the truth, columns what they are taken for."""
    counts = matrix(predictions)
    rows = predictions.known
    names = [plain(label) for label in predictions.labels]
    columns = list(range(len(names)))
    if counts[:, -1].any():
        names.append("(nothing)")
        columns.append(len(names) - 1)
    found = confusions(predictions)
    name = f"{prefix}confusion"
    layout = Layout.of(names, rows=len(rows))
    with drawing(layout.width, layout.height) as figure:
        axes = layout.axes(figure)
        _cells(axes, counts, rows, columns, names, layout.letters)
        svg = to_svg(figure, name, _shows(predictions, found))
    return Picture(
        name,
        "What each sound is taken for",
        _shows(predictions, found),
        "A row is what a clip really is, a column what it is taken for; the number counts clips, and the "
        "stronger the colour, the larger the share of the row. Blue on the diagonal is right, orange is "
        "a mistake. The percentage at the right is how many of the row are right.",
        svg,
        wide=layout.wide,
        least_px=layout.least_px,
        table=Table(
            "The most frequent confusions",
            ("sound", "taken for", "clips", "of", "share"),
            tuple(
                (
                    plain(item.truth),
                    plain(item.taken),
                    str(item.clips),
                    str(item.of),
                    percent(item.clips / item.of, 0),
                )
                for item in found[:MOST]
            ),
        ),
    )


def _cells(
    axes: Any,
    counts: NDArray[np.int64],
    rows: list[int],
    columns: list[int],
    names: list[str],
    letters: float,
) -> None:
    from matplotlib.patches import Rectangle

    for y, truth in enumerate(rows):
        total = counts[truth].sum()
        for x, taken in enumerate(columns):
            clips = int(counts[truth, taken])
            if not clips:
                continue
            share = clips / total
            said = f"{names[truth]} taken for {names[taken]}: {clips} of {total} ({percent(share, 0)})"
            axes.add_patch(
                Rectangle(
                    (x - 0.5, y - 0.5),
                    1,
                    1,
                    facecolor=BLUE if truth == taken else ORANGE,
                    alpha=0.15 + 0.85 * share,
                    linewidth=0,
                    gid=tip(said),
                )
            )
            colour = CARD if share > STRONG else INK
            axes.text(x, y, str(clips), ha="center", va="center_baseline", fontsize=letters, color=colour)
        right = percent(counts[truth, truth] / total, 0)
        axes.text(len(columns) - 0.3, y, right, va="center_baseline", fontsize=letters, color=MUTED)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), [names[at] for at in columns], rotation=90, fontsize=letters)
    axes.set_yticks(range(len(rows)), [names[at] for at in rows], fontsize=letters)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(color=LINE, linewidth=0.5)


def _shows(predictions: Predictions, found: list[Confusion]) -> str:
    text = f"{percent(predictions.accuracy)} of {count(len(predictions.truths), 'clip')} are right. "
    if not found:
        return text + "There is no confusion at all."
    most = "The worst confusion" + ("" if len(found) == 1 else "s") + ": "
    return text + most + "; ".join(item.sentence for item in found[:3]) + "."
