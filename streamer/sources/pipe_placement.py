"""Puts what comes through a live pipe in its place on the time axis.

No sample lies in the future, because it has been heard: those that come earliest anchor the axis. A burst at
the beginning moves the beginning back, one later on what came since the last gap.

After a pause, what comes is held back until it has shown whether it makes up for the pause: a program that
buffers does, when only we were stopped, or the network. What it does not make up for is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.ledger import Gap
from streamer.sources.account import Account
from streamer.sources.arrivals import FAST
from streamer.sources.resample import convert_index
from streamer.sources.timeline import Timeline
from streamer.types import Block, FloatArray

PAUSE_S = 1.0
"""After so long without samples, it has to be found out whether some are missing."""

HOLD_S = 1.0
"""What follows a pause is held back for so long at least, and while it still comes faster than real time."""

MOST_HELD_S = 60.0
"""Sound that is held back at most."""

LEAST_LAG_S = 0.5
"""Samples that are less late than this have only been waiting somewhere."""

LEAST_EARLY_S = 0.01
"""A crystal that is a little fast is followed by the timeline; what is earlier than this moves it."""


@dataclass(frozen=True)
class _Held:
    """Samples that are held back."""

    samples: FloatArray
    end: int
    """Frames that are held back, with these."""

    monotonic_s: float
    full: bool
    """More was waiting: we are late, not the samples."""


class PipePlacer:
    """Places the samples of one pipe.

    Args:
        account: time axis and ledger of the source.
        rate_hz: rate of the blocks, in which the axis counts.
        pcm_rate_hz: that of the pipe.
        name: of the source.
    """

    def __init__(self, account: Account, rate_hz: int, pcm_rate_hz: int, name: str) -> None:
        self._account = account
        self._rate_hz = rate_hz
        self._pcm_rate_hz = pcm_rate_hz
        self._arrival_hz = float(pcm_rate_hz)  # frames a second that really come
        self._name = name
        self._position = 0  # of the next frame, at the rate of the pipe
        self._last_s: float | None = None
        self._doubt_s: float | None = None
        self._held: list[_Held] = []

    def next(self, samples: FloatArray) -> Block:
        """Samples that follow those before."""
        block = Block(self._position, samples)
        self._position = block.end_sample
        return block

    def count(self) -> None:
        """Enter into the ledger what has been given."""
        ledger = self._account.ledger
        ledger.captured = self._index_at(self._position) - ledger.lost_samples - ledger.regained

    def place(self, samples: FloatArray, now_s: float, full: bool, doubts: bool) -> list[Block]:
        """Place samples that have just come.

        Args:
            samples: shape (n,), at least one.
            now_s: when they came, monotonic.
            full: as much was read as could be, so more may wait.
            doubts: something may be missing after a pause.

        Returns:
            The samples, with those that were held back before; nothing while they are held back.
        """
        timeline = self._account.timeline
        paused = self._last_s is not None and now_s - self._last_s > PAUSE_S
        self._last_s = now_s
        if not timeline.started:
            # The first bytes were sampled just before they could be read.
            timeline.begin(0, now_s - len(samples) / self._arrival_hz)
        if doubts and self._doubt_s is None and (paused or timeline.suspected_loss_s):
            self._doubt_s = now_s
        if self._doubt_s is not None:
            self._held.append(_Held(samples, self._held_frames + len(samples), now_s, full))
            return self.judged(now_s)
        block = self.next(samples)
        end = self._index_at(self._position)
        self._keep_out_of_the_future(end, now_s)
        if not full:
            timeline.observe(end, now_s)
        return [block]

    def judged(self, now_s: float, at_once: bool = False) -> list[Block]:
        """What was held back, when it has shown whether samples are missing before it."""
        if self._doubt_s is None or not self._held:
            return []
        before = [item.end for item in self._held if item.monotonic_s < now_s - HOLD_S]
        brought_s = (self._held_frames - (before[-1] if before else 0)) / self._arrival_hz
        catching_up = brought_s > FAST * HOLD_S and self._held_frames < MOST_HELD_S * self._arrival_hz
        if not at_once and (now_s - self._doubt_s < HOLD_S or catching_up):
            return []
        self._account_for_the_pause()
        held, self._held, self._doubt_s = self._held, [], None
        block = self.next(np.concatenate([item.samples for item in held]))
        self._keep_out_of_the_future(self._index_at(self._position), held[-1].monotonic_s)
        return [block]

    def rescale(self, arrival_hz: float, began_s: float) -> None:
        """The samples really come at another rate, the first one at that time; not after a gap."""
        if self._account.ledger.lost_samples or self._account.ledger.regained:
            return
        self._arrival_hz = arrival_hz
        real_hz = round(self._rate_hz * arrival_hz / self._pcm_rate_hz)
        timeline = Timeline(real_hz, LEAST_LAG_S)
        timeline.begin(0, began_s)
        self._account.rescale(timeline)

    @property
    def _held_frames(self) -> int:
        return self._held[-1].end if self._held else 0

    def _keep_out_of_the_future(self, end: int, now_s: float) -> None:
        timeline = self._account.timeline
        if timeline.monotonic_s(end) - now_s > LEAST_EARLY_S:
            self._account.regain(timeline.advance(end, now_s), self._name)

    def _account_for_the_pause(self) -> None:
        """Enter what is missing before the samples that are held back, if anything is."""
        timeline = self._account.timeline
        late_s = min(
            (
                item.monotonic_s - timeline.monotonic_s(self._index_at(self._position + item.end))
                for item in self._held
                if not item.full
            ),
            default=0.0,
        )
        timeline.dismiss_suspicion()
        if late_s < LEAST_LAG_S:
            return
        start = self._index_at(self._position)
        at_s = timeline.monotonic_s(start)
        self._position += max(1, round(late_s * self._arrival_hz))
        end = self._index_at(self._position)
        self._account.ledger.lose(Gap(start, max(1, end - start), "stall"))
        timeline.begin(end, at_s + late_s)

    def _index_at(self, position: int) -> int:
        return convert_index(position, self._pcm_rate_hz, self._rate_hz)
