"""Every knob, in one validated place.

Settings come from a TOML file (``--config``) and from options of the command line, which win. The
tables of the file are the fields of `Settings`: ``[source]``, ``[model]``, ``[events]``, ``[log]``,
``[screen]``.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from streamer.errors import SettingsError
from streamer.model import DEFAULT_MODEL
from streamer.tables import TableError, from_table

SampleFormat = Literal["s16le", "f32le"]

LARGEST_FILE = 20_000
"""Bytes of a configuration; all settings with their explanations are a fifth of it. The reader of TOML
takes minutes for some files that are larger and senseless."""


def _check(condition: bool, problem: str) -> None:
    if not condition:
        raise SettingsError(problem)


def _check_finite(settings: object, table: str) -> None:
    for item in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, item.name)
        if isinstance(value, float):
            _check(math.isfinite(value), f"{table}.{item.name}: {value} is not a finite number")


@dataclass(frozen=True)
class SourceSettings:
    """Where the samples come from."""

    input: tuple[str, ...] = ("mic",)
    """``mic``, ``-`` (raw PCM on standard input), or sound files."""

    device: str = ""
    """Microphone: part of its name, or its index. Empty: the default one."""

    wait: bool = False
    """Microphone: when it is not there at the start, wait for it instead of giving up, as a service
    should. One that was there and goes away is waited for in any case."""

    channel: int = 0
    """Channel to listen to, from 1. 0: the mean of all."""

    rate_hz: int = 44_100
    """Raw PCM: samples per second."""

    channels: int = 1
    """Raw PCM: number of interleaved channels."""

    format: SampleFormat = "s16le"
    """Raw PCM: 16-bit signed integers or 32-bit floats, little-endian."""

    live: bool = False
    """Raw PCM: it is live. Otherwise the first ten seconds tell whether it is that or a recording."""

    start: str = ""
    """Recordings: when they began, for dates instead of seconds: ``name`` (the date in the name of the file,
    or in it), ``mtime`` (the file was last changed when the recording ended), or a date for a single one.
    Empty: seconds from the beginning."""

    time_zone: str = ""
    """Zone of those dates where they say none, of ``log.local_time`` and of the screen: ``Europe/Berlin``,
    ``UTC``, ``+02:00``. Empty: that of the system."""

    realtime: bool = False
    """Files: as slowly as if they were live."""

    duration_s: float = 0.0
    """Stop after so many seconds of audio. 0: never."""

    def __post_init__(self) -> None:
        _check(len(self.input) > 0, "source.input: name at least one input")
        from streamer.sources.recorded import parse_date, time_zone

        try:
            zone = time_zone(self.time_zone)
        except ValueError as error:
            raise SettingsError(f"source.time_zone: {error}") from error
        if self.start not in ("", "name", "mtime"):
            try:
                parse_date(self.start, zone)
            except ValueError as error:
                raise SettingsError(f"source.start: {error}, and neither name nor mtime") from error
        _check(self.channel >= 0, "source.channel: channels are counted from 1; 0 means all")
        _check(
            1_000 <= self.rate_hz <= 768_000,
            f"source.rate_hz: {self.rate_hz} is not a rate between 1000 and 768000 Hz",
        )
        _check(1 <= self.channels <= 64, f"source.channels: {self.channels} is not between 1 and 64")
        _check_finite(self, "source")
        _check(
            self.duration_s == 0 or self.duration_s >= 0.1,
            "source.duration_s: must be at least 0.1, or 0 for no end",
        )


@dataclass(frozen=True)
class ModelSettings:
    """Which network listens."""

    name: str = DEFAULT_MODEL
    """A shipped model, or the path of a ``.tflite`` file."""

    threads: int = 1
    """Processor threads that the network may use."""

    def __post_init__(self) -> None:
        _check(1 <= self.threads <= 64, f"model.threads: {self.threads} is not between 1 and 64")


@dataclass(frozen=True)
class EventSettings:
    """How probabilities become events. What is not set here, the model's manifest says."""

    hop_s: float | None = None
    """Seconds from one window to the next."""

    smoothing_s: float | None = None
    """Time constant of the smoothing, in seconds."""

    threshold: float | None = None
    """Probability at which an event of any class begins, instead of the model's own ones."""

    min_duration_s: float | None = None
    """An event is announced when it has gone on for so long."""

    hangover_s: float | None = None
    """An event is over when its sound has been away for so long."""

    max_duration_s: float = 60.0
    """An endless sound is logged in pieces of this length."""

    labels: tuple[str, ...] = ()
    """Only these classes become events; the name of a group, if the model has any, means all in it.
    Empty: all."""

    def __post_init__(self) -> None:
        _check_finite(self, "events")
        _check(all(self.labels), "events.labels: a label is empty")
        _check(self.hop_s is None or self.hop_s > 0, "events.hop_s: must be above 0")
        _check(self.smoothing_s is None or self.smoothing_s >= 0, "events.smoothing_s: must not be negative")
        _check(
            self.threshold is None or 0 < self.threshold <= 1,
            f"events.threshold: {self.threshold} is not above 0 and at most 1",
        )
        for name in ("min_duration_s", "hangover_s"):
            value = getattr(self, name)
            _check(value is None or value >= 0, f"events.{name}: must not be negative")
        _check(self.max_duration_s >= 1, "events.max_duration_s: must be at least 1")


@dataclass(frozen=True)
class LogSettings:
    """Where events go."""

    csv: str = "esc-events.csv"
    """The event log. Empty: none."""

    json: bool = False
    """Print each event as a line of JSON on standard output."""

    rotate: str = ""
    """Begin a new CSV each day (``daily``, of UTC or ``local_time``) or before it gets larger than ``10MB``
    (kB, MB, GB). The old one becomes ``NAME.DAY.csv``. Empty: never."""

    local_time: bool = False
    """Write local time with its distance from UTC (``2026-11-21T08:31:02.114+01:00``) instead of UTC, and
    rotate by the local day."""

    keep: int = 0
    """Keep so many of those old files and delete older ones. 0: keep all."""

    note_column: bool = False
    """Give a new CSV a further column ``note``, which says ``interrupted`` for an event that was going on
    when the program was killed. Without it only the journal says so."""

    journal: str = "auto"
    """What happened to the listening itself: starts, states, gaps, the ledger. ``auto``: for a microphone
    or standard input, ``NAME.journal.jsonl`` beside the CSV. Empty: none."""

    def __post_init__(self) -> None:
        from streamer.sinks.rotation import parse_rotation

        try:
            parse_rotation(self.rotate)
        except ValueError as error:
            raise SettingsError(f"log.rotate: {error}") from error
        _check(0 <= self.keep <= 100_000, f"log.keep: {self.keep} is not between 0 and 100000")


@dataclass(frozen=True)
class ScreenSettings:
    """What a person sees."""

    plain: bool = False
    """Plain lines instead of the dashboard."""

    refresh_hz: float = 6.0
    """Pictures per second."""

    def __post_init__(self) -> None:
        _check(0.5 <= self.refresh_hz <= 30, "screen.refresh_hz: must lie between 0.5 and 30")


@dataclass(frozen=True)
class Settings:
    """All settings of `esc-listen`."""

    source: SourceSettings = field(default_factory=SourceSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    events: EventSettings = field(default_factory=EventSettings)
    log: LogSettings = field(default_factory=LogSettings)
    screen: ScreenSettings = field(default_factory=ScreenSettings)


def read_settings(path: Path) -> Settings:
    """Read a configuration file.

    Raises:
        SettingsError: it cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise SettingsError(f"longer than {LARGEST_FILE} bytes, which no configuration needs")
        return from_table(Settings, tomllib.loads(content.decode("utf-8-sig")))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also numbers or tables that are beyond Python
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except (TableError, SettingsError) as error:
        raise SettingsError(f"{path}: {error}") from error
