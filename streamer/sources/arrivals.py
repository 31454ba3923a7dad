"""What the first seconds of a pipe tell: is it live or a recording, and do the samples come as was said?

A recording comes as fast as it is read. A live source may begin with a burst of what it has kept (a radio
stream does, a restreamer of a camera as well), but then it keeps to real time, or to whatever its samples
really are: given two channels for one, twice as fast to the second, and with pauses in which nothing
waits to be read.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

DECIDE_S = 10.0
"""So long after the first samples it is known what the pipe is."""

LAST_S = 5.0
"""The last of these seconds count: until then a burst is over."""

FAST = 1.5
"""More than so many seconds of sound a second are a recording."""

SLACK_S = 0.5
"""Where fewer than `LAST_S` have passed, so much more than that may have come by chance."""

BIN_S = 0.05
"""Arrivals that are closer than this are kept as one."""

UNEVEN = 0.5
"""At a steady rate, no second brings so much more or less than the others."""

IDLE = 0.1
"""Whoever waits for samples for such a part of the time is not what limits them."""

NEAR = 0.03
"""Rates this close are the same: it is known to about a fiftieth after five seconds."""

COMMON_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
HIGH_HZ = (88_200, 96_000, 176_400, 192_000, 384_000)
CHANNELS = (1, 2, 4, 6, 8)


@dataclass(frozen=True)
class Arrival:
    """Some bytes came."""

    end: int
    """Frames that have come until then."""

    monotonic_s: float
    waited_s: float
    """How long they have been waited for, all of them together."""


@dataclass(frozen=True)
class Rate:
    """How fast frames really come."""

    hz: float
    """Frames a second."""

    hint: str = ""
    """The option that would explain it; empty where nothing does."""


class Arrivals:
    """Takes note of what comes.

    Args:
        rate_hz, channels: what the frames are said to be.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate_hz = rate_hz
        self._channels = channels
        self._kept: list[Arrival] = []
        self._waited_s = 0.0

    @property
    def began_s(self) -> float | None:
        """When the first ones came."""
        return self._kept[0].monotonic_s if self._kept else None

    def note(self, end: int, now_s: float, waited_s: float) -> None:
        """Frames came, up to a position; they were waited for for so long."""
        self._waited_s += waited_s
        arrival = Arrival(end, now_s, self._waited_s)
        if len(self._kept) > 1 and now_s - self._kept[-2].monotonic_s < BIN_S:
            self._kept[-1] = arrival
        else:
            self._kept.append(arrival)

    def due(self, now_s: float) -> bool:
        """True when it is time to decide."""
        return self.began_s is not None and now_s - self.began_s >= DECIDE_S

    def fast(self, now_s: float) -> bool:
        """True when more came in the last seconds than real time brings."""
        if self.began_s is None:
            return False
        span_s = min(LAST_S, now_s - self.began_s)
        # What came first had been waiting since before we began.
        brought_s = (self._kept[-1].end - self._end_at(now_s - span_s)) / self._rate_hz
        return brought_s > FAST * span_s + (SLACK_S if span_s < LAST_S else 0.0)

    def steady_rate(self, now_s: float) -> Rate | None:
        """How fast frames come, where that is not as fast as was said, and even; else None."""
        last = [item for item in self._kept if item.monotonic_s >= now_s - LAST_S]
        if len(last) < LAST_S or last[-1].monotonic_s - last[0].monotonic_s < LAST_S / 2:
            return None
        seconds = round(LAST_S)
        ends = [self._end_at(now_s - back) for back in range(seconds, -1, -1)]
        brought = [after - before for before, after in pairwise(ends)]
        mean = sum(brought) / seconds
        if any(abs(one - mean) > UNEVEN * mean for one in brought):
            return None
        if last[-1].waited_s - last[0].waited_s < IDLE * LAST_S:
            return None
        hz = (last[-1].end - last[0].end) / (last[-1].monotonic_s - last[0].monotonic_s)
        return None if _near(hz, self._rate_hz) else explained(hz, self._rate_hz, self._channels)

    def anchor_s(self, rate_hz: float) -> float:
        """When the first frame must have been in the air at the latest, if so many come a second."""
        return min(item.monotonic_s - item.end / rate_hz for item in self._kept)

    def _end_at(self, monotonic_s: float) -> int:
        at = bisect_right(self._kept, monotonic_s, key=lambda item: item.monotonic_s)
        return self._kept[max(0, at - 1)].end


def explained(hz: float, rate_hz: int, channels: int) -> Rate:
    """The likeliest reason for a rate other than the one that was said.

    Args:
        hz: frames a second that come.
        rate_hz, channels: what was said.
    """
    for real in CHANNELS:
        if real != channels and _near(hz * channels, rate_hz * real):
            return Rate(rate_hz * real / channels, f"--channels {real}")
    for common_hz in COMMON_HZ:
        if _near(hz, common_hz):
            return Rate(common_hz, f"--rate {common_hz}")
    for common_hz in COMMON_HZ:
        if channels == 1 and _near(hz, 2 * common_hz):
            return Rate(2 * common_hz, f"--rate {common_hz} --channels 2")
    for common_hz in HIGH_HZ:
        if _near(hz, common_hz):
            return Rate(common_hz, f"--rate {common_hz}")
    return Rate(hz)


def _near(hz: float, other_hz: float) -> bool:
    return abs(hz - other_hz) <= NEAR * other_hz
