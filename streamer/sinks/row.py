"""How an event is written down: the columns that other programs rely on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from streamer.types import Event

COLUMNS = (
    "start",
    "end",
    "duration_s",
    "label",
    "confidence",
    "mean_confidence",
    "source",
    "model",
)

NOTE = "note"
"""A further column that a log may have: words about how an event came to be written, usually none."""

FORMULA_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What begins a formula, also in full width."""

DateText = Callable[[float], str]
"""Writes a date, given in seconds since 1970 (UTC)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(event: Event, date: DateText | None = None) -> dict[str, str | float]:
    """Values by column.

    ``start`` and ``end`` are ISO 8601 texts with milliseconds (UTC, or what `date` makes of them) for a live
    source or a dated recording, else seconds from the beginning of the file.
    """
    date = date or utc_text
    return {
        "start": date(event.start_s) if event.live else round(event.start_s, 3),
        "end": date(event.end_s) if event.live else round(event.end_s, 3),
        "duration_s": round(event.duration_s, 3),
        "label": event.label,
        "confidence": round(event.confidence, 3),
        "mean_confidence": round(event.mean_confidence, 3),
        "source": event.source,
        "model": event.model,
    }


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: such a one gets an apostrophe in front.

    Names of files and devices come from anywhere, and labels from any model. A tab or a carriage return
    counts as well, because some programs drop it. See OWASP, "CSV Injection". All other texts are left
    as they are.
    """
    begins = text.lstrip()[:1]
    risky = text[:1] in ("\t", "\r", "\n") or (begins != "" and begins in FORMULA_SIGNS)
    return f"'{text}" if risky else text


def utc_text(unix_s: float) -> str:
    """A date as ISO 8601 in UTC, to the millisecond."""
    at = EPOCH + timedelta(milliseconds=round(unix_s * 1000))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_text(unix_s: float, zone: tzinfo | None = None) -> str:
    """A date as ISO 8601 in local time with its distance from UTC, to the millisecond.

    Args:
        unix_s: seconds since 1970 (UTC).
        zone: None for that of the system.
    """
    at = EPOCH + timedelta(milliseconds=round(unix_s * 1000))
    return at.astimezone(zone).isoformat(timespec="milliseconds")


def unix_s(text: str) -> float | None:
    """The number behind a begin or end: seconds since 1970, or from the beginning of a file."""
    try:
        return datetime.fromisoformat(text).timestamp() if "T" in text else float(text)
    except (ValueError, OverflowError):
        return None


def clock_text(seconds: float, live: bool, zone: tzinfo | None = None) -> str:
    """For people: local time of day of a date, or minutes and seconds of a position in a file.

    Args:
        seconds: since 1970 (UTC), or from the beginning of the file.
        live: it is a date.
        zone: None for that of the system.
    """
    if live:
        return datetime.fromtimestamp(seconds, zone).strftime("%H:%M:%S")
    minutes, tenths = divmod(round(max(0.0, seconds) * 10), 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"
