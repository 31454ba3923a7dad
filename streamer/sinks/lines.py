"""Events as lines on a stream: JSON for programs, plain text for people."""

from __future__ import annotations

import json
from typing import TextIO

from streamer.sinks.row import clock_text, row
from streamer.types import Event


class JsonLines:
    """One JSON object a line, with the keys of the CSV."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Print the event."""
        self._stream.write(json.dumps(row(event)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """The stream belongs to the caller."""


class PlainLines:
    """One readable line an event: when it began, what it was, how long, how sure."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Print the event."""
        at = clock_text(event.start_s, event.live)
        label = event.label.replace("_", " ")
        sure = f"{100 * event.confidence:3.0f} %"
        self._stream.write(f"{at:>8}  {label:<18} {event.duration_s:6.1f} s  {sure}\n")
        self._stream.flush()

    def close(self) -> None:
        """The stream belongs to the caller."""
