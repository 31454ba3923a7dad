"""Puts what a stream captures in its place on the time axis of the source.

    SampleRing + TickLog -> placed runs -> mix down -> resample -> Block

Samples in the ring are counted without knowing what is missing between them. A **doubt** is a place where
something may be missing: the start of a stream, a callback that came late or with an overflow, an
overwritten ring, a loss that the timeline suspects. What follows a doubt is held back for `HOLD_S`, until
the callbacks have shown whether they caught up. Then either nothing was missing and the run goes on, or
the samples in between are lost: they are entered into the ledger, and a new run begins at its own place.
So no block, window or event ever mixes audio from both sides of a gap, and a delay that the sound system
made up for is not called a gap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamer.ledger import Cause, Gap, Ledger
from streamer.mend import mended
from streamer.sources.alive import is_alive
from streamer.sources.capture import Capture, Tick
from streamer.sources.mixdown import Cancelling, to_mono
from streamer.sources.resample import StreamResampler, convert_index
from streamer.sources.timeline import Timeline
from streamer.types import Block

BLOCK_S = 0.1
"""Audio that is read at once."""

LATE_S = 0.25
"""A callback that comes so much later than the one before, beyond what it brings, raises a doubt."""

HOLD_S = 0.5
"""Time of callbacks after a doubt before it is judged."""

SETTLING_S = 3.0
"""Some sound systems claim a latency of tenths of a second at first and correct themselves within this
time after the first callback; the least claim counts."""

LONGEST_LATENCY_S = 2.0
"""A sound system that claims more is not believed."""


@dataclass(frozen=True)
class Doubt:
    """Samples may be missing before `start`; from there to `end` it is not known on which side of the
    gap they lie, so they are thrown away if there is one."""

    start: int
    end: int
    since_s: float
    """When the callback at `end` came."""

    cause: Cause
    certain: bool
    """There is a gap, if only of one sample."""


class StreamPlacer:
    """Reads one opened stream.

    Args:
        capture: the stream.
        rate_hz: rate of the blocks.
        timeline: of the source; this stream becomes one run of it, or several.
        ledger: of the source.
        next_sample: index that follows the stream before; 0 for the first one.
        channel: the one to listen to, from 1; None for the mean of all.
    """

    def __init__(
        self,
        capture: Capture,
        rate_hz: int,
        timeline: Timeline,
        ledger: Ledger,
        next_sample: int,
        channel: int | None,
    ) -> None:
        self._capture = capture
        self._rate_hz = rate_hz
        self._timeline = timeline
        self._ledger = ledger
        self._channel = channel
        self._ticks: deque[Tick] = deque()  # those whose samples have not been read yet
        self._last_tick: Tick | None = None
        self._first_tick_s = 0.0
        self._doubts: deque[Doubt] = deque()
        self._position = 0
        self._run_position = 0
        self._run_index = self._next_sample = next_sample
        self._resampler = StreamResampler(capture.rate_hz, rate_hz)
        self._latency_s = float("inf")
        self._cancelling = Cancelling(capture.rate_hz, channel)
        self.cancelled = False
        """True when the channels turned out to cancel each other."""

        self.broken_samples = 0
        self.heard_sound = False
        """True when what was read last may be the sound of a working microphone."""

    @property
    def latency_s(self) -> float:
        """Least time from the converter to the callback, beyond the length of the block, so far."""
        return self._latency_s if self._latency_s < LONGEST_LATENCY_S else 0.0

    @property
    def settled(self) -> bool:
        """True when `latency_s` will not change any more."""
        return self._last_tick_s - self._first_tick_s > SETTLING_S

    @property
    def backlog_s(self) -> float:
        """Sound that waits to be read."""
        return (self._capture.ring.written - self._position) / self._capture.rate_hz

    @property
    def enough(self) -> bool:
        """True when a whole block may be read."""
        return self._waiting >= round(BLOCK_S * self._capture.rate_hz)

    @property
    def overflows(self) -> int:
        """Times that the sound system reported dropped input."""
        return self._capture.overflows

    @property
    def problem(self) -> str:
        """Why the stream has ended; empty while it runs."""
        return self._capture.problem

    @property
    def _waiting(self) -> int:
        """Frames that may be read now."""
        end = self._last_tick.end if self._last_tick else 0
        return min(end, self._doubts[0].start if self._doubts else end) - self._position

    @property
    def _last_tick_s(self) -> float:
        return self._last_tick.monotonic_s if self._last_tick else self._first_tick_s

    def look(self) -> bool:
        """Take notice of the callbacks so far; true when there were new ones."""
        ticks = self._capture.ticks.take()
        for tick in ticks:
            self._notice(tick)
        return bool(ticks)

    def read(self) -> list[Block]:
        """Take what comes next, about `BLOCK_S` of it; nothing while it is held back."""
        ring = self._capture.ring
        if ring.oldest > self._position and not self._skips_to(ring.oldest):
            self._overrun()
        blocks = self._judge()
        got = ring.read(max(0, min(self._waiting, round(BLOCK_S * self._capture.rate_hz))))
        if got.lost or not len(got.samples):  # overwritten at this very moment: see the next read
            self.heard_sound = False
            return blocks
        samples, broken = mended(got.samples)
        self.broken_samples += broken
        mono = to_mono(samples, self._channel)
        self.cancelled = self._cancelling.hear(samples, mono) or self.cancelled
        self.heard_sound = is_alive(samples, self._channel)
        start = self._position - self._run_position
        self._position += len(mono)
        self._ledger.captured += self._index_at(self._position) - self._index_at(self._position - len(mono))
        self._pass_ticks()
        return blocks + self._numbered(self._resampler.push(Block(start, mono)))

    def finish(self) -> list[Block]:
        """The stream has ended: give all that it still holds."""
        self.look()
        blocks: list[Block] = []
        while True:
            before = self._position
            blocks += self.read()
            if self._position > before:
                continue
            if not self._doubts or self._doubts[0].start > self._position:
                return blocks + self._numbered(self._resampler.flush())
            blocks += self._decide(self._doubts.popleft())

    def _notice(self, tick: Tick) -> None:
        before = self._last_tick
        start = before.end if before else 0
        block_s = (tick.end - start) / self._capture.rate_hz
        if before is None:
            self._first_tick_s = tick.monotonic_s
            # Nothing is lost before the first stream, whatever came earlier.
            self._doubts.append(Doubt(0, 0, tick.monotonic_s, "reopen", certain=True))
        elif tick.overflow:
            self._doubt(Doubt(start, start, tick.monotonic_s, "overflow", certain=True))
        elif tick.monotonic_s - before.monotonic_s > block_s + LATE_S:
            self._doubt(Doubt(start, start, tick.monotonic_s, "stall", certain=False))
        if tick.monotonic_s - self._first_tick_s <= SETTLING_S:
            told = block_s <= tick.latency_s <= LONGEST_LATENCY_S
            self._latency_s = min(self._latency_s, tick.latency_s - block_s if told else 0.0)
        self._last_tick = tick
        self._ticks.append(tick)

    def _doubt(self, new: Doubt) -> None:
        """Doubts that follow each other at once are judged as one."""
        last = self._doubts[-1] if self._doubts else None
        if last is None or new.since_s - last.since_s >= HOLD_S:
            self._doubts.append(new)
        else:
            certain = last.certain or new.certain
            cause = last.cause if last.certain or not new.certain else new.cause
            self._doubts[-1] = Doubt(last.start, new.end, new.since_s, cause, certain)

    def _skips_to(self, oldest: int) -> bool:
        """True when the doubt at the present position already leaves out what was overwritten."""
        return bool(self._doubts) and self._doubts[0].start <= self._position < oldest <= self._doubts[0].end

    def _overrun(self) -> None:
        """The ring has overwritten what was not read: go on with room before the next overrun."""
        ring = self._capture.ring
        self.look()
        begin = ring.oldest + ring.capacity_frames // 4
        while self._ticks and self._ticks[0].end <= begin:
            self._ticks.popleft()
        while self._doubts and self._doubts[0].start <= begin:
            self._doubts.popleft()
        since_s = self._ticks[0].monotonic_s if self._ticks else self._last_tick_s
        self._doubts.appendleft(Doubt(self._position, begin, since_s, "ring", certain=True))

    def _judge(self) -> list[Block]:
        """Decide about the doubt at the present position, if its time has come."""
        if not self._doubts or self._doubts[0].start > self._position:
            return []
        doubt = self._doubts[0]
        last_s = self._doubts[1].since_s if len(self._doubts) > 1 else self._last_tick_s
        if last_s - doubt.since_s < HOLD_S:
            return []
        self._doubts.popleft()
        return self._decide(doubt)

    def _decide(self, doubt: Doubt) -> list[Block]:
        arrival_s = self._arrival_s(doubt)
        if arrival_s is None:
            return []
        if not self._timeline.started:
            self._begin_run(doubt.end, self._run_index, arrival_s)
            return []
        end_sample = self._index_at(doubt.start)
        thrown_s = (doubt.end - doubt.start) / self._capture.rate_hz
        late_s = arrival_s - self._timeline.monotonic_s(end_sample)
        if not doubt.certain and late_s - thrown_s < self._timeline.least_loss_s:
            self._timeline.dismiss_suspicion()
            return []
        blocks = self._numbered(self._resampler.flush())
        end_sample = max(end_sample, self._next_sample)
        lost = max(1, round(late_s * self._timeline.true_rate_hz))
        self._ledger.lose(Gap(end_sample, lost, doubt.cause))
        self._begin_run(doubt.end, end_sample + lost, arrival_s)
        return blocks

    def _begin_run(self, position: int, index: int, arrival_s: float) -> None:
        self._capture.ring.skip_to(position)
        self._position = self._run_position = position
        self._run_index = self._next_sample = index
        self._resampler = StreamResampler(self._capture.rate_hz, self._rate_hz)
        self._timeline.begin(index, arrival_s)

    def _arrival_s(self, doubt: Doubt) -> float | None:
        """When the sample at the end of a doubt arrived, jitter taken off; None if none followed."""
        until = self._doubts[0].start if self._doubts else float("inf")
        rate_hz = self._capture.rate_hz
        arrivals = [
            tick.monotonic_s - (tick.end - doubt.end) / rate_hz
            for tick in self._ticks
            if doubt.end < tick.end and (tick.end <= until) and tick.monotonic_s <= doubt.since_s + HOLD_S
        ]
        return min(arrivals, default=None)

    def _pass_ticks(self) -> None:
        """Let the timeline see the callbacks whose samples have been placed."""
        while self._ticks and self._ticks[0].end <= self._position:
            tick = self._ticks.popleft()
            self._timeline.observe(self._exact_index(tick.end), tick.monotonic_s)
        if self._timeline.suspected_loss_s and not self._doubts and self._last_tick:
            at = self._position
            self._doubts.append(Doubt(at, at, self._last_tick_s, "clock", certain=False))

    def _exact_index(self, position: int) -> float:
        run = position - self._run_position
        return self._run_index + run * self._rate_hz / self._capture.rate_hz

    def _index_at(self, position: int) -> int:
        run = position - self._run_position
        return self._run_index + convert_index(run, self._capture.rate_hz, self._rate_hz)

    def _numbered(self, blocks: list[Block]) -> list[Block]:
        """Blocks of the resampler, which counts from the start of the run, with the source's indices."""
        blocks = [Block(self._run_index + block.start_sample, block.samples) for block in blocks]
        if blocks:
            self._next_sample = blocks[-1].end_sample
        return blocks
