"""What the run before has left without a row, compared with what stands in the CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from streamer.sinks.csv_log import CsvLog
from streamer.sinks.open_events import OpenEvents, Unwritten
from streamer.sinks.row import harmless, unix_s
from streamer.types import Event

SAME_START_S = 0.5
"""Begins that are closer than this belong to one event: the estimate moves a little while it goes on."""


@dataclass(frozen=True)
class Recovered:
    """An event of the run before."""

    number: int
    """Its number on the list of open events."""

    event: Event
    kind: str
    """``restored``: it was over; ``interrupted``: it was going on; nothing: its row is there already."""


def recovered(csv: CsvLog, left: OpenEvents) -> Iterator[Recovered]:
    """Every event on the list, in the order in which they are to be written."""
    for item in left.left:
        if _has_row(csv, item):
            yield Recovered(item.number, item.event, "")
        elif item.over:
            yield Recovered(item.number, item.event, "restored")
        else:
            yield Recovered(item.number, replace(item.event, note="interrupted"), "interrupted")


def _has_row(csv: CsvLog, left: Unwritten) -> bool:
    """True when the row is on the disk and only the list could not be brought up to date.

    A kill leaves the list as it was, and an event that is over names the place of its row. After a power
    cut the list may be older than the CSV: then an event that seems to go on is recognised by a row that
    was written since and begins when it did.
    """
    wanted = harmless(left.event.label), harmless(left.event.source)
    if left.over:
        # The row may have been written in another time zone than ours.
        return csv.holds(csv.line(left.event), left.at) or any(
            _same_moment(written["start"], left.event.start_s)
            and _same_moment(written["end"], left.event.end_s)
            and (written["label"], written["source"]) == wanted
            for written in csv.rows_since(left.at)
        )
    for written in csv.rows_since(left.at):
        start_s = unix_s(written["start"])
        near = start_s is not None and abs(start_s - left.event.start_s) <= SAME_START_S
        if near and (written["label"], written["source"]) == wanted:
            return True
    return False


def _same_moment(written: str, seconds: float) -> bool:
    """The same to the millisecond to which it is written."""
    at_s = unix_s(written)
    return at_s is not None and abs(at_s - seconds) < 0.001


def in_words(events: list[Recovered], name: str) -> str:
    """For people, in one line."""
    written = [item for item in events if item.kind]
    cut_short = sum(item.kind == "interrupted" for item in written)
    one = len(written) == 1
    return (
        f"{len(written)} event{' was' if one else 's were'} without a row when esc-listen last ended; "
        f"{'it is' if one else 'they are'} written to {name} now"
        + (f" ({cut_short} interrupted)" if cut_short else "")
    )
