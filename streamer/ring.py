"""The buffer between the audio thread and whoever consumes the sound.

One producer, one consumer, no lock. Positions count the frames ever written; the frame at position
``p`` lives in slot ``p % capacity_frames``. Each slot also keeps the sample index of its frame, so
that input which the sound system dropped leaves a jump in the index.

The producer says which slots it is going to overwrite (`_claimed`) before it touches them, and that
they are complete (`_written`) afterwards. The consumer copies, looks at `_claimed` once more, and
throws away what may have changed under its hands. The interpreter keeps these steps in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray

Number = TypeVar("Number", np.float32, np.int64)


@dataclass(frozen=True)
class RingRead:
    """What the consumer got."""

    start_index: int
    """Sample index of the first frame; of the next one to be expected when there is none."""

    samples: FloatArray
    """Shape (n, channels), a copy, without a gap inside."""

    lost: int
    """Frames that were overwritten before they could be read, just before these."""


class SampleRing:
    """Holds the newest frames; the oldest are overwritten when nobody reads them in time."""

    def __init__(self, capacity_frames: int, channels: int) -> None:
        self.capacity_frames = capacity_frames
        self.channels = channels
        self._samples = np.zeros((capacity_frames, channels), np.float32)
        self._indices = np.zeros(capacity_frames, np.int64)
        self._ramp = np.arange(capacity_frames)
        self._next_index = 0
        self._claimed = 0
        self._written = 0
        self._read = 0
        self._next_read_index = 0

    @property
    def available_frames(self) -> int:
        """Frames that can be read now."""
        return min(self._written - self._read, self.capacity_frames)

    @property
    def next_index(self) -> int:
        """Sample index that the next frame to be written will have."""
        return self._next_index

    def write(self, block: FloatArray) -> None:
        """Take the next frames, shape (n, channels). For the producer; never blocks."""
        frames = len(block)
        end = self._written + frames
        end_index = self._next_index + frames
        self._claimed = end
        if frames > self.capacity_frames:
            block = block[frames - self.capacity_frames :]
            frames = self.capacity_frames
        slot = (end - frames) % self.capacity_frames
        first = min(frames, self.capacity_frames - slot)
        self._put(slot, block[:first], end_index - frames)
        if first < frames:
            self._put(0, block[first:], end_index - frames + first)
        self._next_index = end_index
        self._written = end

    def skip(self, frames: int) -> None:
        """Leave out so many indices where input is missing. For the producer."""
        self._next_index += frames

    def read(self, max_frames: int) -> RingRead:
        """Take the oldest frames, up to the next gap. For the consumer; never blocks."""
        expected = self._read
        written = self._written
        begin = max(expected, self._claimed - self.capacity_frames)
        count = max(0, min(written - begin, max_frames))
        samples = self._copy(self._samples, begin, count)
        indices = self._copy(self._indices, begin, count)

        torn = min(count, max(0, self._claimed - self.capacity_frames - begin))
        samples, indices = samples[torn:], indices[torn:]
        begin += torn
        jumps = np.flatnonzero(np.diff(indices) != 1)
        if len(jumps):
            samples, indices = samples[: jumps[0] + 1], indices[: jumps[0] + 1]
        self._read = begin + len(samples)
        if len(samples):
            start_index = int(indices[0])
            self._next_read_index = start_index + len(samples)
        else:
            start_index = self._next_read_index
        return RingRead(start_index, samples, lost=begin - expected)

    def _copy(self, slots: NDArray[Number], begin: int, count: int) -> NDArray[Number]:
        slot = begin % self.capacity_frames
        first = min(count, self.capacity_frames - slot)
        copy = np.empty((count, *slots.shape[1:]), slots.dtype)
        copy[:first] = slots[slot : slot + first]
        copy[first:] = slots[: count - first]
        return copy

    def _put(self, slot: int, block: FloatArray, index: int) -> None:
        end = slot + len(block)
        self._samples[slot:end] = block
        np.add(self._ramp[: len(block)], index, out=self._indices[slot:end])
