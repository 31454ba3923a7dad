"""One run of `esc-listen`: sources, listener, sinks and screen put together, and taken down again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TextIO

from streamer.errors import SourceError
from streamer.listen import listen, rules_in_force
from streamer.model import Model, load_model
from streamer.monitor import Monitor
from streamer.settings import Settings
from streamer.sinks import CsvLog, JsonLines, PlainLines, QueuedSink
from streamer.sources import Source, open_source


def run_session(settings: Settings, demo: bool = False, screenshot: str | None = None) -> int:
    """Listen to every input of the settings; gives the exit status.

    Raises:
        EscListenError: the model, the log or the only input cannot be used.
    """
    model = load_model(settings.model.name)
    rules = rules_in_force(model, settings.events)
    sources = open_sources(settings, model, demo)
    sinks = open_sinks(settings)
    monitor = Monitor(
        model,
        on=tuple(rule.on for rule in rules),
        off=tuple(rule.off for rule in rules),
        log=settings.log.csv,
        dropped_rows=lambda: sum(sink.dropped for sink in sinks),
    )
    counts: Counter[str] = Counter()
    failed = 0
    with stop_on_signals() as stop, screen(settings, monitor, screenshot, sinks) as say:
        if settings.log.csv:
            say(f"events go to {settings.log.csv}")
        for open_next in sources:
            try:
                source = open_next()
                if source.live:
                    say(f"listening to {source.name} with the model {model.name}; Ctrl-C stops")
                hear(source, model, settings, sinks, monitor, counts, stop)
            except SourceError as error:
                say(f"esc-listen: {error}")
                failed += 1
            if stop.is_set():
                break
        for sink in sinks:
            sink.close()
    print(summary(counts, monitor, settings, sinks), file=sys.stderr)
    if any(map(broken_pipe, sinks)):
        # Nobody reads standard output any more: keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if failed or any(sink.dropped and not broken_pipe(sink) for sink in sinks) else 0


def hear(
    source: Source,
    model: Model,
    settings: Settings,
    sinks: list[QueuedSink],
    monitor: Monitor,
    counts: Counter[str],
    stop: threading.Event,
) -> None:
    """Listen to one source and hand its events to every sink."""
    for event in listen(
        source,
        model,
        settings.events,
        threads=settings.model.threads,
        monitor=monitor,
        stop=stop,
        duration_s=settings.source.duration_s,
    ):
        counts[event.label] += 1
        for sink in sinks:
            sink.write(event)
            if broken_pipe(sink):
                stop.set()


def broken_pipe(sink: QueuedSink) -> bool:
    """True when whoever read our output has gone, as with ``| head``."""
    return isinstance(sink.error, BrokenPipeError)


def open_sources(settings: Settings, model: Model, demo: bool) -> list[Callable[[], Source]]:
    """What opens each input in its turn. A single one is opened at once.

    Raises:
        SourceError: the single input cannot be heard; nothing has been logged or shown yet.
    """
    rate_hz = model.manifest.front_end.sample_rate_hz
    if demo:
        from streamer.demo import DemoSource

        return [partial(DemoSource, rate_hz)]
    openers: list[Callable[[], Source]] = [
        partial(open_source, name, settings.source, rate_hz) for name in settings.source.input
    ]
    if len(openers) > 1:
        return openers
    only = openers[0]()
    return [lambda: only]


def open_sinks(settings: Settings) -> list[QueuedSink]:
    """Open the log and the lines on standard output.

    Raises:
        SinkError: the log cannot be written.
    """
    # Files can wait for a slow disk; the air in front of a microphone cannot.
    patient = not {"mic", "-"} & set(settings.source.input)
    sinks = []
    if settings.log.csv:
        sinks.append(QueuedSink(CsvLog(Path(settings.log.csv)), settings.log.csv, patient=patient))
    if settings.log.json:
        sinks.append(QueuedSink(JsonLines(sys.stdout), "standard output", patient=patient))
    return sinks


class Say:
    """Prints messages for people: at once, or when the dashboard has left the screen."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._waiting: list[str] = []

    def __call__(self, message: str) -> None:
        if self._stream is None:
            self._waiting.append(message)
        else:
            print(message, file=self._stream, flush=True)

    def release(self, stream: TextIO) -> None:
        """Print what waits, and everything from now on at once."""
        self._stream = stream
        for message in self._waiting:
            self(message)
        self._waiting.clear()


@contextlib.contextmanager
def screen(
    settings: Settings, monitor: Monitor, screenshot: str | None, sinks: list[QueuedSink]
) -> Iterator[Say]:
    """The dashboard on a terminal, plain lines elsewhere; gives what prints a message for people."""
    if settings.log.json or settings.screen.plain or not drawable():
        if not settings.log.json:
            sinks.append(QueuedSink(PlainLines(sys.stdout), "standard output", patient=True))
        with watch_state(monitor):
            yield Say(sys.stderr)
        return
    from streamer.dashboard import Dashboard

    say = Say(None)
    try:
        with Dashboard(
            monitor.snapshot,
            refresh_hz=settings.screen.refresh_hz,
            screenshot=Path(screenshot) if screenshot else None,
        ):
            yield say
    finally:
        say.release(sys.stderr)


def drawable() -> bool:
    """True on a terminal that can show a dashboard."""
    if not sys.stdout.isatty():
        return False
    from streamer.dashboard import can_draw

    return can_draw()


ALARMS = {
    "silent": "only digital zeros come in: is the microphone muted or dead?",
    "stalled": "no sound comes in any more: is the microphone still connected?",
    "listening": "sound comes in again",
}


@contextlib.contextmanager
def watch_state(monitor: Monitor) -> Iterator[None]:
    """Without a dashboard: say on standard error when a live source falls silent, stalls, recovers."""
    over = threading.Event()

    def watch() -> None:
        before = "starting"
        while not over.wait(0.5):
            state = monitor.state
            if state != before and (state in ("silent", "stalled") or before in ("silent", "stalled")):
                print(f"esc-listen: {ALARMS.get(state, state)}", file=sys.stderr, flush=True)
            before = state

    thread = threading.Thread(target=watch, name="state", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the listening in good order; a second Ctrl-C at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summary(counts: Counter[str], monitor: Monitor, settings: Settings, sinks: list[QueuedSink]) -> str:
    """What happened, in one line."""
    status = monitor.snapshot()
    total = counts.total()
    line = f"{total} event{'' if total == 1 else 's'} in {monitor.total_heard_s:.1f} s of sound"
    if counts:
        line += ": " + ", ".join(f"{label} {n}" for label, n in counts.most_common())
    if settings.log.csv:
        line += f"; logged in {settings.log.csv}"
    health = status.health
    if health.gaps:
        line += f"; {health.gaps} gaps, {health.lost_s:.2f} s lost"
    if health.broken_samples:
        line += f"; {health.broken_samples} samples were not numbers and counted as silence"
    for sink in sinks:
        if sink.dropped and not broken_pipe(sink):
            reason = sink.error.strerror if sink.error else "too slow"
            line += f"; {sink.dropped} events could not be written to {sink.name} ({reason})"
    return line
