"""The terminal itself: raw writes that never leave it in disorder."""

from __future__ import annotations

import io
import os
import select
import sys

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""Alternate screen, no cursor, no wrapping at the right edge, all clear."""

LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The opposite."""

FRAME_BEGINS = "\x1b[?2026h\x1b[H"
"""Hold the display (where the terminal can) and go to the upper left corner."""

FRAME_ENDS = "\x1b[H\x1b[?2026l"
"""Back to the corner, where keys that are pressed do no harm; show the frame."""

CLEAR = "\x1b[2J"

ASCII = str.maketrans("╭╮╰╯│─━╸┃╎■□·●○▲◆→…░▒▓█▀▄\N{REPLACEMENT CHARACTER}", '++++|-=-|:#+.*oA*>~:+%@"_?')
"""Stand-ins where the terminal is not UTF-8."""


class Terminal(io.TextIOBase):
    """Text file that writes straight to the file descriptor of a terminal.

    Without Python's buffer and its lock, a writer that is blocked by the terminal (Ctrl-S, a dead
    connection) holds up nobody else, not even the end of the program.
    """

    def __init__(self, fd: int, encoding: str) -> None:
        self._fd = fd
        self._encoding = encoding
        self.is_utf8 = encoding.lower().replace("-", "").replace("_", "") == "utf8"

    @classmethod
    def of_stdout(cls) -> Terminal:
        """The terminal behind standard output."""
        return cls(sys.stdout.fileno(), sys.stdout.encoding or "ascii")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Read by rich."""
        return self._encoding

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not self.is_utf8:
            text = text.translate(ASCII)
        data = memoryview(text.encode(self._encoding, "replace"))
        while data:
            data = data[os.write(self._fd, data) :]
        return len(text)

    def write_if_ready(self, text: str) -> None:
        """Write a short text, unless the terminal takes nothing at the moment."""
        _, ready, _ = select.select([], [self._fd], [], 0)
        if ready:
            self.write(text)


def size_of(fd: int) -> tuple[int, int] | None:
    """Columns and lines of a terminal, None if it does not say."""
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        return None
    return (columns, lines) if columns > 0 and lines > 0 else None
