"""The live display: draws in a thread of its own and always gives the terminal back."""

from __future__ import annotations

import atexit
import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from rich.console import Console

from streamer.dashboard.layout import Memory, compose
from streamer.dashboard.picture import Picture, write_svg
from streamer.dashboard.terminal import CLEAR, ENTER, FRAME_BEGINS, FRAME_ENDS, LEAVE, Terminal, size_of
from streamer.dashboard.theme import Theme
from streamer.status import Status

PATIENCE_S = 1.5
"""How long leaving waits for a terminal that takes nothing."""


def can_draw(console: Console | None = None) -> bool:
    """True for a terminal that can be drawn on, standard output by default; elsewhere print lines."""
    console = console or Console()
    return console.is_terminal and not console.is_dumb_terminal


class Dashboard:
    """Shows a status several times a second, between `__enter__` and `__exit__`.

    Only the drawing thread writes to the terminal, so that a terminal that blocks holds up nothing
    but the picture. What goes wrong while drawing is kept and reported in one line at the end.
    On something that is no terminal, or a dumb one, nothing is drawn: see `can_draw`.
    """

    def __init__(
        self,
        snapshot: Callable[[], Status],
        *,
        refresh_hz: float = 6.0,
        console: Console | None = None,
        screenshot: Path | None = None,
    ) -> None:
        """
        Args:
            snapshot: gives the present status; called by the drawing thread.
            refresh_hz: pictures a second.
            console: where to draw; standard output by default.
            screenshot: SVG file that gets the last picture.
        """
        self._snapshot = snapshot
        self._period_s = 1.0 / refresh_hz
        self._console = console or _stdout_console()
        self._screenshot = screenshot
        self._theme = _theme_of(self._console)
        self._memory: Memory | None = None
        self._drawn: Status | None = None
        self._size = (0, 0)
        self._problem = ""
        self._problems = 0
        self._stop = threading.Event()
        self._restored = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        if can_draw(self._console):
            atexit.register(self._leave)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._thread.ident:
            return
        self._leave()
        atexit.unregister(self._leave)
        if self._thread.is_alive():
            return  # the terminal is blocked: a report would block as well
        if self._screenshot is not None:
            self._save(self._screenshot)
        if self._problem:
            print(f"esc-listen: dashboard: {self._problem} (x{self._problems})", file=sys.stderr)

    def _leave(self) -> None:
        """Stop drawing and give the terminal back, in bounded time."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        file = self._console.file
        if not self._restored.is_set() and isinstance(file, Terminal):
            file.write_if_ready(LEAVE)

    def _run(self) -> None:
        try:
            self._attempt(lambda: self._write(ENTER))
            stopping = False
            while not stopping:
                began = time.monotonic()
                self._attempt(self._draw)
                stopping = self._stop.wait(max(0.01, began + self._period_s - time.monotonic()))
        finally:
            self._attempt(lambda: self._write(LEAVE))
            self._restored.set()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Whatever goes wrong here must not end the listening: keep it for the report."""
        try:
            action()
        except Exception as error:
            self._problem = self._problem or f"{type(error).__name__}: {error}"
            self._problems += 1

    def _draw(self) -> None:
        status = self._snapshot()
        self._memory = self._memory.follow(status) if self._memory else Memory.first(status)
        width, height = size = self._measure()
        lines = compose(status, width, height, self._theme, self._memory)
        with self._console.capture() as capture:
            self._console.print(Picture(lines), end="", crop=False)
        clear = CLEAR if size != self._size else ""
        self._write(f"{FRAME_BEGINS}{clear}{capture.get()}{FRAME_ENDS}")
        self._size, self._drawn = size, status

    def _measure(self) -> tuple[int, int]:
        """Present size: the terminal's own word, not that of an environment variable."""
        file = self._console.file
        size = size_of(file.fileno()) if isinstance(file, Terminal) else None
        return size or self._console.size

    def _write(self, text: str) -> None:
        """One write a frame: the terminal never shows half of one for longer than it must."""
        self._console.file.write(text)
        self._console.file.flush()

    def _save(self, path: Path) -> None:
        status, memory = self._drawn, self._memory
        if status is None or memory is None:
            return
        width, height = self._size
        lines = compose(status, width, height, Theme(colour=True), memory)
        self._attempt(lambda: write_svg(lines, width, path))


def _stdout_console() -> Console:
    try:
        return Console(file=cast(IO[str], Terminal.of_stdout()))
    except (OSError, io.UnsupportedOperation):
        return Console()


def _theme_of(console: Console) -> Theme:
    colour = console.color_system is not None and not console.no_color
    many = console.color_system in ("256", "truecolor")
    return Theme(colour, pixels=colour and many and console.encoding.startswith("utf"))
