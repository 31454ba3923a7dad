"""Sound files, heard to their last second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamer.decoding import DecodeError, Decoder, open_recording
from streamer.errors import SourceError
from streamer.mend import mended
from streamer.sources.integers import Scale, integers_in
from streamer.sources.mixdown import CANCELS, Cancelling, check_channel, to_mono
from streamer.sources.resample import StreamResampler
from streamer.sources.source import Report, SourceHealth, no_report
from streamer.types import Block

READ_S = 0.5
"""Read at once at full speed. If the decoder fails, so much at most is lost before the damage."""

BLOCK_S = 2.0
"""Length of a block at full speed: long enough to be cheap (one of `READ_S` costs a tenth more in the end),
short enough to stop at once."""

REALTIME_BLOCK_S = 0.1

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
"""A header that says anything else lies; at one sample a second, a second of sound would take hours."""

MOST_MEASURED = 100
"""The length of a recording that was joined from more parts is not looked for."""


def joined(blocks: Iterator[Block], samples: int) -> Iterator[Block]:
    """Consecutive blocks joined until they hold so many samples; what was read before damage comes first."""
    held: list[Block] = []

    def whole() -> Block:
        block = Block(held[0].start_sample, np.concatenate([part.samples for part in held]))
        held.clear()
        return block

    try:
        for block in blocks:
            held.append(block)
            if block.end_sample - held[0].start_sample >= samples:
                yield whole()
    except SourceError:
        if held:
            yield whole()
        raise
    if held:
        yield whole()


class RecordingSource:
    """One sound file.

    Args:
        path: the file: wav, flac, ogg, mp3, m4a, ...; any rate, depth and number of channels.
        rate_hz: rate of the blocks.
        channel: channel to listen to, from 1; 0 means the mean of all.
        realtime: as slowly as if it were live.
        report: takes note of advice.

    Raises:
        SourceError: the file is missing, empty or not a sound file.
    """

    live = False

    def __init__(
        self,
        path: str,
        rate_hz: int,
        channel: int = 0,
        realtime: bool = False,
        report: Report = no_report,
    ) -> None:
        self.name = path
        self._rate_hz = rate_hz
        self._channel = channel or None
        self._realtime = realtime
        self._report = report
        self._broken_samples = 0
        try:
            if Path(path).is_dir():
                raise SourceError(f"{path} is a folder; name the sound files in it, as in {path}/*.wav")
            if Path(path).exists() and not Path(path).is_file():
                raise SourceError(f"{path} is not an ordinary file; pipe its samples into --input -")
            self._recording = open_recording(path)
        except FileNotFoundError as error:
            raise SourceError(f"there is no file {path}") from error
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from error
        except DecodeError as error:
            raise SourceError(
                f"{path} is not a sound file that can be read (wav, flac, ogg, mp3, m4a and others are): "
                f"{error}"
            ) from error
        self._decoder = self._recording.first
        try:
            self._check(self._decoder)
            self._scale = self._look_at_floats()
            self._duration_s = self._length_s()
        except BaseException:
            self._decoder.close()
            raise

    def _check(self, decoder: Decoder) -> None:
        """Refuse what cannot be sound, or has no such channel."""
        if decoder.frames == 0:
            raise SourceError(f"{self.name} holds no samples")
        if not LOWEST_RATE_HZ <= decoder.rate_hz <= HIGHEST_RATE_HZ:
            raise SourceError(
                f"{self.name} is damaged or no sound: its header says {decoder.rate_hz} samples a second "
                f"(from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} can be heard)"
            )
        try:
            check_channel(self._channel, decoder.channels)
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from error

    def _look_at_floats(self) -> Scale | None:
        if not getattr(self._decoder, "floats", False):
            return None
        try:
            decoder = open_recording(self.name).first
        except (DecodeError, OSError) as error:
            raise SourceError(f"cannot read {self.name}: {error}") from error
        try:
            return integers_in(decoder)
        finally:
            decoder.close()

    @property
    def health(self) -> SourceHealth:
        """A file loses nothing; it may hold broken floats."""
        return SourceHealth(broken_samples=self._broken_samples)

    @property
    def duration_s(self) -> float | None:
        """Length according to the file's headers, if they say one."""
        return self._duration_s

    def blocks(self) -> Iterator[Block]:
        """Yield the whole file; see `Source.blocks`."""
        return self._read() if self._realtime else joined(self._read(), round(BLOCK_S * self._rate_hz))

    def _read(self) -> Iterator[Block]:
        """The whole file as it is read, a little at a time."""
        if self._scale:
            bits = self._scale.bits
            self._advise(f"{self.name} holds whole numbers stored as floats; heard as {bits}-bit samples")
        began = time.monotonic()
        heard_s = 0.0
        resampler = StreamResampler(self._decoder.rate_hz, self._rate_hz)
        position, base = 0, 0  # at the rate of the part; what came out before it
        problem = ""
        try:
            for decoder in self._parts():
                rate_hz = decoder.rate_hz
                if rate_hz != resampler.from_hz:
                    yield from _later(resampler.flush(), base)
                    base += resampler.next_sample
                    position, resampler = 0, StreamResampler(rate_hz, self._rate_hz)
                cancelling = Cancelling(rate_hz, self._channel)
                size = max(1, round((REALTIME_BLOCK_S if self._realtime else READ_S) * rate_hz))
                while len(samples := decoder.read(size)):
                    if self._scale:
                        samples = samples * self._scale.factor
                    samples, broken = mended(samples)
                    self._broken_samples += broken
                    block = Block(position, to_mono(samples, self._channel))
                    if cancelling.hear(samples, block.samples):
                        self._advise_channel()
                    position += len(samples)
                    heard_s += len(samples) / rate_hz
                    if self._realtime:
                        time.sleep(max(0.0, began + heard_s - time.monotonic()))
                    yield from _later(resampler.push(block), base)
                if cancelling.judge():
                    self._advise_channel()
            if self._recording.missing:
                problem = f"cut off or damaged: {self._recording.missing}; {heard_s:.1f} s were heard"
        except (DecodeError, OSError) as error:
            problem = f"damaged or truncated: nothing can be read after {heard_s:.1f} s ({error})"
        yield from _later(resampler.flush(), base)
        if problem:
            raise SourceError(f"{self.name} is {problem}")

    def _parts(self) -> Iterator[Decoder]:
        """Each part, open; the one before is closed."""
        yield self._decoder
        for open_next in self._recording.others:
            self._decoder.close()
            self._decoder = open_next()
            if self._decoder.frames != 0:
                self._check(self._decoder)
                yield self._decoder

    def _length_s(self) -> float | None:
        """Length of all parts, if all say it."""
        others = self._recording.others
        if self._decoder.frames is None or len(others) > MOST_MEASURED:
            return None
        total_s = self._decoder.frames / self._decoder.rate_hz
        try:
            for open_next in others:
                part = open_next()
                part.close()
                if part.frames is None:
                    return None
                total_s += part.frames / max(1, part.rate_hz)
        except (DecodeError, OSError):
            return None
        return total_s

    def _advise_channel(self) -> None:
        self._advise(f"{self.name}: {CANCELS}")

    def _advise(self, text: str) -> None:
        self._report("advice", text=text, source=self.name)

    def unix_time(self, sample: int) -> float:
        """Files have no dates."""
        raise SourceError(f"{self.name} is a file: its times are positions, not dates")

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()


def _later(blocks: list[Block], by: int) -> Iterator[Block]:
    """The same blocks so many samples later."""
    return (Block(block.start_sample + by, block.samples) for block in blocks)
