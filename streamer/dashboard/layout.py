"""Where everything stands, for every size of terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment

from streamer.dashboard import panels, spectrogram
from streamer.dashboard.cells import Line, beside, blank, box, cell, crop, fill
from streamer.dashboard.classes import Ranking, class_rows
from streamer.dashboard.figures import decibels, hertz
from streamer.dashboard.health import health_line, health_rows
from streamer.dashboard.meters import FIGURES_CELLS, level_bar, level_figures, level_line, level_scale
from streamer.dashboard.theme import Theme
from streamer.status import Status

SMALLEST = (20, 5)
FULL = (60, 16)
"""Width and height from which on everything has a pane of its own."""

WIDE = 112
"""Width from which on classes, events and health stand side by side."""

TALL = 30
"""Height from which on the level has a pane and a scale."""

GUTTER_CELLS = 5
"""For the frequency labels beside the spectrogram."""


@dataclass(frozen=True)
class Memory:
    """What stays from one picture to the next, so that it does not jump."""

    scale: spectrogram.Scale
    ranking: Ranking

    @classmethod
    def first(cls, status: Status) -> Memory:
        """For a first picture."""
        return cls(spectrogram.Scale.first(status), Ranking.first(status.classes))

    def follow(self, status: Status) -> Memory:
        """For the next picture."""
        return Memory(self.scale.follow(status), self.ranking.follow(status.classes))


def compose(status: Status, width: int, height: int, theme: Theme, memory: Memory) -> list[Line]:
    """Exactly `height` lines of exactly `width` cells."""
    inner_width, inner_height = max(width, SMALLEST[0]), max(height, SMALLEST[1])
    if inner_width >= FULL[0] and inner_height >= FULL[1]:
        lines = _full(status, inner_width, inner_height, theme, memory)
    else:
        lines = _essentials(status, inner_width, inner_height, theme, memory)
    if (inner_width, inner_height) != (width, height):
        lines = [crop(line, width) for line in lines[:height]]
    return lines


def _full(status: Status, width: int, height: int, theme: Theme, memory: Memory) -> list[Line]:
    top = [panels.header(status, width, theme)]
    if status.total_s is not None:
        top.append([blank(1), *panels.progress_line(status, width - 2, theme), blank(1)])
    top += _input(status, width, height, theme)
    bottom = [panels.footer(status, width, theme)]
    stacked = width < WIDE
    if stacked and (height < 22 or width < 76):
        bottom.insert(0, health_line(status, width, theme))
    rest = height - len(top) - len(bottom)
    lists = max(7, min(round(rest * 0.56), len(status.classes) + 2 if not stacked else rest, 30))
    lists = max(lists, rest - 34, 12 if rest >= 21 else 7)
    picture = _sound(status, width, rest - lists, theme, memory)
    return [*top, *picture, *_lists(status, width, lists, theme, memory, len(bottom) == 1), *bottom]


def _input(status: Status, width: int, height: int, theme: Theme) -> list[Line]:
    alarm = panels.alarm_text(status)
    if height < TALL:
        if alarm:
            return [panels.alarm_line(alarm, status, width, theme)]
        label = Segment(" level  ", theme.faint)
        return [[label, *level_line(status.level, width - 9, theme), blank(1)]]
    inside = width - 4
    if alarm:
        lines = [panels.alarm_line(alarm, status, inside, theme), [blank(inside)]]
    else:
        bar_cells = inside - FIGURES_CELLS - 2
        lines = [
            [*level_bar(status.level, bar_cells, theme), blank(2), *level_figures(status.level, theme)],
            [*level_scale(bar_cells, theme), blank(inside - bar_cells)],
        ]
    return box("level", lines, width, 4, theme)


def _sound(status: Status, width: int, height: int, theme: Theme, memory: Memory) -> list[Line]:
    columns = width - 4 - GUTTER_CELLS
    rows = height - 2
    labels = spectrogram.frequency_labels(status.band_hz, rows)
    painted = spectrogram.paint(status, memory.scale, columns, rows, theme)
    lines = [
        [cell(label, GUTTER_CELLS - 1, theme.faint, "right"), blank(1), *line]
        for label, line in zip(labels, painted, strict=True)
    ]
    scale = memory.scale
    key = [
        Segment(f"{decibels(scale.low_db)} ", theme.faint),
        *theme.heat_key(12),
        Segment(f" {decibels(scale.high_db)} dB", theme.faint),
    ]
    title = "sound"
    if status.band_hz:
        title += f"  {hertz(status.band_hz[0])} to {hertz(status.band_hz[-1])} Hz"
    axis = spectrogram.time_axis(columns, GUTTER_CELLS + 1, status.frames_per_s) + "─"
    return box(title, lines, width, height, theme, key, axis)


def _lists(
    status: Status, width: int, height: int, theme: Theme, memory: Memory, with_health: bool
) -> list[Line]:
    if width >= WIDE:
        health_cells = min(40, width // 4)
        events_cells = min(64, round((width - health_cells) * 0.46))
        classes = _classes(status, width - health_cells - events_cells, height, theme, memory)
        events = _events(status, events_cells, height, theme)
        return beside(classes, events, _health(status, health_cells, height, theme))
    right_cells = round(width * 0.49)
    classes = _classes(status, width - right_cells, height, theme, memory)
    if not with_health:
        return beside(classes, _events(status, right_cells, height, theme))
    health_lines = 6 if height < 22 else 11
    right = _events(status, right_cells, height - health_lines, theme)
    return beside(classes, right + _health(status, right_cells, health_lines, theme))


def _classes(status: Status, width: int, height: int, theme: Theme, memory: Memory) -> list[Line]:
    rows = class_rows(status.classes, memory.ranking, width - 4, height - 2, theme)
    legend = [Segment("◆", theme.mark), Segment(" raw ", theme.faint)]
    legend += [Segment("╎", theme.text), Segment(" on", theme.faint)]
    return box("classes", rows, width, height, theme, legend)


def _events(status: Status, width: int, height: int, theme: Theme) -> list[Line]:
    return box("events", panels.event_rows(status, width - 4, height - 2, theme), width, height, theme)


def _health(status: Status, width: int, height: int, theme: Theme) -> list[Line]:
    return box("health", health_rows(status, width - 4, height - 2, theme), width, height, theme)


def _essentials(status: Status, width: int, height: int, theme: Theme, memory: Memory) -> list[Line]:
    """State, level and classes; a spectrogram, events and the rest where lines are left."""
    top = [panels.header(status, width, theme)]
    if status.total_s is not None and height >= 8:
        top.append(panels.progress_line(status, width, theme))
    alarm = panels.alarm_text(status)
    top.append(
        panels.alarm_line(alarm, status, width, theme) if alarm else level_line(status.level, width, theme)
    )
    bottom: list[Line] = []
    if height >= 6:
        bottom.append(panels.event_rows(status, width, 1, theme)[0])
    if height >= 9:
        bottom.append(health_line(status, width, theme))
    if height >= 8:
        bottom.append(panels.footer(status, width, theme))
    rest = height - len(top) - len(bottom)
    picture_rows = rest // 2 if rest >= 6 else 0
    picture = spectrogram.paint(status, memory.scale, width, picture_rows, theme)
    rows = class_rows(status.classes, memory.ranking, width, rest - picture_rows, theme)
    return [*top, *picture, *fill(rows, width, rest - picture_rows), *bottom]
