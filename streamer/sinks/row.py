"""How an event is written down: the columns that other programs rely on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(event: Event) -> dict[str, str | float]:
    """Values by column.

    ``start`` and ``end`` are ISO 8601 UTC texts with milliseconds for a live source, else seconds
    from the beginning of the file.
    """
    return {
        "start": utc_text(event.start_s) if event.live else round(event.start_s, 3),
        "end": utc_text(event.end_s) if event.live else round(event.end_s, 3),
        "duration_s": round(event.duration_s, 3),
        "label": event.label,
        "confidence": round(event.confidence, 3),
        "mean_confidence": round(event.mean_confidence, 3),
        "source": event.source,
        "model": event.model,
    }


def utc_text(unix_s: float) -> str:
    """A date as ISO 8601 in UTC, to the millisecond."""
    at = EPOCH + timedelta(milliseconds=round(unix_s * 1000))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_text(seconds: float, live: bool) -> str:
    """For people: local time of day of a date, or minutes and seconds of a position in a file."""
    if live:
        return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
    minutes, tenths = divmod(round(max(0.0, seconds) * 10), 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"
