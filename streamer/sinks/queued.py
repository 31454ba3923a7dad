"""A queue before a sink, so that a slow or broken outlet never stalls hearing."""

from __future__ import annotations

import threading
from queue import Empty, Full, Queue

from streamer.sinks.sink import Sink
from streamer.sinks.ticket import Ticket
from streamer.types import Event

CLOSING_S = 1.5
"""How long closing waits for a sink that is stuck, so that the program stops within two seconds."""

PATIENT_CLOSING_S = 5.0
"""The same for a source that can wait."""


class QueuedSink:
    """Writes events to a sink in a thread of its own.

    Args:
        sink: where they go.
        name: what it is called when it fails.
        size: events that may wait; when so many wait, a new one is dropped and counted.
        patient: wait for room instead of dropping, for sources that can wait (files).
    """

    def __init__(self, sink: Sink, name: str, size: int = 1_000, patient: bool = False) -> None:
        self.name = name
        self.dropped = 0
        """Events that were not written."""

        self.written = 0
        self.error: Exception | None = None
        """The last failure, if any."""

        self.stuck = False
        """True when it did not end with the rest of the program: whoever reads does not."""

        self._sink = sink
        self.patient = patient
        """May be changed, for a pipe that turns out to be a recording."""

        self._queue: Queue[tuple[Event, Ticket | None]] = Queue(maxsize=size)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._thread.start()

    def write(self, event: Event, ticket: Ticket | None = None) -> None:
        """Hand over the event.

        Args:
            ticket: it is not written before that is settled, or has waited for too long.
        """
        try:
            self._queue.put((event, ticket), block=self.patient)
        except Full:
            self.dropped += 1

    def _run(self) -> None:
        while True:
            try:
                event, ticket = self._queue.get(timeout=0.1)
            except Empty:
                if self._closing.is_set():
                    return
                continue
            if ticket is not None:
                ticket.wait()
            try:
                self._sink.write(event)
                self.written += 1
            except Exception as error:  # whatever it is, the next event gets its chance
                self.error = error
                self.dropped += 1

    def close(self) -> None:
        """Write what waits, then close the sink; what a stuck sink does not take is dropped."""
        self._closing.set()
        self._thread.join(PATIENT_CLOSING_S if self.patient else CLOSING_S)
        if self._thread.is_alive():
            self.stuck = True
            self.dropped += self._queue.qsize()
        else:
            self._sink.close()
