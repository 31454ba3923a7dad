"""What became of every sample: captured, processed, lost.

    captured + lost = time x true rate

holds for a live source at any moment; what is missing in it is shown as *unaccounted*. All counts are
samples at the rate of the model, on the sample clock of the source, so that the places of gaps and of
events can be compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["overflow", "ring", "stall", "clock", "reopen"]
"""Why samples are missing:

``overflow``
    The sound system said that it had dropped input.
``ring``
    They were overwritten before we read them: the program was too slow.
``stall``
    The callbacks stopped for a while and went on without what lay between.
``clock``
    Nobody said anything, but all that follows is late: samples must be missing.
``reopen``
    The device was away, or closed, until it was opened again.
"""

GAPS_KEPT = 100


@dataclass(frozen=True)
class Gap:
    """A stretch of time that was not heard."""

    start_sample: int
    """Index of the first missing sample."""

    samples: int
    """How many are missing, as far as it can be known; at least one."""

    cause: Cause


NOTHING_S = 0.5
"""Less than this that is not accounted for is no loss, but the unrest of the clock."""


@dataclass(frozen=True)
class LedgerStatus:
    """The ledger at one moment."""

    rate_hz: int = 0
    """Nominal rate of all counts; 0 where no ledger is kept."""

    captured: int = 0
    """Samples that reached us and could be read."""

    processed: int = 0
    """Samples of those that have passed through the listening loop."""

    lost: dict[str, int] = field(default_factory=dict)
    """Missing samples by `Cause`."""

    gaps: int = 0
    """How often samples were missing."""

    elapsed_s: float = 0.0
    """Time from the first sample to the last one, on the monotonic clock."""

    drift_ppm: float = 0.0
    """How much faster than nominal the crystal of the device is."""

    away_s: float = 0.0
    """How long the device has been away just now; this is not in `elapsed_s`."""

    @property
    def lost_samples(self) -> int:
        """Missing samples, whatever the cause."""
        return sum(self.lost.values())

    @property
    def true_rate_hz(self) -> float:
        """The rate as measured."""
        return self.rate_hz * (1.0 + 1e-6 * self.drift_ppm)

    @property
    def unaccounted_s(self) -> float:
        """time x true rate - (captured + lost), in seconds."""
        if not self.rate_hz:
            return 0.0
        return self.elapsed_s - (self.captured + self.lost_samples) / self.true_rate_hz

    def entry(self) -> dict[str, object]:
        """For the journal: plain values, samples, seconds and hertz."""
        return {
            "rate_hz": self.rate_hz,
            "captured": self.captured,
            "processed": self.processed,
            "lost": dict(self.lost),
            "gaps": self.gaps,
            "elapsed_s": round(self.elapsed_s, 3),
            "true_rate_hz": round(self.true_rate_hz, 3),
            "drift_ppm": round(self.drift_ppm, 1),
            "unaccounted_ms": round(1000.0 * self.unaccounted_s, 1),
            "away_s": round(self.away_s, 1),
        }

    def text(self, figures: bool = False) -> str:
        """For people, in one line; with all figures for those who look for a fault."""
        seconds = 1.0 / self.rate_hz if self.rate_hz else 0.0
        lost = ", ".join(f"{cause} {samples * seconds:.2f} s" for cause, samples in self.lost.items())
        measured = (
            f"; captured {self.captured * seconds:.1f} s, crystal {self.drift_ppm:+.0f} ppm, "
            f"unaccounted {1000.0 * self.unaccounted_s:+.0f} ms"
            if figures
            else ""
        )
        if self.unaccounted_s > NOTHING_S:
            measured = f", and {self.unaccounted_s:.1f} s are not accounted for{measured}"
        if self.away_s > NOTHING_S:
            measured = f", and nothing came in for the last {self.away_s:.1f} s{measured}"
        if not self.lost_samples:
            return f"lost nothing{measured}"
        return (
            f"lost {self.lost_samples * seconds:.2f} s"
            f"{f' ({lost})' if lost else ''} in {self.gaps} gap{'' if self.gaps == 1 else 's'}{measured}"
        )


class Ledger:
    """Keeps the account of one source.

    Args:
        rate_hz: nominal rate of the counts.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self.captured = 0
        self.processed = 0
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        """The latest ones."""

        self.regained = 0
        """Samples that were entered as missing and came after all."""

        self._gaps = 0
        self._lost: dict[str, int] = {}

    @property
    def lost_samples(self) -> int:
        """Missing samples, whatever the cause."""
        return sum(self._lost.values())

    def gaps_since(self, count: int) -> list[Gap]:
        """The gaps after the first `count`, as far as they are kept."""
        return list(self.gaps)[len(self.gaps) - min(len(self.gaps), self._gaps - count) :]

    def lose(self, gap: Gap) -> None:
        """Enter a gap."""
        self.gaps.append(gap)
        self._gaps += 1
        self._lost = {**self._lost, gap.cause: self._lost.get(gap.cause, 0) + gap.samples}

    def regain(self, samples: int, cause: Cause) -> int:
        """So many samples too many were entered for a cause; gives how many of them it takes back."""
        lost = self._lost.get(cause, 0)
        found = min(samples, lost)
        self._lost = {name: n for name, n in {**self._lost, cause: lost - found}.items() if n}
        self.regained += found
        return found

    def rescale(self, rate_hz: int) -> None:
        """The counts come at another rate than was said."""
        self._rate_hz = rate_hz

    def status(self, elapsed_s: float = 0.0, drift_ppm: float = 0.0, away_s: float = 0.0) -> LedgerStatus:
        """The ledger now, with what the timeline knows about time and rate."""
        return LedgerStatus(
            self._rate_hz,
            self.captured,
            self.processed,
            self._lost,
            self._gaps,
            elapsed_s,
            drift_ppm,
            away_s,
        )
