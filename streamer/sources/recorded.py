"""When a recording began, from what a person says, from its name, from what is written in it, or from when
the file was last changed.

Recorders put the moment at which they began into the name of the file, each in its own way:

    20230625_211402.WAV, 24F319046098B1C4_20230625_211402T.WAV      AudioMoth
    5B1E5B64.WAV                                                    AudioMoth before 2019: seconds since 1970
    SITE01_20230625_211402.wav                                      Wildlife Acoustics
    20230625T211402+0200_REC.flac                                   Frontier Labs
    2023-06-25-birdnet-21:14:02.wav, ...-birdnet-RTSP_1-21:14:02.wav  BirdNET-Pi
    2023-06-25T21:14:02Z.wav, 2023-06-25 21-14-02.m4a, 2023-06-25_21.14.wav

or into the file: a GUANO chunk (``Timestamp``), a Broadcast Wave chunk (``bext``), AudioMoth's comment.
Most of them do not say in which time zone; then one has to be told, or that of the system is taken. Where the
file repeats the time of its name and adds the zone, that one is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from streamer.errors import SourceError
from streamer.sources.riff import chunks
from streamer.sources.source import Source, SourceHealth
from streamer.types import Block

EARLIEST_HEX, LATEST_HEX = 0x54A48E00, 0x7A4D3B00
"""2015 and 2035: outside of this, eight hexadecimal digits are no date."""

FIRST_YEAR, LAST_YEAR = 1860, 9_000

SAME_S = 2.0
"""Name and header that differ by no more say the same."""

_DATE = r"(?<!\d)((?:19|20)\d\d)([-_.]?)([01]\d)\2([0-3]\d)"
_BETWEEN = r"(?:[ T_.-]|-birdnet-(?:[^/]*?-)?)"
_TIME = r"([0-2]\d)([-:._]?)([0-5]\d)(?:\6([0-5]\d)(?:[.,](\d{1,6}))?)?"
_ZONE = r"(Z|[+-]\d\d:?[0-5]\d)?"
_STAMP = re.compile(_DATE + _BETWEEN + _TIME + _ZONE + r"(?!\d)", re.ASCII)
_COMMENT = re.compile(
    rb"Recorded at (\d\d):(\d\d):(\d\d) (\d\d)/(\d\d)/(\d{4}) \(UTC([+-]\d{1,2}(?::\d\d)?)?\)"
)
_OFFSET = re.compile(r"(?:UTC)?([+-])(\d{1,2}):?([0-5]\d)?", re.ASCII)


@dataclass(frozen=True)
class Begin:
    """When a recording began."""

    at: datetime
    """With its time zone."""

    how: str
    """Where that is known from, for people."""

    @property
    def unix_s(self) -> float:
        """In seconds since 1970 (UTC)."""
        return self.at.timestamp()

    def text(self) -> str:
        """For people, with the time zone."""
        milliseconds = "milliseconds" if self.at.microsecond else "seconds"
        return f"{self.at.isoformat(timespec=milliseconds)} ({self.how})"


def time_zone(text: str) -> tzinfo | None:
    """A time zone by its name or distance from UTC; None, which is the system's, for an empty text.

    Raises:
        ValueError: there is no such zone.
    """
    if not text:
        return None
    if text.upper() in ("UTC", "Z"):
        return UTC
    match = _OFFSET.fullmatch(text)
    if match:
        minutes = 60 * int(match[2]) + int(match[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(text)
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(
            f"there is no time zone {text!r} here; name one as in Europe/Berlin, UTC or +02:00 "
            "(the names come with the package tzdata: sudo apt install tzdata)"
        ) from error


def parse_date(text: str, zone: tzinfo | None) -> datetime:
    """A date as people write it, or as recorders do; in the given zone if it says none.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        found = next(_stamps(text), None)
        if found is None:
            raise ValueError(f"{text!r} is no date such as 2026-11-21T08:31:02") from None
        at = found
    return in_zone(at, zone)


def in_zone(at: datetime, zone: tzinfo | None) -> datetime:
    """A date with a zone: its own, the given one, or that of the system.

    Raises:
        ValueError: nobody has recorded anything then.
    """
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"the year {at.year} is too far away")
    if at.tzinfo is not None:
        return at
    return at.astimezone() if zone is None else at.replace(tzinfo=zone)


def date_in_name(name: str) -> datetime | None:
    """The date in the name of a file, without a zone where it says none; None where there is no date."""
    stem = re.sub(r"\.(?=\w*[A-Za-z])\w{1,5}$", "", name)
    found = next(_stamps(stem), None)
    if found is None and name.lower().endswith(".wav") and re.fullmatch(r"[0-9A-Fa-f]{8}", stem):
        seconds = int(stem, 16)
        if EARLIEST_HEX <= seconds < LATEST_HEX:
            return datetime.fromtimestamp(seconds, UTC)
    return found


def begin_of(path: str, start: str, zone: tzinfo | None, duration_s: float | None) -> Begin:
    """When a recording began.

    Args:
        path: the file.
        start: ``name``, ``mtime``, or a date.
        zone: of dates that do not say one; None for that of the system.
        duration_s: length of the recording, for ``mtime``: a recorder changes the file until it ends.

    Raises:
        SourceError: that cannot be told.
    """
    try:
        if start == "name":
            return _from_name(path, zone)
        if start == "mtime":
            if duration_s is None:
                raise ValueError("its length is not known, so when it began cannot be told from its end")
            ended = datetime.fromtimestamp(Path(path).stat().st_mtime, zone or UTC)
            at = ended - timedelta(seconds=duration_s)
            return Begin(at if zone else at.astimezone(), "last changed when it ended")
        return Begin(parse_date(start, zone), "as was said")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{path} cannot be dated: {error}") from error


def _from_name(path: str, zone: tzinfo | None) -> Begin:
    named = date_in_name(Path(path).name)
    written = list(_dates_in(Path(path))) if named is None or named.tzinfo is None else []
    if named is not None:
        for at, where in written:
            if at.tzinfo and abs((at.replace(tzinfo=None) - named).total_seconds()) <= SAME_S:
                return Begin(in_zone(at, zone), f"its name and its {where}")
    found = (named, "its name") if named is not None else next(iter(written), None)
    if found is None or found[0] is None:
        raise ValueError(
            "neither its name nor what is written in it says when it began; say --start DATE or --start mtime"
        )
    at, where = found
    stated = "" if at.tzinfo is not None else f", time zone {zone or 'of this system'}"
    return Begin(in_zone(at, zone), f"{where}{stated}")


def _stamps(text: str) -> Iterator[datetime]:
    for match in _STAMP.finditer(text):
        year, _, month, day, hour, _, minute, second, fraction, offset = match.groups()
        zone = None
        try:
            if offset and (offset == "Z" or "T" in match[0]):  # else a number that counts files, as in -0001
                zone = time_zone(offset)
            yield datetime(
                *(int(year), int(month), int(day), int(hour), int(minute), int(second or 0)),
                int((fraction or "").ljust(6, "0")),
                tzinfo=zone,
            )
        except ValueError:
            continue


def _dates_in(path: Path) -> Iterator[tuple[datetime, str]]:
    """Dates that are written in a WAV file, and where."""
    for kind, data in chunks(path):
        at: datetime | None = None
        if kind == b"guan":
            at, where = _guano_date(data), "GUANO chunk"
        elif kind == b"bext":
            at, where = _bext_date(data), "bext chunk"
        elif kind == b"LIST":
            at, where = _comment_date(data), "comment"
        if at is not None:
            yield at, where


def _guano_date(data: bytes) -> datetime | None:
    for line in data.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Timestamp":
            try:
                return datetime.fromisoformat(value.strip())
            except ValueError:
                return None
    return None


def _bext_date(data: bytes) -> datetime | None:
    """EBU Tech 3285: description, originator and reference, then date and time, any sign between."""
    text = data[320:338].decode("ascii", "replace")
    match = re.fullmatch(r"(\d{4}).(\d\d).(\d\d)(\d\d).(\d\d).(\d\d)", text, re.ASCII)
    try:
        return datetime(*map(int, match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _comment_date(data: bytes) -> datetime | None:
    match = _COMMENT.search(data)
    if match is None:
        return None
    hour, minute, second, day, month, year = (int(group) for group in match.groups()[:6])
    try:
        zone = time_zone(match[7].decode()) if match[7] else UTC
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


class DatedSource:
    """A recording of which it is known when it began.

    Args:
        recording: what is heard.
        begin: of its first sample.
        rate_hz: of its blocks.
    """

    live = False
    dated = True

    def __init__(self, recording: Source, begin: Begin, rate_hz: int) -> None:
        self._recording = recording
        self._begin_unix_s = begin.unix_s
        self._rate_hz = rate_hz

    @property
    def name(self) -> str:
        """That of the recording."""
        return self._recording.name

    @property
    def duration_s(self) -> float | None:
        """That of the recording."""
        return self._recording.duration_s

    @property
    def health(self) -> SourceHealth:
        """That of the recording."""
        return self._recording.health

    def blocks(self) -> Iterator[Block]:
        """Those of the recording."""
        return self._recording.blocks()

    def unix_time(self, sample: int) -> float:
        """Date of a sample: that of the beginning, and the time from there."""
        return self._begin_unix_s + sample / self._rate_hz

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()
