"""The log as a whole: CSV, open events and journal, written by one thread of their own.

What is promised, and how:

- **An event that was shown is never missing**, whenever the process is killed. It is put on the list of
  open events, and that list on the disk, before anything shows it (`EventLog.announced`); standard output
  and the screen get an event that is over when its row is on the disk (`Ticket`). The next start writes
  what the run before has left: an event that was over as it was, one that was going on up to when it was
  last heard, with the note ``interrupted``. The steps are those of `streamer.sinks.log_writer`.
- **Hearing never waits** for the disk. Everything is handed over through memory: rows in a bounded queue,
  open events as their latest state. A disk that hangs holds back what is shown for `PATIENCE_S` at most.
- **A full or broken disk** loses nothing at first: rows wait and are tried again every `RETRY_S`, also in a
  file that has been put in the place of the old one. Only when `size` of them wait are later ones dropped,
  and counted. What is shown meanwhile is not safe from a kill; that is counted too.

What safety costs: an event is synced twice, once when it is announced and once with its row (many at once
count as one). On ext4 both together write about 12.5 kB to the card, so a thousand events a day are 5 GB a
year. "Last heard" is put down every `UPDATE_S` without a sync: a kill loses no more than that, a power cut
up to half a minute, as the system pleases. Files are not live: they can be heard again, so for them nothing
is synced before the end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.errors import SinkError
from streamer.journal import Journal, no_journal
from streamer.sinks.csv_log import CsvLog
from streamer.sinks.log_writer import LogWriter, WaitingRow, reason_of
from streamer.sinks.open_events import OpenEvents
from streamer.sinks.recovery import SAME_START_S, Recovered, in_words
from streamer.sinks.ticket import PATIENCE_S, Ticket
from streamer.types import Event

RETRY_S = 1.0
UPDATE_S = 1.0
"""How exactly the next start knows when an event that goes on was last heard."""
CLOSING_S = 1.5
"""How long closing waits for a disk that is stuck, so that the program stops within two seconds."""

PATIENT_CLOSING_S = 5.0
"""The same for a source that can wait."""

TICK_S = 0.5

MOST_AT_ONCE = 100
"""Rows that are synced together."""


@dataclass
class _Open:
    """An event that goes on."""

    number: int
    event: Event
    """As it was last put down."""

    safe: bool = False
    since: float = field(default_factory=time.monotonic)


class EventLog:
    """Keeps events. All but `close` may be called from the listening thread, and none of it waits.

    Args:
        csv: where rows go; without it nothing is kept.
        open_events: the list beside it; without it a kill loses what is going on.
        journal: is told what happens, and is written by this thread.
        name: what the log is called when it fails.
        size: rows that may wait.
        patient: wait for room instead of dropping, for sources that can wait (files), while the disk works.
        durable: make everything survive power cuts.
    """

    def __init__(
        self,
        csv: CsvLog | None = None,
        open_events: OpenEvents | None = None,
        journal: Journal | None = None,
        name: str = "",
        size: int = 1_000,
        patient: bool = False,
        durable: bool = True,
    ) -> None:
        self.name = name
        self.journal = journal or no_journal()
        self.dropped = 0
        """Events that have no row and will get none."""

        self.written = 0
        self.unsafe = 0
        """Events that were shown while they could not be put on the disk."""

        self.error: Exception | None = None
        """The last failure, if any."""

        self.left = 0
        """Rows that could not be written before the end, but will be at the next start."""

        self.tell: Callable[[str], None] = lambda message: None
        """Is given lines for people, from the thread of the log."""

        self._writer = LogWriter(csv, open_events, self.journal, durable)
        self._keeps = csv is not None
        self._size = size
        self.patient = patient
        """May be changed, for a pipe that turns out to be a recording."""

        self._in_trouble = False
        self._retry_at = self._journal_at = 0.0
        self._next_number = self._writer.next_number
        self._open: dict[str, _Open] = {}
        self._updates: dict[int, _Open | None] = {}
        self._rows: deque[WaitingRow] = deque()
        self._reopen = False
        self._closing = False
        self._last_words: dict[str, object] = {}
        self._changed = threading.Condition()
        self.recovered = self._recover()
        """Events that the run before has left without a row; they are written first."""

        self.findings = self._findings()
        """What was found at the start, in sentences for people."""

        self.journal.wake = self._wake
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    # --- handed over by others ---

    def write(self, event: Event) -> Ticket:
        """Take an event that is over."""
        ticket = Ticket()
        if not self._keeps:
            self._open.pop(event.label, None)
            ticket.settle()
            return ticket
        with self._changed:
            going_on = self._open.pop(event.label, None)
            number = going_on.number if going_on else self._number()
            while self.patient and len(self._rows) >= self._size and self._works:
                self._changed.wait(0.1)
            if len(self._rows) < self._size:
                self._updates.pop(number, None)
                self._rows.append(WaitingRow(number, event, ticket))
            else:
                self.dropped += 1
                self._updates[number] = None
                ticket.settle()
            self._changed.notify_all()
        return ticket

    def going_on(self, events: list[Event]) -> None:
        """Take the events that go on, each as it would be if it ended now."""
        if not events and not self._open:
            return
        changed: dict[int, _Open | None] = {}
        labels = {event.label for event in events}
        with self._changed:
            for event in events:
                known = self._open.get(event.label)
                if known is None:
                    known = self._open[event.label] = _Open(self._number(), event, safe=not self._keeps)
                    changed[known.number] = known
                elif abs(event.duration_s - known.event.duration_s) >= UPDATE_S:
                    known.event = event
                    changed[known.number] = known
            for label in [label for label in self._open if label not in labels]:
                changed[self._open.pop(label).number] = None
            if changed and self._keeps:
                self._updates.update(changed)
                self._changed.notify_all()

    def announced(self, label: str, start_s: float) -> bool:
        """True when the event of this label that goes on may be shown."""
        known = self._open.get(label)
        # The next piece of a long sound is another event, and may be asked for before it has come here.
        if known is None or abs(known.event.start_s - start_s) > SAME_START_S:
            return False
        return known.safe or time.monotonic() - known.since > PATIENCE_S

    @property
    def waiting(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._rows)

    @property
    def trouble(self) -> str:
        """Why rows wait, or an empty text."""
        if self._in_trouble and self.error:
            return reason_of(self.error)
        with contextlib.suppress(IndexError):  # the thread of the log takes rows away meanwhile
            return "the disk does not answer" if self._rows[0].ticket.overdue else ""
        return ""

    @property
    def complaint(self) -> str:
        """The same for people, with what waits."""
        waiting = self.waiting
        rows = "1 row waits" if waiting == 1 else f"{waiting} rows wait"
        return f"{trouble}, {rows}" if (trouble := self.trouble) else ""

    def reopen(self) -> None:
        """Go over to the files that have the names now, soon; for signal handlers."""
        self._reopen = True

    def close(self, **last_words: object) -> None:
        """Write what waits, then close the files; what a stuck disk does not take is dropped.

        Args:
            last_words: fields of the journal's ``exit``.
        """
        with self._changed:
            self._last_words = last_words
            self._closing = True
            self._changed.notify_all()
        self._thread.join(PATIENT_CLOSING_S if self.patient else CLOSING_S)
        if self._thread.is_alive():
            with self._changed:
                for item in self._rows:
                    item.ticket.settle()
                self.dropped += len(self._rows)

    # --- done by the thread of the log ---

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    @property
    def _works(self) -> bool:
        return not self._in_trouble and self._thread.is_alive()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _recover(self) -> list[Recovered]:
        """Put what the run before has left into the queue."""
        found = self._writer.recovered()
        for item in found:
            if item.kind:
                self._rows.append(WaitingRow(item.number, item.event, Ticket(), item.kind))
            else:
                self._updates[item.number] = None
        return [item for item in found if item.kind]

    def _findings(self) -> list[str]:
        found = []
        for kind, fields in self._writer.take_news():
            if kind == "cut":
                found.append(f"the last line of {fields['file']} was torn and is cut off: {fields['what']!r}")
            else:
                found.append(f"the last line of {fields['file']} had no end and is completed")
        if self.recovered:
            found.append(in_words(self.recovered, self.name))
        return found

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                if not self._has_work():
                    self._changed.wait(TICK_S)
                closing = self._closing
            try:
                self._work(closing)
            except Exception as error:  # whatever it is, the next round gets its chance
                self.error = error
                self.journal.write("trouble", error=reason_of(error))
                time.sleep(0.1)
        self._end()

    def _has_work(self) -> bool:
        now = time.monotonic()
        rows, entries = self._rows and now >= self._retry_at, self.journal.waiting and now >= self._journal_at
        return bool(self._closing or self._reopen or self._updates or rows or entries)

    def _work(self, closing: bool) -> None:
        if self._reopen:
            self._reopen = False
            for problem in self._writer.reopen():
                self.tell(f"esc-listen: {problem}; going on with the file from before")
            self._retry_at = self._journal_at = 0.0
        self._put_down()
        if closing or time.monotonic() >= self._retry_at:
            while self._write_rows():
                self._put_down()
        self._writer.take_news()
        if time.monotonic() >= self._journal_at:
            try:
                self.journal.flush()
            except (OSError, SinkError):
                self._journal_at = time.monotonic() + RETRY_S

    def _put_down(self) -> None:
        """Put on the list what goes on now; from then on it may be shown."""
        with self._changed:
            updates, self._updates = self._updates, {}
        if not updates:
            return
        new = [known for known in updates.values() if known is not None and not known.safe]
        changes = {number: known.event if known else None for number, known in updates.items()}
        saved = self._writer.put_down(changes, bool(new))
        for known in new:
            known.safe = True
            self.unsafe += not saved

    def _write_rows(self) -> bool:
        """Write rows that wait; true when there are more to write now."""
        rows = [self._rows[at] for at in range(min(len(self._rows), MOST_AT_ONCE))]
        done, problem = self._writer.write_rows(rows, self._in_trouble)
        with self._changed:
            for item in rows[:done]:
                self._rows.popleft()
                item.ticket.settle()
                self.error = item.unwritable or self.error
                self.written += item.unwritable is None
                self.dropped += item.unwritable is not None
            self._changed.notify_all()
        if problem is not None:
            self._fail(problem)
        elif self._in_trouble:
            self._in_trouble = False
            self.journal.write("recovered", dropped=self.dropped)
            self.tell(f"esc-listen: {self.name} can be written again; the events that waited are in it")
        return problem is None and bool(self._rows)

    def _fail(self, error: OSError | SinkError) -> None:
        """Rows wait; they are shown all the same."""
        self.error = error
        self._retry_at = time.monotonic() + RETRY_S
        if not self._in_trouble:
            self._in_trouble = True
            self.journal.write("trouble", error=reason_of(error))
            self.tell(f"esc-listen: cannot write to {self.name} ({reason_of(error)}); events wait")
        with self._changed:
            fresh = [item for item in self._rows if not item.failed]
        for item in fresh:
            item.failed = True
            self.unsafe += not self._writer.is_left(item)
            item.ticket.settle()

    def _end(self) -> None:
        """Close everything; rows that are still here are left to the next start, or lost."""
        self.left = self._writer.leave(list(self._rows))
        self.dropped += len(self._rows) - self.left
        self._writer.close()
        counts = {"rows": self.written, "left": self.left, "dropped": self.dropped, "unsafe": self.unsafe}
        self.journal.write("exit", **{**self._last_words, **counts})
        self.journal.close()
