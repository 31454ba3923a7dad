"""The event log: a CSV file that is only ever appended to."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path

from streamer.errors import SinkError
from streamer.sinks.row import COLUMNS, row
from streamer.types import Event

LONGEST_HEADER = 10_000
"""Bytes of a first line that are looked at."""


class CsvLog:
    """Appends one row an event and hands it to the system at once.

    UTF-8, comma, quoting as in RFC 4180, lines end in a line feed. An existing file is continued when
    its header begins with our columns.

    Raises:
        SinkError: the file cannot be written, or it is another kind of file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._extra_columns = 0
        try:
            if not path.parent.is_dir():
                raise SinkError(f"cannot log to {path}: there is no folder {path.parent}; create it first")
            if path.exists() and not path.is_file():
                raise SinkError(f"cannot log to {path}: it is not an ordinary file")
            self._file = path.open("ab", buffering=0)
            try:
                if self._file.seek(0, os.SEEK_END) == 0:
                    self._append(",".join(COLUMNS) + "\n")
                else:
                    self._continue_file()
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise SinkError(f"cannot log to {path}: {error.strerror}") from error

    def _continue_file(self) -> None:
        with self.path.open("rb") as file:
            first = file.readline(LONGEST_HEADER).decode("utf-8", "replace")
            header = first.lstrip("\ufeff").rstrip("\r\n").split(",")
            if tuple(header[: len(COLUMNS)]) != COLUMNS:
                raise SinkError(
                    f"{self.path} is not an event log of esc-listen (its first line is not "
                    f"{','.join(COLUMNS)}); choose another file with --csv"
                )
            self._extra_columns = len(header) - len(COLUMNS)
            quotes, last = 0, first[-1:].encode()
            while part := file.read(1 << 20):
                quotes += part.count(b'"')
                last = part[-1:]
        # A row that was torn by a power cut, inside quotes or not, must not swallow the next one.
        if quotes % 2:
            self._append('"\n')
        elif last != b"\n":
            self._append("\n")

    def write(self, event: Event) -> None:
        """Append the event; after an error the file is as it was before."""
        text = io.StringIO()
        values = [*row(event).values(), *[""] * self._extra_columns]
        # With this terminator the writer also quotes a carriage return in a name.
        csv.writer(text, lineterminator="\r\n").writerow(values)
        self._append(text.getvalue().removesuffix("\r\n") + "\n")

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        before = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(before)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
