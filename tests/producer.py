"""A program before the pipe, on a clock that is moved by hand: it writes at the times of a schedule."""

from __future__ import annotations

import array
import fcntl
import os
import termios
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from streamer.clock import ManualClock
from streamer.sources import pipe
from streamer.types import Block

RATE_HZ = 2_000
PIPE_BYTES = 1 << 20


def steadily(
    begin_s: float, end_s: float, speed: float = 1.0, chunk_s: float = 0.1
) -> list[tuple[float, float]]:
    """A schedule: every `chunk_s`, so much sound that `speed` seconds of it come a second."""
    count = round((end_s - begin_s) / chunk_s)
    return [(begin_s + number * chunk_s, speed * chunk_s) for number in range(1, count + 1)]


class Producer:
    """Writes to the source that it gives.

    Args:
        schedule: when (seconds since the beginning), and how many seconds of sound.
        lasts: the pipe stays open after the last of it, and nothing comes any more.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        schedule: Iterable[tuple[float, float]],
        lasts: bool = False,
        live: bool = False,
        begin_unix_s: float | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.began_s = self.clock.monotonic_s()
        self.told: list[tuple[str, dict[str, object]]] = []
        self._schedule = deque(schedule)
        self._lasts = lasts
        self._reader, self._writer = os.pipe()
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._written = 0
        self._open = True
        monkeypatch.setattr(pipe.select, "select", self._select)
        self.source = pipe.PipeSource(
            RATE_HZ,
            RATE_HZ,
            descriptor=self._reader,
            clock=self.clock,
            report=lambda kind, **fields: self.told.append((kind, fields)),
            live=live,
            begin_unix_s=begin_unix_s,
        )
        self.earliest_s = 0.0
        """How far in the future a sample has been dated at the worst; negative."""

    @property
    def now_s(self) -> float:
        """Since the beginning."""
        return self.clock.monotonic_s() - self.began_s

    def blocks(self) -> Iterator[Block]:
        """What is heard; every date is looked at."""
        for block in self.source.blocks():
            if self.source.live and len(block.samples):
                late_s = self.clock.unix_s() - self.source.unix_time(block.end_sample)
                self.earliest_s = min(self.earliest_s, late_s)
            yield block
        os.close(self._reader)

    def run(self) -> list[Block]:
        """All of it."""
        return [block for block in self.blocks() if len(block.samples)]

    def kinds(self, kind: str) -> list[dict[str, object]]:
        """What was reported of one kind."""
        return [fields for name, fields in self.told if name == kind]

    def _select(
        self, readers: list[int], writers: list[int], others: list[int], timeout: float
    ) -> tuple[list[int], list[int], list[int]]:
        self._write_what_is_due()
        if not self._waiting() and self._open:
            due_s = self._schedule[0][0] if self._schedule else float("inf")
            self.clock.sleep(max(0.0, min(timeout, due_s - self.now_s)))
            self._write_what_is_due()
        return (readers if self._waiting() or not self._open else []), [], []

    def _write_what_is_due(self) -> None:
        while self._schedule and self._schedule[0][0] <= self.now_s + 1e-9:
            _, seconds = self._schedule.popleft()
            numbers = np.arange(self._written, self._written + round(seconds * RATE_HZ))
            self._written += len(numbers)
            os.write(self._writer, (1_000 + numbers % 10_000).astype("<i2").tobytes())
        if not self._schedule and not self._lasts and self._open:
            self._open = False
            os.close(self._writer)

    def _waiting(self) -> int:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._reader, termios.FIONREAD, waiting)
        return waiting[0]
