"""When samples were in the air: sample indices to monotonic time, and how fast the crystal really is.

A callback can be late but never early, so the truth is the lower edge of what is observed: the least
*lateness* (arrival minus index divided by the nominal rate) of every few seconds. Three things move it,
and they are told apart:

- **Jitter** only ever adds to it; the least of many callbacks has none.
- **Drift**: a crystal is off by up to some hundred parts per million. The edge then is a slope. It is
  fitted over the last hour, all runs together, each with a level of its own; in the first seconds the
  crystal is taken to be exact.
- **Loss**: samples that are missing make all that follow late at once. A step of more than
  `LEAST_LOSS_S` from one bucket to the next that stays is a loss, not drift.

The index-to-time map is a row of knots with straight lines between them. A line that has been passed is
never changed again, but for a pipe whose samples come too early (`Timeline.advance`), so a time depends on
the index alone; the next line is laid so that it meets the fitted edge at its end, as a phase-locked loop
does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BUCKET_S = 5.0
"""The least lateness is taken over so long."""

BUCKETS = 720
"""An hour of them is kept."""

LEAST_LOSS_S = 0.02
"""For a device: a crystal would need to be off by 4000 ppm to be this late after a bucket."""

LEVEL_BUCKETS = 12
"""The level of a run is the median over so many of its latest buckets."""

PRIOR_PPM = 100.0
"""How far off a crystal usually is: what a slope is believed to be before it has been seen."""

NOISE_S = 0.003
"""How exact the least lateness of a bucket is, for the weight of that belief."""

LEAST_JUMP_S = 0.1
"""Samples that come so much too early follow a jump: their lateness says nothing about those before."""

SETTLING_S = 10.0
"""The first samples of a run may all have been waiting somewhere."""

MOST_SLEW = 0.01
"""The map runs at most so much faster or slower than the nominal rate."""

KNOTS = 256


@dataclass(frozen=True)
class _Knot:
    index: float
    monotonic_s: float
    s_per_sample: float


class Timeline:
    """The map of one source, across all its runs (a run is what lies between two gaps).

    Args:
        rate_hz: nominal rate of the indices.
        least_loss_s: a step of the lateness below this is jitter, not loss.
    """

    def __init__(self, rate_hz: int, least_loss_s: float = LEAST_LOSS_S) -> None:
        self.rate_hz = rate_hz
        self.least_loss_s = least_loss_s
        self._stretch = 0.0  # true seconds per nominal second, less one
        self._knots: tuple[_Knot, ...] = ()  # replaced, never changed: other threads read it
        self._points: deque[tuple[int, float, float]] = deque(maxlen=BUCKETS)  # run, nominal time, lateness
        self._run = 0
        self._run_index = self._first_index = 0.0  # where this run and the first one begin
        self._began_s = self._run_began_s = 0.0
        self._bucket: tuple[float, float] | None = None  # least lateness and its nominal time
        self._bucket_end_s = 0.0
        self._late_buckets: list[float] = []

    @property
    def started(self) -> bool:
        """True when a first run has begun."""
        return bool(self._knots)

    @property
    def true_rate_hz(self) -> float:
        """Samples a second, as measured against the monotonic clock."""
        return self.rate_hz / (1.0 + self._stretch)

    @property
    def drift_ppm(self) -> float:
        """How much faster than its nominal rate the crystal is, in parts per million."""
        return 1e6 * (1.0 / (1.0 + self._stretch) - 1.0)

    @property
    def suspected_loss_s(self) -> float:
        """Loss that nobody reported: what two buckets in a row agree on, else 0."""
        return min(self._late_buckets) if len(self._late_buckets) >= 2 else 0.0

    def monotonic_s(self, index: float) -> float:
        """When a sample arrived, or would have arrived without jitter.

        Raises:
            ValueError: no run has begun yet.
        """
        knots = self._knots
        if not knots:
            raise ValueError("nothing has been heard yet")
        at = max(0, bisect_right(knots, index, key=lambda knot: knot.index) - 1)
        knot = knots[at]
        return knot.monotonic_s + (index - knot.index) * knot.s_per_sample

    def elapsed_s(self, index: float) -> float:
        """Time from the very first sample to this one; 0 before there is any."""
        return self.monotonic_s(index) - self._began_s if self._knots else 0.0

    def begin(self, index: float, monotonic_s: float) -> None:
        """A run begins: its first sample arrived then, jitter taken off."""
        if not self._knots:
            self._began_s = monotonic_s
            self._first_index = index
        self._run_index = index
        self._run_began_s = monotonic_s
        self._begin_level(monotonic_s)
        self._append(_Knot(index, monotonic_s, 1.0 / self.true_rate_hz))

    def advance(self, end_index: float, monotonic_s: float) -> float:
        """Samples came that could not be there yet: they were in the air earlier than thought.

        Of a device that cannot be: its callbacks are late, never early. A pipe may begin with a burst of what
        its source had kept, or make up for a delay; then that holds for all of the current run. So does a
        little in its first seconds; later on that is drift, which the fit takes care of, and holds from here.

        Args:
            end_index: just after the samples.
            monotonic_s: when they came.

        Returns:
            By how much earlier they all were, in seconds; 0 for drift.
        """
        early_s = self.monotonic_s(end_index) - monotonic_s
        jump = early_s >= LEAST_JUMP_S
        if not jump and monotonic_s - self._run_began_s > SETTLING_S:
            self._append(_Knot(end_index, monotonic_s, self._knots[-1].s_per_sample))
            return 0.0
        self._knots = tuple(
            replace(knot, monotonic_s=knot.monotonic_s - early_s) if knot.index >= self._run_index else knot
            for knot in self._knots
        )
        if self._run_index == self._first_index:
            self._began_s -= early_s
        if jump:
            self._begin_level(monotonic_s)
        return early_s

    def _begin_level(self, monotonic_s: float) -> None:
        """What was learned about the lateness does not hold any more; the rate does."""
        self._run += 1
        self._late_buckets.clear()
        self._bucket = None
        self._bucket_end_s = monotonic_s + BUCKET_S

    def dismiss_suspicion(self) -> None:
        """A suspected loss was looked into, and there is none."""
        self._late_buckets.clear()

    def change_crystal(self) -> None:
        """Another device follows: what was learned about the rate does not hold for it."""
        self._points.clear()
        self._stretch = 0.0

    def observe(self, end_index: float, monotonic_s: float) -> None:
        """A callback of the current run came, and brought the samples before this index."""
        nominal_s = end_index / self.rate_hz
        late = (monotonic_s - nominal_s, nominal_s)
        self._bucket = late if self._bucket is None else min(self._bucket, late)
        if monotonic_s >= self._bucket_end_s:
            self._end_bucket(end_index, *self._bucket)
            self._bucket = None
            self._bucket_end_s = monotonic_s + BUCKET_S

    def _end_bucket(self, end_index: float, lateness_s: float, nominal_s: float) -> None:
        behind_s = lateness_s + nominal_s - self.monotonic_s(nominal_s * self.rate_hz)
        if behind_s > self.least_loss_s:
            self._late_buckets.append(behind_s)
            return
        self._late_buckets.clear()
        self._points.append((self._run, nominal_s, lateness_s))
        run, nominal, lateness = (np.array(column) for column in zip(*self._points, strict=True))
        self._stretch = fitted_slope(run, nominal, lateness)
        here = np.flatnonzero(run == self._run)[-LEVEL_BUCKETS:]
        level_s = float(np.median(lateness[here] - self._stretch * nominal[here]))
        # Where the edge will be at the end of the next bucket, and the line that leads there.
        now_s = self.monotonic_s(end_index)
        ahead = BUCKET_S * self.rate_hz
        then_s = level_s + (1.0 + self._stretch) * (end_index + ahead) / self.rate_hz
        slope = np.clip((then_s - now_s) / BUCKET_S, 1.0 - MOST_SLEW, 1.0 + MOST_SLEW)
        self._append(_Knot(end_index, now_s, float(slope) / self.rate_hz))

    def _append(self, knot: _Knot) -> None:
        self._knots = (*self._knots[-KNOTS + 1 :], knot)


def fitted_slope(run: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The common slope of several lines, from points that may lie above their line but not below.

    Least squares with a level for each run, a little pulled to zero (`PRIOR_PPM`), repeated without
    the points that lie above the others.

    Args:
        run: shape (n,), which line a point belongs to.
        x, y: shape (n,).
    """
    slope = 0.0
    runs = np.unique(run)
    keep = np.ones(len(x), np.bool_)
    prior = (NOISE_S / (PRIOR_PPM * 1e-6)) ** 2
    for _ in range(3):
        xx = xy = 0.0
        for used in (keep & (run == one) for one in runs):
            if used.any():
                from_mean_x = x[used] - x[used].mean()
                xx += float((from_mean_x**2).sum())
                xy += float((from_mean_x * (y[used] - y[used].mean())).sum())
        slope = xy / (xx + prior)
        above = y - slope * x
        for own in (run == one for one in runs):
            above[own] -= np.median(above[own])
        spread = float(np.median(np.abs(above)))
        keep = above <= 4.0 * spread + NOISE_S / 10
    return slope
