"""When the log begins a new file, how the old ones are called, and which of them are deleted.

The log itself always has the name that was given, ``esc-events.csv``. Before a row that would be the
first of another day, or that would make the file too large, it is renamed to ``esc-events.DAY.csv``, where
DAY is the day of its last row, in UTC or in local time as its dates are (``esc-events.2026-11-21.csv``);
when there is one already, to ``esc-events.2026-11-21-2.csv`` and so on. So a file holds whole events only,
each under the day on which it ended, and a day without events has no file.

``--keep N`` deletes the oldest of these archives when there are more than N. Which files are archives is
not told from their names: ``esc-events.csv.archives`` lists each with its size at that time, and only a
listed, ordinary file of that very size is ever deleted. One that was edited, replaced or put there by
somebody else stays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9}
LIST_BYTES = 1_000_000
"""A longer list of archives is not read any more: nothing is deleted then."""


@dataclass(frozen=True)
class Rotation:
    """When a new file begins; never, by default."""

    daily: bool = False
    limit_bytes: int = 0
    """A file does not become longer than this; 0 for no limit."""

    def due(self, file_day: str, row_day: str, size_after: int) -> bool:
        """Whether a row belongs into a new file.

        Args:
            file_day: day of the last row of the file.
            row_day: that of the row. Events that end around midnight may be written a little out of
                order, so the day before is no reason.
            size_after: length of the file with the row in it.
        """
        if self.daily and (row_day > file_day or row_day < _day_before(file_day)):
            return True
        return 0 < self.limit_bytes < size_after


def parse_rotation(text: str) -> Rotation:
    """What ``daily``, ``10MB`` or nothing means.

    Raises:
        ValueError: it means nothing; the message says what would.
    """
    if not text:
        return Rotation()
    if text == "daily":
        return Rotation(daily=True)
    match = re.fullmatch(r"(\d{1,6}) ?(kB|MB|GB)", text, re.IGNORECASE | re.ASCII)
    if not match or int(match[1]) == 0:
        raise ValueError(f"{text!r} is neither daily nor a size like 500kB, 10MB or 1GB")
    return Rotation(limit_bytes=int(match[1]) * UNITS[match[2].lower()])


def _day_before(day: str) -> str:
    from datetime import date, timedelta

    try:
        return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return day


def archive_path(log: Path, day: str) -> Path:
    """A name for the log of that day that nothing has yet."""
    path, number = log.with_name(f"{log.stem}.{day}{log.suffix}"), 1
    while path.is_symlink() or path.exists():
        number += 1
        path = log.with_name(f"{log.stem}.{day}-{number}{log.suffix}")
    return path


class Archives:
    """The list of the files that the log has left behind.

    Args:
        log: the log itself.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log.parent
        self._path = log.with_name(f"{log.name}.archives")
        day = r"\.\d{4}-\d\d-\d\d(-\d+)?"
        self._names = re.compile(re.escape(log.stem) + day + re.escape(log.suffix), re.ASCII)

    def add(self, archive: Path) -> None:
        """Note that we have made it.

        Raises:
            OSError: then it will never be deleted.
        """
        line = b"%d %s\n" % (archive.stat().st_size, os.fsencode(archive.name))
        with self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor:
            os.write(descriptor, line)

    def prune(self, keep: int) -> list[str]:
        """Delete the oldest beyond so many; gives their names.

        Raises:
            OSError: the list cannot be read or written.
        """
        listed = list(self._listed())
        ours = [entry for entry in listed if self._is_unchanged(*entry)]
        deleted = []
        for size, name in ours[:-keep]:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
                deleted.append((size, name))
        if len(ours) - len(deleted) < len(listed):
            self._replace([entry for entry in ours if entry not in deleted])
        return [name for _, name in deleted]

    @contextlib.contextmanager
    def _open(self, flags: int, path: Path | None = None) -> Iterator[int]:
        descriptor = os.open(path or self._path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not an ordinary file", str(path or self._path))
            yield descriptor
        finally:
            os.close(descriptor)

    def _listed(self) -> Iterator[tuple[int, str]]:
        try:
            with self._open(os.O_RDONLY) as descriptor:
                data = os.read(descriptor, LIST_BYTES + 1)
        except FileNotFoundError:
            return
        if len(data) > LIST_BYTES:
            return
        for line in data.split(b"\n"):
            size, _, name = line.partition(b" ")
            # Only names that we give, whatever the list says.
            if size.isdigit() and len(size) < 20 and self._names.fullmatch(os.fsdecode(name)):
                yield int(size), os.fsdecode(name)

    def _is_unchanged(self, size: int, name: str) -> bool:
        try:
            status = (self._folder / name).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def _replace(self, entries: list[tuple[int, str]]) -> None:
        data = b"".join(b"%d %s\n" % (size, os.fsencode(name)) for size, name in entries)
        beside = self._path.with_name(f"{self._path.name}.new")
        with self._open(os.O_WRONLY | os.O_CREAT | os.O_TRUNC, beside) as descriptor:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(beside))
        beside.replace(self._path)
