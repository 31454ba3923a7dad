"""One run of `esc-listen`: sources, listener, sinks and screen put together, and taken down again."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.listen import Listener, listen, rules_in_force
from streamer.model import Model, load_model
from streamer.monitor import Monitor
from streamer.screen import dashboard, drawable, plain_notes
from streamer.settings import Settings
from streamer.sinks import CsvLog, JsonLines, PlainLines, QueuedSink
from streamer.sinks.lines import plain_line
from streamer.sources import Source, open_source
from streamer.types import Event


def run_session(settings: Settings, demo: bool = False, screenshot: str | None = None) -> int:
    """Listen to every input of the settings; gives the exit status.

    Raises:
        EscListenError: the model, the log or the only input cannot be used.
    """
    model = load_model(settings.model.name)
    rules = rules_in_force(model, settings.events)
    classifier = Classifier(model, settings.model.threads)
    # Everything that can be refused is refused before anything is written.
    Listener(model, settings.events, classifier=classifier)
    sources = open_sources(settings, model, demo)
    drawn = not settings.log.json and not settings.screen.plain and drawable()
    sinks = open_sinks(settings, lines=not drawn)
    monitor = Monitor(
        model,
        on=tuple(rule.on for rule in rules),
        off=tuple(rule.off for rule in rules),
        log=settings.log.csv,
        dropped_rows=lambda: sum(sink.dropped for sink in sinks),
        draws=drawn,
    )
    counts: Counter[str] = Counter()
    latest: deque[Event] = deque(maxlen=LATEST)
    failed = 0
    look = dashboard(settings, monitor, screenshot) if drawn else plain_notes(monitor)
    with stop_on_signals() as stop, look as say:
        if settings.log.csv:
            say(f"events go to {settings.log.csv}")
        try:
            for open_next in sources:
                try:
                    source = open_next()
                    if source.live:
                        say(f"listening to {source.name} with the model {model.name}; Ctrl-C stops")
                    for event in hear(source, classifier, settings, sinks, monitor, stop):
                        counts[event.label] += 1
                        latest.append(event)
                except SourceError as error:
                    say(f"esc-listen: {error}")
                    failed += 1
                if stop.is_set() or spent(settings, monitor):
                    break
        finally:
            for sink in sinks:
                sink.close()
    if drawn:
        # The dashboard is gone from the screen: leave something behind.
        for event in latest:
            print(plain_line(event))
    print(summary(counts, monitor, settings, sinks), file=sys.stderr)
    if any(map(broken_pipe, sinks)):
        # Nobody reads standard output any more: keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if failed or any(sink.dropped and not broken_pipe(sink) for sink in sinks) else 0


LATEST = 10
"""Events that are printed when the dashboard leaves the screen."""

SHORTEST_S = 0.001
"""What is left of a duration is at least this: 0 would mean without end."""


def spent(settings: Settings, monitor: Monitor) -> bool:
    """True when the duration that was asked for has been heard, over all inputs."""
    asked_s = settings.source.duration_s
    return asked_s > 0 and monitor.total_heard_s >= asked_s - SHORTEST_S


def hear(
    source: Source,
    classifier: Classifier,
    settings: Settings,
    sinks: list[QueuedSink],
    monitor: Monitor,
    stop: threading.Event,
) -> Iterator[Event]:
    """Listen to one source, hand its events to every sink and pass them on."""
    asked_s = settings.source.duration_s
    for event in listen(
        source,
        classifier.model,
        settings.events,
        monitor=monitor,
        stop=stop,
        duration_s=max(SHORTEST_S, asked_s - monitor.total_heard_s) if asked_s else 0.0,
        classifier=classifier,
    ):
        for sink in sinks:
            sink.write(event)
            if broken_pipe(sink):
                stop.set()
        yield event


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


def open_sinks(settings: Settings, lines: bool) -> list[QueuedSink]:
    """Open the log, and JSON or plain lines on standard output.

    Args:
        lines: print plain lines, because there is no dashboard.

    Raises:
        SinkError: the log cannot be written.
    """
    # Files can wait for a slow disk; the air in front of a microphone cannot.
    patient = not {"mic", "-"} & set(settings.source.input)
    sinks = []
    if settings.log.csv:
        sinks.append(QueuedSink(CsvLog(Path(settings.log.csv)), settings.log.csv, patient=patient))
    if sys.stdout is None:
        return sinks
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show must not stop the line that holds it.
        sys.stdout.reconfigure(errors="backslashreplace")
    if settings.log.json:
        sinks.append(QueuedSink(JsonLines(sys.stdout), "standard output", patient=patient))
    elif lines:
        sinks.append(QueuedSink(PlainLines(sys.stdout), "standard output", patient=patient))
    return sinks


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
    if health.overflows:
        line += f"; the sound system dropped input {health.overflows} times"
    if health.broken_samples:
        line += f"; {health.broken_samples} samples were not numbers and counted as silence"
    for sink in sinks:
        if sink.dropped and not broken_pipe(sink):
            reason = getattr(sink.error, "strerror", None) or str(sink.error or "too slow")
            line += f"; {sink.dropped} events could not be written to {sink.name} ({reason})"
    return line
