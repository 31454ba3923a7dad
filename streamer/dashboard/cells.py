"""Lines of terminal cells: exact widths, text from outside made harmless, boxes."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from streamer.dashboard.theme import Theme

Line = list[Segment]
"""Segments side by side; whoever builds one knows its width in cells."""

_UNSAFE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories that move the cursor, turn the text around, or cannot be encoded."""


@lru_cache(maxsize=2048)
def clean(text: str) -> str:
    """Text from outside with every character that could disturb the terminal replaced."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNSAFE else c for c in text)


@lru_cache(maxsize=4096)
def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Cleaned text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    text = clean(text)
    size = cell_len(text)
    if size > width:
        cut = set_cell_size(text, width - 1).rstrip() + "…"
        return set_cell_size(cut, width)
    space = " " * (width - size)
    return space + text if align == "right" else text + space


def cell(text: str, width: int, style: Style, align: Literal["left", "right"] = "left") -> Segment:
    """`fit` with a style."""
    return Segment(fit(text, width, align), style)


def blank(width: int) -> Segment:
    """So many empty cells."""
    return Segment(" " * max(0, width))


def spread(left: Sequence[Segment], right: Sequence[Segment], width: int) -> Line:
    """One part at each end of the line; without room for both, the right one goes."""
    used, needed = line_width(left), line_width(right)
    if used + needed > width:
        return crop(left, width)
    return [*left, blank(width - used - needed), *right]


def line_width(line: Iterable[Segment]) -> int:
    """Cells that the line takes."""
    return sum(cell_len(segment.text) for segment in line)


def crop(line: Sequence[Segment], width: int) -> Line:
    """The line cut or padded to exactly `width` cells."""
    return Segment.adjust_line_length(list(line), width)


def fill(lines: Sequence[Line], width: int, height: int) -> list[Line]:
    """Lines of that width, cut or padded to exactly `height` of them."""
    return [*lines[:height], *([blank(width)] for _ in range(height - len(lines)))]


def box(
    title: str,
    lines: Sequence[Line],
    width: int,
    height: int,
    theme: Theme,
    note: Sequence[Segment] = (),
    bottom: str = "",
) -> list[Line]:
    """A rounded border around lines of width - 4 cells.

    Args:
        note: drawn into the upper border at the right.
        bottom: replaces the lower border, without its corners; width - 2 cells.
    """
    edge = theme.border
    heading = [Segment("╭─ ", edge), Segment(title, theme.title), Segment(" ", edge)]
    ending = [Segment(" ", edge), *note, Segment(" ─╮", edge)] if note else [Segment("╮", edge)]
    rule = width - line_width(heading) - line_width(ending)
    if rule < 0:
        ending = [Segment("╮", edge)]
        rule = width - line_width(heading) - 1
    top = [*heading, Segment("─" * rule, edge), *ending]
    left, right = Segment("│ ", edge), Segment(" │", edge)
    body = [[left, *line, right] for line in fill(lines, width - 4, height - 2)]
    return [top, *body, [Segment(f"╰{bottom or '─' * (width - 2)}╯", edge)]]


def beside(*panes: Sequence[Line]) -> list[Line]:
    """Panes of the same height next to each other."""
    return [[segment for line in row for segment in line] for row in zip(*panes, strict=True)]


def printable(label: str) -> str:
    """A class label for people: snake_case with spaces."""
    return label.replace("_", " ")


def finite(value: float, lowest: float) -> float:
    """The value, or `lowest` where it is not a number or below."""
    return lowest if math.isnan(value) else max(lowest, value)
