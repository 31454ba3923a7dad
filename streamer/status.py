"""A picture of the listening at one moment: all that a dashboard shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.ledger import LedgerStatus
from streamer.sources.state import State
from streamer.types import FloatArray


@dataclass(frozen=True)
class Level:
    """Input level over the last tenths of a second."""

    peak_dbfs: float
    """Highest sample; 0 is full scale, -inf digital silence."""

    rms_dbfs: float
    clipped: bool
    """True for two seconds after a sample reached full scale."""


@dataclass(frozen=True)
class ClassStatus:
    """One class of the model."""

    label: str
    probability: float
    """What the network said about the last window."""

    smoothed: float
    on_threshold: float
    off_threshold: float
    active: bool
    """True while an event of this class goes on."""


@dataclass(frozen=True)
class EventStatus:
    """One event, finished or going on."""

    label: str
    starts_at: str
    """Local time of day (live) or position in the file, ready to print."""

    duration_s: float
    confidence: float
    active: bool


@dataclass(frozen=True)
class Health:
    """How well the program itself is doing."""

    real_time_factor: float
    """Seconds of computing per second of audio."""

    hop_latency_p50_ms: float
    """From the samples of a window being available to its scores; the median."""

    hop_latency_p95_ms: float
    gaps: int
    lost_s: float
    overflows: int
    broken_samples: int
    """Samples that were not numbers and were replaced by zero."""

    dropped_rows: int
    """Events that a log could not take."""

    cpu_percent: float
    """Of one core, over the last seconds."""

    memory_mb: float
    uptime_s: float
    every: int = 1
    """Every how many-th window is classified: 1 unless the network is too slow."""

    skipped_windows: int = 0
    """Windows that were left out for that reason."""

    backlog_s: float = 0.0
    """Captured sound that waits."""

    ledger: LedgerStatus = field(default_factory=LedgerStatus)
    """What became of every sample of a live source."""


@dataclass(frozen=True)
class Status:
    """Everything at once."""

    state: State
    state_since_s: float
    """Seconds since the state began: for `silent`, `stalled` and `recovering`, since the last sound or
    sample."""

    source: str
    live: bool
    model: str
    log: str
    """Where events are written, or an empty text."""

    heard_s: float
    """Seconds of audio taken in."""

    total_s: float | None
    """Length of the file, if it is one."""

    level: Level
    spectrogram: FloatArray
    """Latest log-mel frames in decibels, shape (frames, mel_bands), oldest first. Twelve seconds of
    them fill every picture."""

    frames_total: int
    """Frames computed since the source was opened: the absolute number of the frame after the last
    one in `spectrogram`. A gap does not set it back, the next source does."""

    band_hz: tuple[float, ...]
    """Centre frequency of each mel band, or empty if not known."""

    floor_db: float
    """Lowest value that the spectrogram can have."""

    frames_per_s: float
    classes: tuple[ClassStatus, ...]
    """All classes of the model, in its order."""

    events: tuple[EventStatus, ...]
    """Latest events, newest first; those still going on come before finished ones."""

    events_total: int
    health: Health
    problem: str = ""
    """What keeps capture from working, while something does."""

    advice: str = ""
    """What a person should know about the input, if anything."""

    log_trouble: str = ""
    """Why rows of the log wait and how many, while they do."""
