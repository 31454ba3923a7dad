"""Sound files: everything that libsndfile reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.mend import mended
from streamer.native import quiet_native_code
from streamer.sources.mixdown import check_channel, to_mono
from streamer.sources.resample import StreamResampler
from streamer.sources.source import SourceHealth
from streamer.types import Block

READ_S = 0.5
"""Read at once at full speed. If the decoder fails, so much at most is lost before the damage."""

BLOCK_S = 2.0
"""Length of a block at full speed: long enough to be cheap (one of `READ_S` costs a tenth more in the end),
short enough to stop at once."""

REALTIME_BLOCK_S = 0.1

LEAST_MISSING_S = 0.1
"""Lossy formats announce a little more than they hold; only a file that lacks more is truncated."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
"""A header that says anything else lies; at one sample a second, a second of sound would take hours."""

UNKNOWN_LENGTH = 1 << 62
"""From here on, a header's length means: not known when it was written (a pipe)."""


def forward_reader() -> type[Any]:
    """A `soundfile.SoundFile` that only ever reads on.

    The library seeks to where it already is after every read; in an MP3 that is not exact and loses
    samples at every block.
    """
    import soundfile

    class ForwardReader(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return ForwardReader


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
        path: the file: wav, flac, ogg, mp3, ...; any rate, depth and number of channels.
        rate_hz: rate of the blocks.
        channel: channel to listen to, from 1; 0 means the mean of all.
        realtime: as slowly as if it were live.

    Raises:
        SourceError: the file is missing, empty or not a sound file.
    """

    live = False

    def __init__(self, path: str, rate_hz: int, channel: int = 0, realtime: bool = False) -> None:
        import soundfile

        self.name = path
        self._rate_hz = rate_hz
        self._channel = channel or None
        self._realtime = realtime
        self._broken_samples = 0
        try:
            if Path(path).is_dir():
                raise SourceError(f"{path} is a folder; name the sound files in it, as in {path}/*.wav")
            if Path(path).exists() and not Path(path).is_file():
                raise SourceError(f"{path} is not an ordinary file; pipe its samples into --input -")
            with Path(path).open("rb"), quiet_native_code():
                # As bytes, because a file's name need not be UTF-8.
                self._file = forward_reader()(os.fsencode(path))
        except FileNotFoundError as error:
            raise SourceError(f"there is no file {path}") from error
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from error
        except soundfile.LibsndfileError as error:
            raise SourceError(
                f"{path} is not a sound file that can be read (wav, flac, ogg, mp3 and others are): "
                f"{error.error_string.rstrip('.')}"
            ) from error
        if self._file.frames == 0:
            self._file.close()
            raise SourceError(f"{path} holds no samples")
        if not LOWEST_RATE_HZ <= self._file.samplerate <= HIGHEST_RATE_HZ:
            rate_hz = self._file.samplerate
            self._file.close()
            raise SourceError(
                f"{path} is damaged or no sound: its header says {rate_hz} samples a second "
                f"(from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} can be heard)"
            )
        try:
            check_channel(self._channel, self._file.channels)
        except SourceError as error:
            self._file.close()
            raise SourceError(f"{path}: {error}") from error

    @property
    def health(self) -> SourceHealth:
        """A file loses nothing; it may hold broken floats."""
        return SourceHealth(broken_samples=self._broken_samples)

    @property
    def duration_s(self) -> float | None:
        """Length according to the file's header, if it says one."""
        if self._file.frames >= UNKNOWN_LENGTH:
            return None
        return float(self._file.frames / self._file.samplerate)

    def blocks(self) -> Iterator[Block]:
        """Yield the whole file; see `Source.blocks`."""
        return self._read() if self._realtime else joined(self._read(), round(BLOCK_S * self._rate_hz))

    def _read(self) -> Iterator[Block]:
        """The whole file as it is read, a little at a time."""
        import soundfile

        file_rate_hz = self._file.samplerate
        resampler = StreamResampler(file_rate_hz, self._rate_hz)
        size = max(1, round((REALTIME_BLOCK_S if self._realtime else READ_S) * file_rate_hz))
        began = time.monotonic()
        position = 0
        while position < self._file.frames:
            # Only the MP3 decoder talks.
            chatter = quiet_native_code() if self._file.format == "MP3" else nullcontext()
            try:
                with chatter:
                    samples = self._file.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                yield from resampler.flush()
                self._damaged(position, error.error_string)
            if len(samples) == 0:
                missing = self._file.frames - position
                if position and (
                    self._file.frames >= UNKNOWN_LENGTH or missing <= LEAST_MISSING_S * file_rate_hz
                ):
                    break
                yield from resampler.flush()
                self._damaged(position, "the file ends early")
            samples, broken = mended(samples)
            self._broken_samples += broken
            block = Block(position, to_mono(samples, self._channel))
            position += len(samples)
            if self._realtime:
                time.sleep(max(0.0, began + position / file_rate_hz - time.monotonic()))
            yield from resampler.push(block)
        yield from resampler.flush()

    def _damaged(self, position: int, reason: str) -> None:
        at_s = position / self._file.samplerate
        raise SourceError(
            f"{self.name} is damaged or truncated: nothing can be read after {at_s:.1f} s "
            f"({reason.strip().rstrip('.')})"
        )

    def unix_time(self, sample: int) -> float:
        """Files have no dates."""
        raise SourceError(f"{self.name} is a file: its times are positions, not dates")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
