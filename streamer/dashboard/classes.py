"""The classes: which rows are worth showing, in a calm order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from streamer.dashboard.cells import Line, blank, cell, clean, finite, printable
from streamer.dashboard.figures import share
from streamer.dashboard.meters import probability_bar
from streamer.dashboard.theme import Theme
from streamer.status import ClassStatus

MARGIN = 0.06
"""A class keeps its rank until its smoothed probability has moved by more than this."""

LABEL_CELLS = (10, 18)
"""Narrowest and widest column of labels."""


@dataclass(frozen=True)
class Ranking:
    """Order of the rows, kept from one frame to the next so that they do not jump."""

    order: tuple[int, ...]
    """Indices of classes, the first row first."""

    held: tuple[float, ...]
    """Probability by which each class is ranked."""

    @classmethod
    def first(cls, classes: Sequence[ClassStatus]) -> Ranking:
        """The order for a first picture."""
        held = tuple(finite(item.smoothed, 0.0) for item in classes)
        return cls(_sorted(range(len(held)), held, classes), held)

    def follow(self, classes: Sequence[ClassStatus]) -> Ranking:
        """The order for the next picture."""
        if len(classes) != len(self.held):
            return Ranking.first(classes)
        held = tuple(
            kept if abs(finite(item.smoothed, 0.0) - kept) <= MARGIN else finite(item.smoothed, 0.0)
            for item, kept in zip(classes, self.held, strict=True)
        )
        return Ranking(_sorted(self.order, held, classes), held)


def _sorted(order: Sequence[int], held: Sequence[float], classes: Sequence[ClassStatus]) -> tuple[int, ...]:
    """Active classes first, then the most probable; equals stay as they are."""
    return tuple(sorted(order, key=lambda i: (not classes[i].active, -held[i])))


def class_rows(
    classes: Sequence[ClassStatus], ranking: Ranking, width: int, height: int, theme: Theme
) -> list[Line]:
    """One line a class, as many as fit."""
    shown = [classes[i] for i in ranking.order[:height]]
    narrowest, widest = LABEL_CELLS
    widest_label = max((cell_len(clean(item.label)) for item in classes), default=0)
    room = max(narrowest, min(widest, width - 24))
    label_cells = min(room, max(narrowest, widest_label))
    return [_row(item, label_cells, width, theme) for item in shown]


def _row(item: ClassStatus, label_cells: int, width: int, theme: Theme) -> Line:
    if item.active:
        mark, name, figure, bar = "● ", theme.live, theme.live, theme.live
    elif item.smoothed >= 0.05:
        mark, name, figure, bar = "  ", theme.text, theme.text, theme.accent
    else:
        mark, name, figure, bar = "  ", theme.faint, theme.faint, theme.accent
    label = printable(item.label)
    raw_cells = 6 if width >= label_cells + 28 else 0
    bar_cells = width - 2 - label_cells - 1 - 5 - raw_cells
    if bar_cells < 4:
        return [
            cell(mark, 2, name),
            cell(label, width - 7, name),
            cell(share(item.smoothed), 5, figure, "right"),
        ]
    line = [cell(mark, 2, name), cell(label, label_cells, name), blank(1)]
    line += probability_bar(item.smoothed, item.probability, item.on_threshold, bar_cells, bar, theme)
    line.append(cell(share(item.smoothed), 5, figure, "right"))
    if raw_cells:
        line.append(cell(share(item.probability), raw_cells, theme.faint, "right"))
    return line
