"""Colours and styles.

All accents are of medium brightness, readable on dark and on light backgrounds; what is neither good
nor bad keeps the terminal's own foreground.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

HEAT_LEVELS = 40
"""Steps of the colour map: finer ones are not told apart, but cost bytes on every frame."""

HEAT_POINTS = (
    (0.00, (13, 10, 32)),
    (0.20, (52, 20, 92)),
    (0.40, (119, 31, 110)),
    (0.58, (188, 55, 84)),
    (0.75, (231, 106, 44)),
    (0.89, (247, 176, 50)),
    (1.00, (252, 242, 174)),
)
"""Dark violet over red and orange to pale yellow; brightness rises evenly."""

SHADES = " ·░▒▓█"
"""The same scale without colours."""


def heat_map(levels: int = HEAT_LEVELS) -> NDArray[np.uint8]:
    """Colours from quiet to loud, shape (levels, 3)."""
    at = np.linspace(0.0, 1.0, levels)
    positions = [position for position, _ in HEAT_POINTS]
    channels = [np.interp(at, positions, [rgb[c] for _, rgb in HEAT_POINTS]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _accent(rgb: str, colour: bool, bold: bool = False, bold_in_grey: bool = False) -> Style:
    if not colour:
        return Style(bold=bold or bold_in_grey or None)
    return Style(color=Color.parse(rgb), bold=bold or None)


class Theme:
    """Styles of one kind of terminal.

    A rich `Style` remembers its escape codes for the first terminal that it is drawn on, so each
    terminal gets a theme of its own.
    """

    def __init__(self, colour: bool, pixels: bool | None = None) -> None:
        """
        Args:
            colour: use colours at all.
            pixels: draw the spectrogram with two coloured pixels a cell; needs at least 256 colours.
        """
        self.colour = colour
        self.pixels = colour if pixels is None else pixels
        self.text = Style()
        self.strong = Style(bold=True)
        self.faint = Style(color=Color.parse("#7f8791")) if colour else Style(dim=True)
        self.border = Style(color=Color.parse("#5f6b7a")) if colour else Style(dim=True)
        self.title = _accent("#4c9fd8", colour, bold=True)
        self.accent = _accent("#4c9fd8", colour)
        self.good = _accent("#43a662", colour)
        self.live = _accent("#43a662", colour, bold=True)
        self.warm = _accent("#c98a1b", colour, bold_in_grey=True)
        self.bad = _accent("#dc5050", colour, bold=True)
        self.mark = _accent("#d9783c", colour, bold_in_grey=True)
        self.alarm = Style(color=Color.parse("#f4f0ee"), bgcolor=Color.parse("#c23b3b"), bold=True)
        self.caution = Style(color=Color.parse("#1f1a10"), bgcolor=Color.parse("#d9982a"), bold=True)
        if not colour:
            self.alarm = self.caution = Style(reverse=True, bold=True)
        self._heat = [Color.from_rgb(*(int(value) for value in rgb)) for rgb in heat_map()]
        self._cells: dict[int, Style] = {}

    def meter(self, dbfs: float) -> Style:
        """Style of a level: calm, high, close to clipping."""
        if dbfs >= -6.0:
            return self.bad
        return self.warm if dbfs >= -18.0 else self.good

    def heat_pair(self, upper: int, lower: int, cells: int) -> Segment:
        """Cells with one heat level above another; levels from 0 to `HEAT_LEVELS` - 1."""
        key = upper * HEAT_LEVELS + lower
        style = self._cells.get(key)
        if style is None:
            above, below = self._heat[upper], self._heat[lower]
            style = Style(bgcolor=below) if upper == lower else Style(color=above, bgcolor=below)
            self._cells[key] = style
        return Segment((" " if upper == lower else "▀") * cells, style)

    def heat_key(self, cells: int) -> Sequence[Segment]:
        """The scale from quiet to loud, as a legend."""
        if not self.pixels:
            shades = [SHADES[i * len(SHADES) // cells] for i in range(cells)]
            return [Segment("".join(shades), self.text)]
        levels = [i * (HEAT_LEVELS - 1) // max(1, cells - 1) for i in range(cells)]
        return [Segment("▄", Style(color=self._heat[level])) for level in levels]
