"""The journal: what happened to the listening itself, for people and for the next start.

A small file of JSON lines beside the CSV. Every entry has ``at`` (UTC, by the wall clock of the moment at
which it was written down) and ``kind``; the other keys depend on the kind:

``start``         a run begins: ``version``, ``model``, ``source``, ``settings``, ``process``; ``after`` says
                  how the run before ended (``exit``, ``no exit`` when it was killed or lost power, or
                  ``nothing``)
``exit``          a run ends: ``status``, ``rows`` written, ``waiting`` and ``dropped``
``interrupted``   an event was going on when the run before was killed: its row (told before the row is
                  written, so a second kill just then has it told twice)
``restored``      an event that was over, but not in the CSV yet: its row
``noted``         a row with a note, in a CSV that has no column for it: the row and the note
``cut``           the torn last line of a file was cut off: ``file``, and what it was
``mended``        the last line of a file was completed: ``file``
``rotated``       the CSV was given another name: ``to``; ``deleted``: archives beyond ``--keep``
``reopened``      SIGHUP: the files of these names were opened anew
``trouble``       the CSV cannot be written: ``error``; rows wait
``recovered``     it can be written again: rows that ``waited``, and ``dropped`` in all
``dropped``       so many ``entries`` of the journal itself are missing here

Capture adds its own kinds:

``state``         of the source: ``state`` (`streamer.sources.state`), ``since``, ``source``, ``problem``
``gap``           samples are missing: ``start``, ``length_s``, ``samples``, ``start_sample``, ``cause``
                  (`streamer.ledger`), ``source``
``regained``      of a gap of a pipe, ``length_s`` was only late: ``source``
``advice``        what a person should know about the input: ``text``, ``source``
``ledger``        once an hour and at the end: samples captured, processed and lost, the true rate
``clock``         the wall clock was set: ``step_s``, what it said ``before`` and ``after``
                  (`streamer.clock` says what that means for rows)
``pace``          only one in ``every`` windows is classified from now on: ``backlog_s`` waits

For that, whoever has something to tell calls

    journal.write("gap", start=..., length_s=...)

from any thread but the audio callback: it takes a lock for some microseconds, and never waits for the
disk. Values are what JSON knows; numpy scalars, paths and dataclasses are converted. ``at`` and ``kind``
are taken.

**Bounded.** At `LIMIT_BYTES` the file becomes ``PATH.1``, in the place of the one before, and a new one
begins: 10 MB at most, which at a ledger an hour and some dozen gaps a day is more than a year. At a start
only the last `TAIL_BYTES` are read.

**Safe.** An entry is in the hands of the system when `flush` returns, so killing the process loses at most
what came within the last second; after a power cut up to `SYNC_S` may be missing. A torn last line is cut
off at the next start. When the disk is full, up to `WAITING` entries wait, later ones are counted.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.errors import SinkError
from streamer.sinks.append_file import AppendFile
from streamer.sinks.row import utc_text
from streamer.tables import to_table

LIMIT_BYTES = 5_000_000
TAIL_BYTES = 65_536
LONGEST_BYTES = 32_768
"""A longer entry is not written; that is noted in its place."""

WAITING = 1_000
SYNC_S = 30.0


class Journal:
    """Takes entries from any thread; the thread of the log writes them.

    Args:
        path: the file. Without one, entries are kept until `open` says where they go.
        clock: tells the time of the entries.

    Raises:
        SinkError: the file cannot be written, belongs to another process or is no journal.
    """

    def __init__(self, path: Path | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path: Path | None = None
        self.dropped = 0
        """Entries that were not written."""

        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to write."""

        self.before = "nothing"
        """How the run before ended: ``exit``, ``no exit`` or ``nothing``."""

        self._clock = clock
        self._wanted = True
        self._waiting: deque[bytes] = deque()
        self._lock = Lock()
        self._missing = 0
        self._synced_at = time.monotonic()
        self._dirty = False
        self._file: AppendFile | None = None
        if path is not None:
            self.open(path)

    def open(self, path: Path | None) -> None:
        """Say where entries go; None: nowhere, from now on everything can be called and nothing happens.

        Raises:
            SinkError: as for the class.
        """
        if path is None:
            self._wanted = False
            self._waiting.clear()
            return
        file = AppendFile(path, "keep the journal", "choose another one with --journal")
        try:
            self._check_file(file)
        except OSError as error:
            file.close()
            raise SinkError(f"cannot keep the journal {path}: {error.strerror}") from error
        except BaseException:
            file.close()
            raise
        self.path, self._file = path, file

    def _check_file(self, file: AppendFile) -> None:
        _check_kind(file.real, file.read(0, LONGEST_BYTES), file.path)
        older = _older(file.real)
        if older.is_symlink() or (older.exists() and not older.is_file()):
            raise SinkError(f"cannot keep the journal {file.path}: {older} is in the way; move it elsewhere")
        if older.exists():
            with older.open("rb") as content:
                _check_kind(older, content.read(LONGEST_BYTES), older)
        tail = file.read(max(0, file.size - TAIL_BYTES), TAIL_BYTES)
        whole, _, torn = tail.rpartition(b"\n")
        last = next(_entries(reversed(whole.splitlines())), None)
        self.before = "nothing" if last is None else "exit" if last["kind"] == "exit" else "no exit"
        if torn:
            file.truncate(file.size - len(torn))
            _end_line(file)
            self.write("cut", file=str(file.path), what=_shown(torn))

    def write(self, kind: str, **fields: object) -> None:
        """Take an entry; never waits."""
        if not self._wanted:
            return
        entry: dict[str, object] = {"at": utc_text(self._clock.unix_s()), "kind": kind}
        try:
            line = _line({**entry, **fields})
            if len(line) > LONGEST_BYTES:
                line = _line({**entry, "unwritable": f"{len(line)} bytes"})
        except Exception as error:  # whoever tells something must not suffer from what it is
            line = _line({**entry, "unwritable": type(error).__name__})
        with self._lock:
            if len(self._waiting) < WAITING:
                self._waiting.append(line)
            else:
                self._missing += 1
                self.dropped += 1
        self.wake()

    @property
    def waiting(self) -> int:
        """Entries that are not written yet."""
        return len(self._waiting) if self._file is not None else 0

    def flush(self) -> None:
        """Write what waits; for one thread only.

        Raises:
            OSError: it stays waiting.
        """
        file = self._file
        if file is None:
            return
        with self._lock:
            lines, missing = list(self._waiting), self._missing
        if lines:
            if missing:
                lines.append(
                    _line({"at": utc_text(self._clock.unix_s()), "kind": "dropped", "entries": missing})
                )
            data = b"".join(lines)
            if file.deleted:
                self.reopen()
            if file.changed:
                _end_line(file)
            if file.size and file.size + len(data) > LIMIT_BYTES:
                file.move(_older(file.real))
            file.append(data)
            self._dirty = True
            with self._lock:
                for _ in range(len(lines) - bool(missing)):
                    self._waiting.popleft()
                self._missing -= missing
        if self._dirty and time.monotonic() - self._synced_at > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Wait until what was written would survive a power cut."""
        if self._file is not None:
            self._file.sync()
        self._synced_at = time.monotonic()
        self._dirty = False

    def reopen(self) -> None:
        """Go over to the file that has the name now; for the thread that flushes.

        Raises:
            SinkError: that one cannot be used.
        """
        if self._file is not None:
            self._file.reopen()

    def close(self) -> None:
        """Write what waits, if it can be written."""
        try:
            self.flush()
            self.sync()
        except (OSError, SinkError):
            self.dropped += len(self._waiting)
        finally:
            if self._file is not None:
                self._file.close()


def no_journal() -> Journal:
    """One that keeps nothing."""
    journal = Journal()
    journal.open(None)
    return journal


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a journal, also those of the file before it; torn or foreign lines are left out."""
    for part in (_older(path), path):
        if part.is_file():
            with part.open("rb") as lines:
                yield from _entries(lines)


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _line(entry: dict[str, object]) -> bytes:
    text = json.dumps(_plain(entry), ensure_ascii=False, allow_nan=False)
    # A name that is no text becomes an escape that JSON knows.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(value: object) -> object:
    """What JSON knows."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        value = to_table(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _plain(value.item())
    return str(value)


def _entries(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("kind"), str):
            yield entry


def _check_kind(real: Path, beginning: bytes, path: Path) -> None:
    """Refuse what is no journal; a first line that is torn is one that never was."""
    first, ended, _ = beginning.partition(b"\n")
    begins_right = first.startswith(b'{"at":'[: len(first)])
    if beginning and not (begins_right and (next(_entries(iter([first])), None) if ended else True)):
        raise SinkError(
            f"{path} is not a journal of esc-listen; choose another one with --journal, or --no-journal"
        )


def _end_line(file: AppendFile) -> None:
    """Somebody else wrote into the file: keep their line apart from ours."""
    file.accept_size()
    if file.size and file.read(file.size - 1, 1) != b"\n":
        file.append(b"\n")


def _shown(data: bytes) -> str:
    """Bytes that may be anything, as a text that is not too long."""
    return data[:1_000].decode("utf-8", "backslashreplace").replace("\x00", "\\0")
