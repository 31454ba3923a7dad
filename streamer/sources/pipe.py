"""Raw PCM on standard input, as ``arecord -t raw`` or ``ffmpeg -f s16le`` write it."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator

import numpy as np

from streamer.errors import SourceError
from streamer.mend import mended
from streamer.settings import SampleFormat
from streamer.sources.mixdown import to_mono
from streamer.sources.resample import StreamResampler
from streamer.sources.source import SourceHealth
from streamer.types import Block, FloatArray

READ_BYTES = 1 << 16
WAIT_S = 0.1
PAUSE_S = 1.0
"""A pipe that gave nothing for so long has paused: what it did not carry is a gap."""

LEAST_LAG_S = 0.5
"""Samples that are less late than this have only been waiting somewhere."""


class PipeSource:
    """Interleaved samples from a file descriptor.

    Args:
        rate_hz: rate of the blocks.
        pcm_rate_hz, channels, sample_format: what the bytes are.
        channel: channel to listen to, from 1; 0 means the mean of all.
        descriptor: where the bytes come from, standard input by default.

    Raises:
        SourceError: standard input is a terminal.
    """

    name = "stdin"
    live = True
    duration_s = None

    def __init__(
        self,
        rate_hz: int,
        pcm_rate_hz: int,
        channels: int = 1,
        sample_format: SampleFormat = "s16le",
        channel: int = 0,
        descriptor: int | None = None,
    ) -> None:
        if descriptor is None:
            if sys.stdin is None:
                raise SourceError("standard input is closed; pipe raw PCM into --input -")
            descriptor = sys.stdin.fileno()
        self._descriptor = descriptor
        if os.isatty(self._descriptor):
            raise SourceError(
                "--input - expects raw PCM from a pipe, as in: "
                "arecord -t raw -f S16_LE -r 44100 | esc-listen --input - --rate 44100"
            )
        self._rate_hz = rate_hz
        self._pcm_rate_hz = pcm_rate_hz
        self._channels = channels
        self._format = sample_format
        self._channel = channel or None
        self._anchor = time.time()
        self._closed = False
        self._began_s = 0.0
        self._broken_samples = 0
        self._gaps = 0
        self._lost = 0

    @property
    def health(self) -> SourceHealth:
        """Pauses of the pipe, and broken floats."""
        lost = round(self._lost * self._rate_hz / self._pcm_rate_hz)
        return SourceHealth(self._gaps, lost, broken_samples=self._broken_samples)

    def blocks(self) -> Iterator[Block]:
        """Yield samples as they arrive; see `Source.blocks`."""
        resampler = StreamResampler(self._pcm_rate_hz, self._rate_hz)
        frame_bytes = self._channels * (2 if self._format == "s16le" else 4)
        position = 0
        header = rest = b""
        expected = 0
        waited_since_s = time.monotonic()
        while not self._closed:
            ready, _, _ = select.select([self._descriptor], [], [], WAIT_S)
            now_s = time.monotonic()
            if not ready:
                yield Block(expected, np.empty(0, np.float32))
                continue
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                break
            rest += data
            if len(header) < 4:
                header += data[:4]
                self._refuse_container(header)
            whole = len(rest) // frame_bytes * frame_bytes
            samples, rest = self._decode(rest[:whole]), rest[whole:]
            length_s = len(samples) / self._pcm_rate_hz
            if position == 0 and len(samples):
                # The first bytes were sampled just before they could be read.
                self._anchor = time.time() - length_s
                self._began_s = now_s - length_s
            elif now_s - waited_since_s > PAUSE_S:
                position += self._missing_samples(position, now_s - length_s)
            waited_since_s = now_s
            samples, broken = mended(samples)
            self._broken_samples += broken
            block = Block(position, to_mono(samples, self._channel))
            position += len(samples)
            for out in resampler.push(block):
                expected = out.end_sample
                yield out
        yield from resampler.flush()
        if rest:
            raise SourceError(
                f"standard input ended in the middle of a frame ({len(rest)} of {frame_bytes} bytes); "
                "the events before it are logged. Do --format and --channels fit what is piped in?"
            )
        if position == 0 and not self._closed:
            raise SourceError("standard input gave no samples; is the program before the pipe running?")

    def _missing_samples(self, position: int, at_s: float) -> int:
        """Samples that a pause has cost, if what comes at `at_s` is really late."""
        late_s = at_s - self._began_s - position / self._pcm_rate_hz
        if late_s < LEAST_LAG_S:
            return 0
        missing = round(late_s * self._pcm_rate_hz)
        self._gaps += 1
        self._lost += missing
        return missing

    def _decode(self, data: bytes) -> FloatArray:
        """Bytes to samples of shape (n, channels)."""
        if self._format == "s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32) * np.float32(1 / 32_768)
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        return samples.reshape(-1, self._channels)

    @staticmethod
    def _refuse_container(data: bytes) -> None:
        for magic, kind in ((b"RIFF", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3", "MP3")):
            if data.startswith(magic):
                raise SourceError(
                    f"standard input carries a {kind} file, not raw PCM; "
                    "save it and give its name, or convert it: ffmpeg -i - -f s16le -ac 1 -ar 44100 -"
                )

    def unix_time(self, sample: int) -> float:
        """Date of a sample, counted from the moment at which the first ones arrived."""
        return self._anchor + sample / self._rate_hz

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
