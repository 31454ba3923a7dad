"""Watches over a device: opens it, notices when it fails, and opens it again, for ever.

    open -> StreamPlacer -> Block       while it gives samples
    wait -> refresh -> open ...         while it does not (`CaptureState` has the rules)

Whoever iterates the blocks drives it; an empty block comes about every 0.1 s while there is nothing to
give. Only what may hang in the sound system (opening, closing) runs in threads of its own, so that the
alarm can be raised, and the program be stopped, even then.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.errors import HopelessError, SourceError
from streamer.native import give_back_memory
from streamer.sources.account import Account
from streamer.sources.capture import Capture
from streamer.sources.mixdown import CANCELS
from streamer.sources.placement import BLOCK_S, StreamPlacer
from streamer.sources.source import Report, SourceHealth, no_report
from streamer.sources.state import CaptureState
from streamer.sources.timeline import Timeline
from streamer.types import Block

POLL_S = 0.02
"""How often new samples are looked for."""

CLOSE_S = 0.5
"""How long the end waits for a device that does not let go, and for one that is being opened."""

HANGS_AFTER_S = 5.0
"""An attempt to open the device that takes longer is reported as hanging."""


class Opener(Protocol):
    """Knows a device by what a person called it, and how to open it."""

    @property
    def name(self) -> str:
        """Name of the device as far as it is known."""

    def open(self) -> Capture:
        """Find and open the device; may block.

        Raises:
            HopelessError: it never will.
            SourceError: it cannot be opened now.
        """

    def abandon(self) -> None:
        """End an attempt to open the device that hangs."""


class _Task(threading.Thread):
    """Work in the sound system, which may hang."""

    def __init__(self, work: Callable[[], None], began_s: float) -> None:
        super().__init__(name="sound system", daemon=True)
        self.began_s = began_s
        self.error: Exception | None = None
        self._work = work
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # whatever it is, it must not end the listening
            self.error = error


class SupervisedSource:
    """A live source that comes back.

    Args:
        rate_hz: rate of the blocks.
        opener: opens the device.
        channel: the one to listen to, from 1; None for the mean of all.
        wait: also wait for a device that cannot be opened at first. Without it, that is an error,
            because a person who has mistyped a name wants to know. A device that has been open once is
            waited for in any case.
        clock: where time is read.
        report: takes note of states, gaps, clock steps and the ledger.
    """

    live = True
    duration_s = None

    def __init__(
        self,
        rate_hz: int,
        opener: Opener,
        channel: int | None = None,
        wait: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        report: Report = no_report,
    ) -> None:
        self._rate_hz = rate_hz
        self._opener = opener
        self._channel = channel
        self._patient = wait
        self._clock = clock
        self._state = CaptureState(clock.monotonic_s())
        self._account = Account(Timeline(rate_hz), clock, report)
        self._streams: list[Capture] = []  # the open one, if any
        self._placer: StreamPlacer | None = None
        self._device = ""
        self._task: _Task | None = None
        self._retry_s = 0.0
        self._overflows = self._broken_samples = 0  # of streams that are over
        self._settled = False  # the latency is known
        self._advised = False  # that channels cancel each other
        self._next_sample = 0
        self._closing = False
        self._closed = False

    @property
    def name(self) -> str:
        """Name of the device; while it has not been found yet, what it was called."""
        return self._opener.name

    @property
    def health(self) -> SourceHealth:
        """How capture is going, and what was lost so far."""
        placer, state = self._placer, self._state
        ledger = self._account.status(self._away_s)
        return SourceHealth(
            gaps=ledger.gaps,
            lost_samples=ledger.lost_samples,
            overflows=self._overflows + (placer.overflows if placer else 0),
            broken_samples=self._broken_samples + (placer.broken_samples if placer else 0),
            backlog_s=placer.backlog_s if placer else 0.0,
            state=state.state,
            state_since_s=state.since_s,
            problem=state.problem,
            ledger=ledger,
        )

    def unix_time(self, sample: int) -> float:
        """Date of a sample in seconds since 1970 (UTC).

        Raises:
            SourceError: nothing has been heard yet.
        """
        return self._account.unix_time(sample, self.name)

    def blocks(self) -> Iterator[Block]:
        """Yield what the device hears until `close` is called; only once.

        Yields:
            Blocks of about 0.1 s; an empty one whenever nothing could be given for 0.1 s.

        Raises:
            SourceError: the device cannot be opened at first and shall not be waited for, or nothing
                that this process does can help.
        """
        try:
            while not self._closing:
                self._tell()
                blocks = self._listen(self._placer) if self._placer else self._open()
                for block in blocks or [Block(self._next_sample, np.empty(0, np.float32))]:
                    self._next_sample = block.end_sample
                    yield block
                    self._account.ledger.processed += len(block.samples)
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and release the device; also from another thread or a signal handler."""
        self._closing = True
        if self._closed or sys.is_finalizing():  # a thread that is started so late never runs
            return
        self._closed = True
        opening = self._task
        if opening:
            opening.join(CLOSE_S)  # it sees that it comes too late, and closes what it opens
        releasing = _Task(self._release, self._clock.monotonic_s())
        releasing.join(CLOSE_S)
        if releasing.is_alive() or (opening and opening.is_alive()):
            self._opener.abandon()
        self._leave_placer()  # a thread that hangs keeps this source, but shall not keep a resampler
        self._tell()
        away_s = self._away_s
        self._state.finished(self._clock.monotonic_s())
        self._account.close(self.name, self._state.state, self._state.since_s, away_s)

    def _release(self) -> None:
        # Popping is atomic: a lock could be held by the very thread that a signal interrupts.
        while self._streams:
            self._streams.pop().close()

    def _listen(self, placer: StreamPlacer) -> list[Block]:
        """What the open device gives; waits for at most `BLOCK_S`."""
        deadline_s = self._clock.monotonic_s() + BLOCK_S
        while True:
            now_s = self._clock.monotonic_s()
            if placer.look():
                self._state.beat(now_s)
            if placer.enough or placer.problem or self._closing or now_s >= deadline_s:
                break
            self._clock.sleep(POLL_S)
        problem = placer.problem  # before reading: what came until then is still read
        blocks = placer.read()
        if placer.cancelled and not self._advised:
            self._advised = True
            self._account.advise(CANCELS, self.name)
        if placer.settled or not self._settled:
            self._account.latency_s = placer.latency_s
            self._settled = placer.settled
        if blocks:
            self._state.heard(now_s, placer.heard_sound)
        elif problem:
            self._state.lost(now_s, problem)
            return self._end_stream(placer)
        elif self._state.waited(now_s):
            return self._end_stream(placer)
        return blocks

    def _end_stream(self, placer: StreamPlacer) -> list[Block]:
        """Give up the open stream. The next attempt closes it, because that may hang as well."""
        blocks = placer.finish()
        self._leave_placer()
        self._retry_s = self._clock.monotonic_s() + self._state.next_wait_s()
        return blocks

    def _leave_placer(self) -> None:
        placer, self._placer = self._placer, None
        if placer:
            self._overflows += placer.overflows
            self._broken_samples += placer.broken_samples

    def _open(self) -> list[Block]:
        """Open the device, or wait until that may be tried again; waits for at most `BLOCK_S`."""
        now_s = self._clock.monotonic_s()
        if self._task is None:
            if now_s < self._retry_s:
                self._clock.sleep(min(BLOCK_S, self._retry_s - now_s))
                return []
            self._task = _Task(self._attempt, now_s)
        self._task.join(BLOCK_S)
        if not self._task.is_alive():
            task, self._task = self._task, None
            self._opened(task)
        elif now_s - self._task.began_s > HANGS_AFTER_S:
            self._state.lost(now_s, "the sound system does not answer")
        return []

    def _attempt(self) -> None:
        """In a thread of its own: close the stream before, open the next."""
        self._release()
        stream = self._opener.open()
        self._streams.append(stream)
        if self._closing:
            self._release()

    def _opened(self, task: _Task) -> None:
        now_s = self._clock.monotonic_s()
        error = task.error
        if error:
            if not isinstance(error, SourceError):  # of a part that is not ours
                error = SourceError(f"cannot open {self.name}: {error or type(error).__name__}")
            impatient = self._state.state == "starting" and not self._patient
            if impatient or isinstance(error, HopelessError):
                self._state.gave_up(now_s, str(error))
                self._tell()
                raise error
            self._state.lost(now_s, str(error))
            self._retry_s = now_s + self._state.next_wait_s()
            # What the failed attempt held must not wait for the garbage collector.
            traceback.clear_frames(error.__traceback__)
            return
        streams = self._streams[:1]
        if not streams or self._closing:
            return
        stream = streams[0]
        if self._device not in ("", stream.name):
            self._account.timeline.change_crystal()
        self._device = stream.name
        self._placer = StreamPlacer(
            stream,
            self._rate_hz,
            self._account.timeline,
            self._account.ledger,
            self._next_sample,
            self._channel,
        )
        self._state.opened(now_s)
        give_back_memory()

    @property
    def _away_s(self) -> float:
        """How long nothing has come, while nothing does."""
        if self._state.state not in ("stalled", "recovering"):
            return 0.0
        return self._clock.monotonic_s() - self._state.since_s

    def _tell(self) -> None:
        state = self._state
        self._account.tell(self.name, state.state, state.since_s, state.problem)
