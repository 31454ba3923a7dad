"""What libsndfile reads: WAV, FLAC, Ogg, MP3, AIFF and their relatives."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from streamer.decoding.decoder import DecodeError
from streamer.decoding.window import Window
from streamer.native import quiet_native_code
from streamer.types import FloatArray

LEAST_MISSING_S = 0.1
"""Lossy formats announce a little more than they hold; only a file that lacks more is truncated."""

UNKNOWN_LENGTH = 1 << 62
"""From here on, a header's length means: not known when it was written (a pipe)."""


@dataclass(frozen=True)
class RawLayout:
    """Samples without a header that can be believed."""

    rate_hz: int
    channels: int
    subtype: str
    """libsndfile's name: ``PCM_16``, ``FLOAT``, ..."""


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


class SndfileDecoder:
    """A sound file, or a part of it.

    Args:
        path: the file.
        part: first byte and end of the part; None for the whole file.
        raw: what the part holds, if it has no header of its own.

    Raises:
        DecodeError: libsndfile does not know what this is.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, part: tuple[int, int] | None = None, raw: RawLayout | None = None) -> None:
        import soundfile

        self._window = Window(path, *part) if part else None
        layout = (
            {
                "format": "RAW",
                "subtype": raw.subtype,
                "samplerate": raw.rate_hz,
                "channels": raw.channels,
                "endian": "LITTLE",
            }
            if raw
            else {}
        )
        try:
            with quiet_native_code():
                # As bytes, because a file's name need not be UTF-8.
                self._file = forward_reader()(self._window or os.fsencode(path), **layout)
        except soundfile.LibsndfileError as error:
            if self._window:
                self._window.close()
            raise DecodeError(error.error_string.strip().rstrip(".")) from error
        self._position = 0

    @property
    def format(self) -> str:
        """libsndfile's name of the file's format."""
        return str(self._file.format)

    @property
    def floats(self) -> bool:
        """True when the file holds floating point numbers, which may be anything."""
        return self._file.subtype in ("FLOAT", "DOUBLE")

    @property
    def rate_hz(self) -> int:
        """Samples a second, as the header says; it may lie."""
        return int(self._file.samplerate)

    @property
    def channels(self) -> int:
        """Channels of each frame."""
        return int(self._file.channels)

    @property
    def frames(self) -> int | None:
        """According to the header, if it says so."""
        frames = int(self._file.frames)
        return frames if frames < UNKNOWN_LENGTH else None

    def read(self, frames: int) -> FloatArray:
        """The next samples; see `Decoder.read`."""
        import soundfile

        left = frames if self.frames is None else min(frames, self.frames - self._position)
        # Only the MP3 decoder talks.
        chatter = quiet_native_code() if self.format == "MP3" else nullcontext()
        try:
            with chatter:
                samples: FloatArray = self._file.read(max(0, left), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DecodeError(error.error_string.strip().rstrip(".")) from error
        self._position += len(samples)
        if not len(samples) and self.frames is not None:
            missing = self.frames - self._position
            if missing > 0 and (not self._position or missing > LEAST_MISSING_S * self.rate_hz):
                raise DecodeError("the file ends early")
        return samples

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._file.close()
        if self._window:
            self._window.close()
