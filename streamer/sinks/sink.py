"""What a sink is: anything that takes events."""

from __future__ import annotations

from typing import Protocol

from streamer.types import Event


class Sink(Protocol):
    """One place where events go."""

    def write(self, event: Event) -> None:
        """Take one event; when this returns, it is as safe as this sink can make it.

        Raises:
            OSError: it could not be written.
        """

    def close(self) -> None:
        """Release what the sink holds."""


class MemorySink:
    """Keeps events in a list, for programs and tests."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to release."""
