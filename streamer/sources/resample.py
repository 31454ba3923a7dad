"""Blocks at the rate of the device or file to blocks at the rate of the model."""

from __future__ import annotations

import numpy as np
import soxr

from streamer.types import Block, FloatArray


def convert_index(sample: int, from_hz: int, to_hz: int) -> int:
    """The index on the clock of `to_hz` nearest to an index on the clock of `from_hz`."""
    return (2 * sample * to_hz + from_hz) // (2 * from_hz)


class StreamResampler:
    """Resamples blocks as they come, without a seam and independent of how they are cut.

    A run is a row of blocks without a gap. Its output starts at the index nearest to its first
    sample and is counted on from there; nothing is filtered across a gap. The filter holds back
    the newest samples (some tens of milliseconds) until it has seen what follows them.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._soxr: soxr.ResampleStream | None = None
        self._next_input = 0
        self._next_output = 0

    @property
    def next_sample(self) -> int:
        """Index at `to_hz` of the first sample that has not come out yet, if no gap precedes it."""
        return self._next_output

    def push(self, block: Block) -> list[Block]:
        """Take the next block; give what is ready, each block with at least one sample.

        Args:
            block: its `start_sample` counts at `from_hz`; it may be empty.

        Returns:
            Blocks counted at `to_hz`. After a gap in the input the first of them is the end of the
            run before; at least one index is missing between it and the next.

        Raises:
            ValueError: the block begins before the end of the one before.
        """
        if block.start_sample < self._next_input:
            raise ValueError(f"block at {block.start_sample} goes back before {self._next_input}")
        if len(block.samples) == 0:
            return []
        if self.from_hz == self.to_hz:
            self._next_input = self._next_output = block.end_sample
            return [block]
        ready: list[Block] = []
        if self._soxr is None or block.start_sample != self._next_input:
            first_output = convert_index(block.start_sample, self.from_hz, self.to_hz)
            # The end of a run may be rounded up by a sample. However short the gap is, an index
            # stays free, so that whoever comes next can see it.
            ready += self._end_run(end_before=first_output)
            # VHQ computes in double precision: the same bits on x86 and arm64, unlike HQ.
            self._soxr = soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality="VHQ")
            self._next_output = max(self._next_output, first_output)
        self._next_input = block.end_sample
        return ready + self._count(self._soxr.resample_chunk(block.samples))

    def flush(self) -> list[Block]:
        """Give what the filter still holds, at the end of the stream; what follows is a new run."""
        return self._end_run(end_before=None)

    def _end_run(self, end_before: int | None) -> list[Block]:
        if self._soxr is None:
            return []
        tail = self._soxr.resample_chunk(np.empty(0, np.float32), last=True)
        self._soxr = None
        if end_before is not None:
            tail = tail[: max(0, end_before - 1 - self._next_output)]
        return self._count(tail)

    def _count(self, samples: FloatArray) -> list[Block]:
        if len(samples) == 0:
            return []
        block = Block(self._next_output, samples)
        self._next_output = block.end_sample
        return [block]
