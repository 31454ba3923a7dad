"""Opens the log that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from streamer.errors import SinkError
from streamer.journal import Journal
from streamer.settings import LogSettings, Settings
from streamer.sinks.csv_log import CsvLog
from streamer.sinks.event_log import EventLog
from streamer.sinks.open_events import OpenEvents
from streamer.sinks.rotation import parse_rotation
from streamer.sinks.row import DateText, local_text, utc_text
from streamer.sources.recorded import time_zone

T = TypeVar("T")


def date_text(settings: Settings) -> DateText:
    """How dates are written."""
    if not settings.log.local_time:
        return utc_text
    return partial(local_text, zone=time_zone(settings.source.time_zone))


def open_log(
    settings: LogSettings,
    live: bool,
    model: str = "",
    journal: Journal | None = None,
    date: DateText = utc_text,
) -> EventLog:
    """Open the CSV, the list of its open events and the journal.

    The CSV and a journal that was asked for by name must work. The list, and the journal that is kept by
    default, may be missing where only the CSV can be written: that is told, and the rest goes on.

    Args:
        live: the source is a microphone or a pipe. Files can be heard again, so they keep no journal unless
            they are told to, their rows may wait for a slow disk, and need not survive a power cut.
        model: name of the model that listens.
        journal: one that has taken entries already, and is to be opened.
        date: how dates are written.

    Raises:
        SinkError: one of them cannot be used.
    """
    journal = journal or Journal()
    told: list[str] = []
    csv = open_events = None
    if settings.csv:
        csv = CsvLog(
            Path(settings.csv),
            parse_rotation(settings.rotate),
            settings.keep,
            settings.note_column,
            model,
            date,
        )
    try:
        if csv is not None:
            place = csv.real
            open_events = _if_allowed(
                lambda: OpenEvents(place), "an event that goes on is lost if the program is killed", told
            )
        path = journal_path(settings, live)
        if settings.journal == "auto":
            opened = path
            _if_allowed(lambda: journal.open(opened), "listening goes on without one", told)
        else:
            journal.open(path)
    except BaseException:
        if csv is not None:
            csv.close()
        if open_events is not None:
            open_events.close()
        raise
    if journal.path is None:
        journal.open(None)
    log = EventLog(csv, open_events, journal, settings.csv, patient=not live, durable=live)
    log.findings.extend(told)
    return log


def journal_path(settings: LogSettings, live: bool) -> Path | None:
    """Where the journal is kept, if it is."""
    if settings.journal != "auto":
        return Path(settings.journal) if settings.journal else None
    if not live or not settings.csv:
        return None
    csv = Path(settings.csv)
    return csv.with_name(f"{csv.stem}.journal.jsonl")


def _if_allowed(work: Callable[[], T], consequence: str, told: list[str]) -> T | None:
    """Do the work; where the system does not let us, tell what follows from that."""
    try:
        return work()
    except SinkError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, BlockingIOError):
            told.append(f"{error}; {consequence}")
            return None
        raise
