"""What every live source keeps: its time axis, its ledger, dates, and whom to tell."""

from __future__ import annotations

from streamer.clock import Clock, WallClock
from streamer.errors import SourceError
from streamer.ledger import Ledger, LedgerStatus
from streamer.sinks.row import utc_text
from streamer.sources.source import Report
from streamer.sources.state import State
from streamer.sources.timeline import Timeline

LEDGER_EVERY_S = 3_600.0


class Account:
    """Time and losses of one live source, and reports about them.

    Args:
        timeline: of the source.
        clock: where time is read.
        report: takes note of states, gaps, clock steps and the ledger (see `Report`).
    """

    def __init__(self, timeline: Timeline, clock: Clock, report: Report) -> None:
        self.timeline = timeline
        self.ledger = Ledger(timeline.rate_hz)
        self.latency_s = 0.0
        """Time from the converter to us; dates are earlier by it."""

        self._clock = clock
        self._wall = WallClock(clock)
        self._report = report
        self._reported_state = ""
        self._reported_gaps = 0
        self._ledger_due_s = clock.monotonic_s() + LEDGER_EVERY_S

    def unix_time(self, sample: int, name: str) -> float:
        """Date of a sample in seconds since 1970 (UTC).

        Raises:
            SourceError: nothing has been heard yet.
        """
        if not self.timeline.started:
            raise SourceError(f"{name}: nothing has been heard yet, so samples have no date")
        return self._wall.unix_s(self.timeline.monotonic_s(sample) - self.latency_s)

    def rescale(self, timeline: Timeline) -> None:
        """The samples come at another rate than was said: go over to a time axis of that rate."""
        self.timeline = timeline
        self.ledger.rescale(timeline.rate_hz)

    def regain(self, seconds: float, name: str) -> None:
        """What had been entered as a pause of a pipe came after all."""
        found = self.ledger.regain(round(seconds * self.timeline.true_rate_hz), "stall")
        if found:
            self._report("regained", length_s=round(found / self.timeline.true_rate_hz, 3), source=name)

    def advise(self, text: str, name: str) -> None:
        """Report what a person should know about the input."""
        self._report("advice", text=text, source=name)

    def status(self, away_s: float = 0.0) -> LedgerStatus:
        """The ledger now; `away_s` is how long nothing has come."""
        accounted = self.ledger.captured + self.ledger.lost_samples + self.ledger.regained
        return self.ledger.status(self.timeline.elapsed_s(accounted), self.timeline.drift_ppm, away_s)

    def tell(self, name: str, state: State = "listening", since_s: float = 0.0, problem: str = "") -> None:
        """Report what is new: a step of the wall clock, the state, gaps, the ledger once an hour.

        Args:
            name: of the source.
            state, since_s, problem: see `CaptureState`.
        """
        now_s = self._clock.monotonic_s()
        step_s = self._wall.take_step()
        if step_s:
            after_unix_s = self._wall.unix_s(now_s)
            before, after = utc_text(after_unix_s - step_s), utc_text(after_unix_s)
            self._report("clock", step_s=round(step_s, 3), before=before, after=after)
        if state != self._reported_state:
            self._reported_state = state
            since = utc_text(self._wall.unix_s(since_s or now_s))
            self._report("state", state=state, since=since, source=name, problem=problem)
        for gap in self.ledger.gaps_since(self._reported_gaps):
            self._reported_gaps += 1
            self._report(
                "gap",
                start=utc_text(self.unix_time(gap.start_sample, name)),
                length_s=round(gap.samples / self.timeline.true_rate_hz, 3),
                samples=gap.samples,
                start_sample=gap.start_sample,
                cause=gap.cause,
                source=name,
            )
        if now_s >= self._ledger_due_s:
            self._ledger_due_s = now_s + LEDGER_EVERY_S
            self._report("ledger", **self.status().entry())

    def close(self, name: str, state: State = "finished", since_s: float = 0.0, away_s: float = 0.0) -> None:
        """Report the last of all, and the ledger."""
        self.tell(name, state, since_s)
        self._report("ledger", **self.status(away_s).entry())
