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
from dataclasses import replace
from functools import partial
from types import FrameType

from streamer import __version__
from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.journal import Journal
from streamer.listen import Listener, listen, rules_in_force
from streamer.model import Model, load_model
from streamer.monitor import Monitor
from streamer.notify import service_manager
from streamer.output import discard_output
from streamer.printable import printable
from streamer.screen import dashboard, drawable, plain_notes
from streamer.settings import Settings
from streamer.sinks import EventLog, JsonLines, PlainLines, QueuedSink
from streamer.sinks.lines import plain_line
from streamer.sinks.log_kind import fitting_log
from streamer.sinks.log_writer import reason_of
from streamer.sinks.opening import date_text, open_log
from streamer.sources import Report, Source, no_report, open_source
from streamer.sources.recorded import time_zone
from streamer.types import Event


def run_session(
    settings: Settings, demo: bool = False, screenshot: str | None = None, debug: bool = False
) -> int:
    """Listen to every input of the settings; gives the exit status.

    Raises:
        EscListenError: the model, the log or the only input cannot be used.
    """
    if kind := kind_of_rows(settings, demo):
        log_name = fitting_log(settings.log.csv, kind)
        settings = replace(settings, log=replace(settings.log, csv=log_name))
    model = load_model(settings.model.name)
    rules = rules_in_force(model, settings.events)
    classifier = Classifier(model, settings.model.threads)
    # Everything that can be refused is refused before anything is written.
    Listener(model, settings.events, classifier=classifier)
    journal = Journal()
    reports = Reports(journal)
    sources = open_sources(settings, model, demo, reports)
    drawn = not settings.log.json and not settings.screen.plain and drawable()
    log = open_log(settings.log, is_live(settings, demo), model.name, journal, date_text(settings))
    sinks = open_sinks(settings, lines=not drawn)
    zone = time_zone(settings.source.time_zone)
    monitor = Monitor(
        model,
        on=tuple(rule.on for rule in rules),
        off=tuple(rule.off for rule in rules),
        log=settings.log.csv,
        dropped_rows=lambda: log.dropped + sum(sink.dropped for sink in sinks),
        log_trouble=lambda: log.complaint,
        draws=drawn,
        announced=log.announced,
        zone=zone,
    )
    counts: Counter[str] = Counter()
    latest: deque[Event] = deque(maxlen=LATEST)
    failed = 0
    look = dashboard(settings, monitor, screenshot) if drawn else plain_notes(monitor)
    with stop_on_signals(log.reopen) as stop, look as say, service_manager(monitor, stop):
        if settings.log.csv:
            say(f"events go to {settings.log.csv}")
        if journal.path:
            say(f"the journal is {journal.path}")
        for finding in log.findings:
            say(finding)
        log.tell = say
        reports.begin(say)
        journal.write(
            "start",
            version=__version__,
            model=model.name,
            source=list(settings.source.input),
            settings=settings,
            process=os.getpid(),
            after=journal.before,
        )
        outlets = [*sinks, QueuedSink(Shown(monitor), "screen", patient=not is_live(settings, demo))]
        try:
            for open_next in sources:
                try:
                    source = open_next()
                    if source.live and not drawn:
                        # What the dashboard keeps back is printed when this is true no more.
                        say(f"listening to {source.name} with the model {model.name}; Ctrl-C stops")
                    for event in hear(source, classifier, settings, log, outlets, monitor, stop):
                        counts[event.label] += 1
                        latest.append(event)
                except SourceError as error:
                    say(f"esc-listen: {error}")
                    failed += 1
                if stop.is_set() or spent(settings, monitor):
                    break
        finally:
            broken = failed or sys.exc_info()[0] is not None
            log.close(reason="failed" if broken else "stopped" if stop.is_set() else "end of the sound")
            for sink in outlets:
                sink.close()
    if drawn:
        # The dashboard is gone from the screen: leave something behind.
        if missing := counts.total() - len(latest):
            print(f"{missing} earlier event{'' if missing == 1 else 's'} not shown; the last {len(latest)}:")
        for event in latest:
            print(plain_line(event, zone))
    print(printable(summary(counts, monitor, settings, log, sinks, debug)), file=sys.stderr)
    if any(sink.error or sink.stuck for sink in sinks):
        discard_output()  # the summary has told it, unless whoever read it has seen enough
    lost = log.dropped or log.left or any(sink.dropped and not broken_pipe(sink) for sink in sinks)
    return 1 if failed or lost else 0


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
    log: EventLog,
    outlets: list[QueuedSink],
    monitor: Monitor,
    stop: threading.Event,
) -> Iterator[Event]:
    """Listen to one source, hand its events to the log and then to every outlet, and pass them on."""
    asked_s = settings.source.duration_s
    for event in listen(
        source,
        classifier.model,
        settings.events,
        monitor=monitor,
        stop=stop,
        duration_s=max(SHORTEST_S, asked_s - monitor.total_heard_s) if asked_s else 0.0,
        classifier=classifier,
        report=log.journal.write,
        going_on=log.going_on,
    ):
        log.patient = not source.live
        ticket = log.write(event)
        for sink in outlets:
            sink.patient = not source.live
            sink.write(event, ticket)
            if broken_pipe(sink):
                stop.set()
        yield event


class Reports:
    """Passes on to the journal what sources report; what a person should know is said as well."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[str] = []
        self._say = self._waiting.append

    def __call__(self, kind: str, **fields: object) -> None:
        self._journal.write(kind, **fields)
        if kind == "advice":
            self._say(str(fields["text"]))

    def begin(self, say: Callable[[str], None]) -> None:
        """Say what waits, and everything from now on at once."""
        self._say = say
        for text in self._waiting:
            say(text)


class Shown:
    """Tells the monitor which events are over, for the screen."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def write(self, event: Event) -> None:
        """Show the event."""
        self._monitor.finished(event)

    def close(self) -> None:
        """Nothing to release."""


def is_live(settings: Settings, demo: bool) -> bool:
    """True for a microphone or a pipe, which cannot wait and cannot be heard again."""
    return not demo and bool({"mic", "-"} & set(settings.source.input))


def kind_of_rows(settings: Settings, demo: bool) -> str:
    """``dates`` or ``seconds``; empty for a pipe that has yet to show whether it is live."""
    source = settings.source
    if demo:
        return "seconds"
    if source.start or source.live or "mic" in source.input:
        return "dates"
    return "" if "-" in source.input else "seconds"


def broken_pipe(sink: QueuedSink | EventLog) -> bool:
    """True when whoever read our output has gone, as with ``| head``."""
    return isinstance(sink.error, BrokenPipeError)


def open_sources(
    settings: Settings, model: Model, demo: bool, report: Report = no_report
) -> list[Callable[[], Source]]:
    """What opens each input in its turn. A single one is opened at once.

    Raises:
        SourceError: the single input cannot be heard; nothing has been logged or shown yet.
    """
    rate_hz = model.manifest.front_end.sample_rate_hz
    if demo:
        from streamer.demo import DemoSource

        return [partial(DemoSource, rate_hz)]
    openers: list[Callable[[], Source]] = [
        partial(open_source, name, settings.source, rate_hz, report) for name in settings.source.input
    ]
    if len(openers) > 1:
        return openers
    only = openers[0]()
    return [lambda: only]


def open_sinks(settings: Settings, lines: bool) -> list[QueuedSink]:
    """Open JSON or plain lines on standard output.

    Args:
        lines: print plain lines, because there is no dashboard.
    """
    # Files can wait for a slow reader; the air in front of a microphone cannot.
    patient = not is_live(settings, demo=False)
    sinks: list[QueuedSink] = []
    if sys.__stdout__ is None and not settings.log.json:
        return sinks  # closed by somebody who wants no lines
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show must not stop the line that holds it.
        sys.stdout.reconfigure(errors="backslashreplace")
    if settings.log.json:
        sinks.append(
            QueuedSink(JsonLines(sys.stdout, date_text(settings)), "standard output", patient=patient)
        )
    elif lines:
        sinks.append(
            QueuedSink(
                PlainLines(sys.stdout, time_zone(settings.source.time_zone)),
                "standard output",
                patient=patient,
            )
        )
    return sinks


@contextlib.contextmanager
def stop_on_signals(reopen: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the listening in good order; a second Ctrl-C at once. SIGHUP reopens the
    files, but when it says that our terminal is gone it is an end as well."""
    stop = threading.Event()
    # nohup asks us to stay when the terminal goes.
    bound = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and has_terminal()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (bound and not has_terminal()):
            reopen()
            return
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def has_terminal() -> bool:
    """True when the process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def summary(
    counts: Counter[str],
    monitor: Monitor,
    settings: Settings,
    log: EventLog,
    sinks: list[QueuedSink],
    debug: bool,
) -> str:
    """What happened, in one line."""
    status = monitor.snapshot()
    total = counts.total()
    line = f"{total} event{'' if total == 1 else 's'} in {monitor.total_heard_s:.1f} s of sound"
    if counts:
        line += ": " + ", ".join(f"{label} {n}" for label, n in counts.most_common())
    if settings.log.csv:
        line += f"; logged in {settings.log.csv}"
    health = status.health
    if health.ledger.rate_hz:
        line += f"; {health.ledger.text(debug)}"
    elif health.gaps:
        line += f"; {health.gaps} gaps, {health.lost_s:.2f} s lost"
    if health.skipped_windows:
        line += f"; {health.skipped_windows} windows were skipped, because the network is too slow"
    if health.overflows:
        line += f"; the sound system dropped input {health.overflows} times"
    if health.broken_samples:
        line += f"; {health.broken_samples} samples were not numbers and counted as silence"
    if log.left:
        line += f"; {log.left} events will be written to {log.name} at the next start"
    outlets: list[EventLog | QueuedSink] = [log, *sinks]
    for sink in outlets:
        if sink.dropped and not broken_pipe(sink):
            reason = reason_of(sink.error) if sink.error else "too slow"
            what = "event" if sink.dropped == 1 else "events"
            line += f"; {sink.dropped} {what} could not be written to {sink.name} ({reason})"
    return line
