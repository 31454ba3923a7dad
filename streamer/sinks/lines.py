"""Events as lines on a stream: JSON for programs, plain text for people."""

from __future__ import annotations

import json
from datetime import tzinfo
from typing import TextIO

from streamer.sinks.row import DateText, clock_text, row, utc_text
from streamer.types import Event


class JsonLines:
    """One JSON object a line, with the keys of the CSV."""

    def __init__(self, stream: TextIO, date: DateText = utc_text) -> None:
        self._stream = stream
        self._date = date

    def write(self, event: Event) -> None:
        """Print the event."""
        self._stream.write(json.dumps(row(event, self._date)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """The stream belongs to the caller."""


def plain_line(event: Event, zone: tzinfo | None = None) -> str:
    """When it began, what it was, how long it lasted, how sure the model was."""
    at = clock_text(event.start_s, event.live, zone)
    label = event.label.replace("_", " ")
    return f"{at:>8}  {label:<18} {event.duration_s:6.1f} s  {100 * event.confidence:3.0f} %"


class PlainLines:
    """One readable line an event.

    Args:
        stream: where they go.
        zone: of the times of day; None for that of the system.
    """

    def __init__(self, stream: TextIO, zone: tzinfo | None = None) -> None:
        self._stream = stream
        self._zone = zone

    def write(self, event: Event) -> None:
        """Print the event."""
        self._stream.write(plain_line(event, self._zone) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """The stream belongs to the caller."""
