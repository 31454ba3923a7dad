"""What a source is: anything that yields blocks of mono samples on one sample clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from streamer.ledger import LedgerStatus
from streamer.sources.state import State
from streamer.types import Block


@dataclass(frozen=True)
class SourceHealth:
    """What a source lost on the way, counted since it was opened."""

    gaps: int = 0
    """Times that samples are missing between two blocks."""

    lost_samples: int = 0
    """Samples missing in those gaps, at the rate of the blocks (as far as they can be known)."""

    overflows: int = 0
    """Times that the sound system reported that it had dropped input."""

    broken_samples: int = 0
    """Samples that could not be sound (not numbers, or absurdly large) and were taken as zero."""

    backlog_s: float = 0.0
    """Sound that has been captured and waits to be taken; 0 where it cannot be known."""

    state: State | None = None
    """What capture is doing, for a source that watches over itself."""

    state_since_s: float = 0.0
    """Since when, on the monotonic clock."""

    problem: str = ""
    """What keeps capture from working, for people."""

    undecided: bool = False
    """It is not known yet whether the source is live: its events wait."""

    advice: str = ""
    """What a person should know about the input, if anything."""

    alive: bool | None = None
    """False when what came last can be no sound of a working microphone; None for a source that does not
    look."""

    ledger: LedgerStatus = field(default_factory=LedgerStatus)


class Report(Protocol):
    """Takes note of something that should be known later, as `Journal.write` does.

    What sources report:

    ============ ==================================================================================
    kind         fields
    ============ ==================================================================================
    ``state``    ``state``, ``since`` (UTC), ``source``, ``problem``
    ``gap``      ``start`` (UTC), ``length_s``, ``samples``, ``start_sample``, ``cause``, ``source``
    ``regained`` ``length_s``, ``source``: so much of a gap of a pipe was only late
    ``clock``    ``step_s``: the wall clock was stepped; add it to the rows written before.
                 ``before``, ``after``: the date of this moment by the old clock and the new (UTC)
    ``ledger``   see `LedgerStatus.entry`; once an hour and at the end
    ``advice``   ``text``, ``source``: what a person should know about the input
    ============ ==================================================================================
    """

    def __call__(self, kind: str, **fields: object) -> None:
        """Take the note; must not block."""


def no_report(kind: str, **fields: object) -> None:
    """Nobody wants to know."""


class Source(Protocol):
    """One stream of samples: a microphone, a file, a pipe."""

    @property
    def name(self) -> str:
        """What the log calls it: the name of the device or file."""

    @property
    def live(self) -> bool:
        """True when samples arrive in real time; then times are dates, not file positions (`has_dates`)."""

    @property
    def duration_s(self) -> float | None:
        """Length in seconds where it is known beforehand (files)."""

    @property
    def health(self) -> SourceHealth:
        """What was lost so far."""

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in order, at the rate that the source was opened with.

        A live source that has nothing to give yields an empty block about every 0.1 s, so that
        whoever listens can look after its events and its screen.

        Raises:
            SourceError: the source cannot be read (any more).
        """

    def unix_time(self, sample: int) -> float:
        """Date of a sample in seconds since 1970 (UTC); only for those that know it (`has_dates`)."""

    def close(self) -> None:
        """Release the device or file; harmless when repeated."""


def has_dates(source: Source) -> bool:
    """True when `Source.unix_time` gives dates: of every live source, and of a recording whose beginning
    is known (it says so by an attribute ``dated``)."""
    return bool(getattr(source, "dated", source.live))
