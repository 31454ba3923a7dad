"""The event log: a CSV file that is only ever appended to."""

from __future__ import annotations

import csv
import io
import re
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamer.clock import SYSTEM_CLOCK
from streamer.errors import SinkError
from streamer.sinks.append_file import AppendFile, sync_folder
from streamer.sinks.repair import find_ending, repair_of
from streamer.sinks.rotation import Archives, Rotation, archive_path
from streamer.sinks.row import COLUMNS, NOTE, DateText, harmless, row, utc_text
from streamer.types import Event

LONGEST_HEADER = 10_000
"""Bytes of a first line that are looked at."""

RECENT_BYTES = 262_144
"""How far back rows are looked for when it is not known where they begin."""

RETRY_ROTATION_S = 60.0

BOM = b"\xef\xbb\xbf"


class CsvLog:
    """Appends one row an event and hands it to the system at once.

    UTF-8, comma, quoting as in RFC 4180, lines end in a line feed. An existing file is continued when
    its header begins with our columns. A file that ends in the middle of its header or of a row is
    repaired (`streamer.sinks.repair`); what was found is told in `news`.

    The header of a new file is exactly our columns, on which other programs rely. With `note_column`, or
    in a file that has a column ``note`` already, the note of an event (``interrupted``) is written there;
    otherwise it is in the journal only.

    A text that a spreadsheet would take for a formula is written with an apostrophe in front.

    Args:
        path: the file; it is locked while it is open.
        rotation: when a new file begins (`streamer.sinks.rotation`).
        keep: so many old files are kept; 0 for all.
        note_column: give a new file a further column for notes.
        model: name of the model that is about to write, to tell a torn row from a whole one.
        date: how dates are written; their first ten characters are the day that a row belongs to.

    Raises:
        SinkError: the file cannot be written, or it is another kind of file.
    """

    def __init__(
        self,
        path: Path,
        rotation: Rotation | None = None,
        keep: int = 0,
        note_column: bool = False,
        model: str = "",
        date: DateText = utc_text,
    ) -> None:
        self.path = path
        self.news: deque[tuple[str, dict[str, Any]]] = deque(maxlen=1_000)
        """What happened to the file, in kinds and fields of the journal, for whoever empties it."""

        self._rotation = rotation or Rotation()
        self._keep = keep
        self._model = model
        self._date = date
        self._no_rotation_before = 0.0
        self._ready = False
        self._new_header = [*COLUMNS, NOTE] if note_column else [*COLUMNS]
        self._file = AppendFile(path, "log to", "choose another file with --csv")
        try:
            self._begin()
        except OSError as error:
            self._file.close()
            raise SinkError(f"cannot log to {path}: {error.strerror}") from error
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> None:
        """Make the file ready for the next row, whatever is in it."""
        self._ready = False
        file = self._file
        file.accept_size()
        first, ended, _ = file.read(0, LONGEST_HEADER).partition(b"\n")
        if not ended and self._complete_header(first):
            first, ended, _ = file.read(0, LONGEST_HEADER).partition(b"\n")
        text = first.removeprefix(BOM).decode("utf-8", "replace").removesuffix("\r")
        try:
            header = next(csv.reader([text]), [])
        except csv.Error:
            header = text.split(",")
        if tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise SinkError(
                f"{self.path} is not an event log of esc-listen (its first line is not "
                f"{','.join(COLUMNS)}); choose another file with --csv"
            )
        self._header = header
        self._rows_at = len(first) + len(ended)
        self._repair()
        self._day = self._last_day()
        self._ready = True

    def _complete_header(self, found: bytes) -> bool:
        """Write the header, or what is missing of it; not into a file that has begun otherwise."""
        begun = found.removeprefix(BOM).decode("utf-8", "replace")
        if begun == "":
            self._file.append(",".join(self._new_header).encode() + b"\n")
            sync_folder(self._file.real.parent)
            return True
        header = ",".join(self._new_header)
        if header.startswith(begun):
            missing = header[len(begun) :]
        elif tuple(begun.removesuffix("\r").split(",")[: len(COLUMNS)]) == COLUMNS:
            missing = ""
        else:
            return False
        self._file.append(missing.encode() + b"\n")
        self.news.append(("mended", {"file": str(self.path)}))
        return True

    def _repair(self) -> None:
        file = self._file
        ending = find_ending(file.read, self._rows_at, file.size)
        repair = repair_of(ending, len(self._header), self._models(ending.whole))
        if repair is None:
            return
        if repair.size < file.size:
            file.truncate(repair.size)
        if repair.append:
            file.append(repair.append)
        if repair.cut:
            what = repair.cut[:1_000].decode("utf-8", "backslashreplace")
            self.news.append(("cut", {"file": str(self.path), "what": what}))
        else:
            self.news.append(("mended", {"file": str(self.path)}))

    def _models(self, until: int) -> set[str]:
        """Models that a torn row may name: the next one and those of the rows before."""
        index = COLUMNS.index("model")
        return {self._model, *(fields[index] for fields in self._fields(max(0, until - 4_096), until))}

    def _fields(self, start: int, end: int) -> Iterator[list[str]]:
        """Rows in a part of the file that may begin anywhere; those that are none are left out."""
        start = max(start, self._rows_at)
        data = self._file.read(start, end - start)
        if start > self._rows_at and self._file.read(start - 1, 1) != b"\n":
            data = data.partition(b"\n")[2]
        rows = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""))
        while True:
            try:
                fields = next(rows, None)
            except csv.Error:
                continue
            if fields is None:
                return
            if len(fields) == len(self._header):
                yield fields

    def _last_day(self) -> str:
        """Day of the last row, or of the last change where rows have no dates."""
        ends = [fields[1] for fields in self._fields(self._file.size - 4_096, self._file.size)]
        if ends and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", ends[-1], re.ASCII):
            return ends[-1][:10]
        return self._date(self._file.modified_unix_s)[:10]

    @property
    def real(self) -> Path:
        """The file itself, where the name is a link."""
        return self._file.real

    @property
    def size(self) -> int:
        """Bytes of rows and header so far."""
        return self._file.size

    @property
    def has_notes(self) -> bool:
        """True when the file has a column for notes."""
        return NOTE in self._header

    def rows_since(self, at: int) -> list[dict[str, str]]:
        """Rows from a position on, by the names of our columns; the latest ones if it lies beyond."""
        size = self._file.size
        start = at if at <= size else size - RECENT_BYTES
        return [dict(zip(COLUMNS, fields, strict=False)) for fields in self._fields(start, size)]

    def line(self, event: Event) -> bytes:
        """The event as a row of this file."""
        further = [event.note if name == NOTE else "" for name in self._header[len(COLUMNS) :]]
        values = [*row(event, self._date).values(), *further]
        text = io.StringIO()
        # With this terminator the writer also quotes a carriage return in a name.
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([harmless(value) if isinstance(value, str) else value for value in values])
        return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "backslashreplace")

    def holds(self, line: bytes, at: int) -> bool:
        """True when a row stands at a position, or, if the file has changed since, anywhere near its end."""
        if self._file.read(at, len(line)) == line:
            return True
        if at >= self._file.size:
            return False
        recent = self._file.read(max(self._rows_at, self._file.size - RECENT_BYTES), RECENT_BYTES)
        return b"\n" + line in b"\n" + recent

    def prepare(self, event: Event) -> None:
        """Make room for an event: mend what a failed write or somebody else has left, rotate if it is time.

        Raises:
            OSError, SinkError: the file cannot be written now.
        """
        self._file.mend()
        if self._file.deleted:
            self._file.reopen()
            self._begin()
        elif self._file.changed or not self._ready:
            self._begin()
        if self.rotation_due(event):
            self._rotate()
        day = self._day_of(event)
        self._day = day if self._file.size == self._rows_at else max(self._day, day)

    def rotation_due(self, event: Event) -> bool:
        """True when the event is to stand in a new file."""
        if self._file.size <= self._rows_at or time.monotonic() < self._no_rotation_before:
            return False
        return self._rotation.due(self._day, self._day_of(event), self._file.size + len(self.line(event)))

    def _day_of(self, event: Event) -> str:
        return self._date(event.end_s if event.live else SYSTEM_CLOCK.unix_s())[:10]

    def _rotate(self) -> None:
        """Go over to a new file; where that fails, rows go on into this one, and it is tried again later."""
        real = self._file.real
        archive = archive_path(real, self._day)
        try:
            self._file.sync()  # whoever syncs us later does not know it any more
            self._file.move(archive)
        except (OSError, SinkError) as error:
            self._no_rotation_before = time.monotonic() + RETRY_ROTATION_S
            self.news.append(("trouble", {"file": str(archive), "error": str(error)}))
            return
        self._begin()
        archives = Archives(real)
        deleted: list[str] = []
        try:
            archives.add(archive)
            deleted = archives.prune(self._keep) if self._keep else []
        except OSError as error:
            self.news.append(("trouble", {"file": str(archive), "error": str(error)}))
        self.news.append(("rotated", {"to": str(archive), "deleted": deleted}))

    def append(self, event: Event) -> None:
        """Append the event to the file as it is; after an error the file is as it was before.

        Raises:
            OSError: it could not be written.
        """
        self._file.append(self.line(event))

    def write(self, event: Event) -> None:
        """Prepare for the event and append it."""
        self.prepare(event)
        self.append(event)

    def sync(self) -> None:
        """Wait until what was written would survive a power cut."""
        self._file.sync()

    def reopen(self) -> None:
        """Go over to the file that has the name now.

        Raises:
            OSError, SinkError: that one cannot be used.
        """
        if self._file.reopen() or not self._ready:
            self._begin()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
