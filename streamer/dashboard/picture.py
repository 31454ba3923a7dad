"""A finished picture, for a terminal or for a file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.terminal_theme import TerminalTheme

from streamer.dashboard.cells import Line
from streamer.dashboard.layout import Memory, compose
from streamer.dashboard.theme import Theme
from streamer.status import Status

SVG_THEME = TerminalTheme((24, 26, 31), (205, 209, 214), [(0, 0, 0)] * 8)
"""Background and foreground; the sixteen colours are not used."""


SVG_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font: {char_height}px/{line_height}px ui-monospace, Menlo, "DejaVu Sans Mono", Consolas, monospace;
}}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Filled in by rich. Unlike rich's own format, it fetches no font from the network."""


@dataclass(frozen=True)
class Picture:
    """Finished lines as a rich renderable; no line feed after the last one."""

    lines: Sequence[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for at, line in enumerate(self.lines):
            if at:
                yield Segment.line()
            yield from line


def render(status: Status, width: int, height: int, colour: bool) -> RenderableType:
    """A picture of the status that fills exactly width x height cells."""
    return Picture(compose(status, width, height, Theme(colour), Memory.first(status)))


def save_svg(status: Status, path: Path, width: int = 110, height: int = 32) -> None:
    """Write the picture as an SVG file.

    Raises:
        OSError: the file cannot be written.
    """
    write_svg(compose(status, width, height, Theme(True), Memory.first(status)), width, path)


def write_svg(lines: Sequence[Line], width: int, path: Path) -> None:
    """Write finished lines as an SVG file."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=width,
        height=len(lines),
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
        legacy_windows=False,
    )
    console.print(Picture(lines), end="", crop=False)
    svg = console.export_svg(title="esc-listen", theme=SVG_THEME, code_format=SVG_FORMAT)
    path.write_text(svg, encoding="utf-8")
