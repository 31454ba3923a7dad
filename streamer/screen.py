"""What people see while it runs: the dashboard on a terminal, plain notes elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from streamer.monitor import Monitor
from streamer.printable import printable
from streamer.settings import Settings
from streamer.sinks.row import clock_text


class Say:
    """Prints messages for people: at once, or when the dashboard has left the screen."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._waiting: list[str] = []

    def __call__(self, message: str) -> None:
        if self._stream is None:
            self._waiting.append(message)
        else:
            print(printable(message), file=self._stream, flush=True)

    def release(self, stream: TextIO) -> None:
        """Print what waits, and everything from now on at once."""
        self._stream = stream
        for message in self._waiting:
            self(message)
        self._waiting.clear()


@contextlib.contextmanager
def dashboard(settings: Settings, monitor: Monitor, screenshot: str | None) -> Iterator[Say]:
    """The dashboard; messages for people wait until it has left the screen."""
    from streamer.dashboard import Dashboard

    say = Say(None)
    picture = Path(screenshot) if screenshot else None
    try:
        with Dashboard(monitor.snapshot, refresh_hz=settings.screen.refresh_hz, screenshot=picture):
            yield say
    finally:
        say.release(sys.stderr)


def drawable() -> bool:
    """True on a terminal that can show a dashboard."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    from streamer.dashboard import can_draw

    return can_draw()


ALARMS = {
    "silent": "only digital silence comes in since {since}: is the microphone muted or dead?",
    "stalled": "no sound comes in any more since {since}: is the microphone still connected?",
    "recovering": "{problem} (nothing heard since {since}; trying again until it is)",
    "listening": "sound comes in again since {since}",
}
"""What is said when a state begins."""

LOOK_S = 0.5
"""How often the state is looked at."""

TROUBLE = ("silent", "stalled", "recovering")


@contextlib.contextmanager
def plain_notes(monitor: Monitor) -> Iterator[Say]:
    """Without a dashboard: notes on standard error, also when a live source falls silent, stalls, goes
    away or recovers."""
    over = threading.Event()

    def watch() -> None:
        before = "starting"
        looked_s = time.monotonic()
        while not over.wait(LOOK_S):
            before_s, looked_s = looked_s, time.monotonic()
            if looked_s - before_s > 2 * LOOK_S:
                continue  # it is we who were stopped
            state = monitor.state
            if state != before and state in ALARMS and (state in TROUBLE or before in TROUBLE):
                status = monitor.snapshot()
                since = clock_text(time.time() - status.state_since_s, live=True)
                problem = status.problem or f"{status.source} is away"
                note = ALARMS[state].format(since=since, problem=problem)
                print(printable(f"esc-listen: {note}"), file=sys.stderr, flush=True)
            before = state

    thread = threading.Thread(target=watch, name="state", daemon=True)
    thread.start()
    try:
        yield Say(sys.stderr)
    finally:
        over.set()
        thread.join()
