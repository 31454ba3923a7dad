"""Bars: input level, probability, progress."""

from __future__ import annotations

import math

from rich.segment import Segment
from rich.style import Style

from streamer.dashboard.cells import Line, blank, cell, finite
from streamer.dashboard.figures import decibels
from streamer.dashboard.theme import Theme
from streamer.status import Level

LOWEST_DBFS = -60.0
SMALLEST_RAW = 0.05
"""Raw probabilities below leave no mark: nearly every class has them."""

SCALE_DBFS = (-60, -48, -36, -24, -18, -12, -6, 0)


def runs(cells: list[tuple[str, Style]]) -> Line:
    """Single cells, neighbours of the same style joined."""
    line: Line = []
    for text, style in cells:
        if line and line[-1].style is style:
            line[-1] = Segment(line[-1].text + text, style)
        else:
            line.append(Segment(text, style))
    return line


def share_of(value: float) -> float:
    """A share between 0 and 1; 0 where it is not a number."""
    return min(1.0, finite(value, 0.0))


def level_bar(level: Level, width: int, theme: Theme) -> Line:
    """Solid up to the RMS level, hollow from there to the peak."""

    def cells_up_to(dbfs: float) -> int:
        above = min(0.0, finite(dbfs, LOWEST_DBFS)) - LOWEST_DBFS
        return math.ceil(above / -LOWEST_DBFS * width)

    rms, peak = cells_up_to(level.rms_dbfs), cells_up_to(level.peak_dbfs)
    bar: list[tuple[str, Style]] = []
    for at in range(width):
        dbfs = LOWEST_DBFS - LOWEST_DBFS * (at + 0.5) / width
        if at < rms:
            bar.append(("■", theme.meter(dbfs)))
        elif at < peak:
            bar.append(("□", theme.meter(dbfs)))
        else:
            bar.append(("·", theme.faint))
    return runs(bar)


def level_figures(level: Level, theme: Theme) -> Line:
    """Peak, RMS and clipping; always 32 cells."""
    peak = theme.meter(level.peak_dbfs) if level.peak_dbfs > LOWEST_DBFS else theme.faint
    clip = Segment(" CLIP ", theme.alarm) if level.clipped else Segment(" clip ", theme.faint)
    return [
        Segment("peak ", theme.faint),
        cell(decibels(level.peak_dbfs), 5, peak, "right"),
        Segment(" rms ", theme.faint),
        cell(decibels(level.rms_dbfs), 5, theme.text, "right"),
        Segment(" dBFS ", theme.faint),
        clip,
    ]


FIGURES_CELLS = 32


def level_line(level: Level, width: int, theme: Theme) -> Line:
    """The meter and its numbers in one line; without room for both, peak and bar only."""
    if width >= FIGURES_CELLS + 16:
        return [
            *level_bar(level, width - FIGURES_CELLS - 2, theme),
            blank(2),
            *level_figures(level, theme),
        ]
    clip = Segment(" CLIP", theme.bad) if level.clipped else blank(0)
    figures = 6 + len(clip.text)
    return [
        *level_bar(level, width - figures, theme),
        cell(decibels(level.peak_dbfs), 6, theme.text, "right"),
        clip,
    ]


def level_scale(width: int, theme: Theme) -> Line:
    """Numbers under a bar of so many cells."""
    marks = [" "] * width
    for dbfs in SCALE_DBFS:
        text = str(dbfs)
        at = round((dbfs - LOWEST_DBFS) / -LOWEST_DBFS * width) - len(text)
        at = max(0, at)
        if at == 0 or marks[at - 1 : at + len(text)] == [" "] * (len(text) + 1):
            marks[at : at + len(text)] = text
    return [Segment("".join(marks), theme.faint)]


def probability_bar(
    smoothed: float, raw: float, threshold: float, width: int, style: Style, theme: Theme
) -> Line:
    """Smoothed probability as a bar, the threshold as a tick, the raw probability as a diamond."""
    if width <= 0:
        return []
    halves = round(share_of(smoothed) * width * 2)
    last = width - 1
    tick = min(last, int(share_of(threshold) * width))
    diamond = min(last, int(share_of(raw) * width))
    bar: list[tuple[str, Style]] = []
    for at in range(width):
        if at == diamond and raw >= SMALLEST_RAW:
            bar.append(("◆", theme.mark))
        elif at == tick:
            bar.append(("┃" if halves > 2 * at else "╎", theme.text if halves > 2 * at else theme.faint))
        elif halves >= 2 * at + 2:
            bar.append(("━", style))
        elif halves == 2 * at + 1:
            bar.append(("╸", style))
        else:
            bar.append(("─" if theme.colour else " ", theme.border))
    return runs(bar)


def progress_bar(done: float, width: int, theme: Theme) -> Line:
    """Share of a file that has been heard."""
    halves = round(share_of(done) * width * 2)
    full, half = divmod(halves, 2)
    rest = width - full - half
    return [
        Segment("━" * full + "╸" * half, theme.accent),
        Segment(("─" if theme.colour else "·") * rest, theme.border),
    ]
