"""What a decoder is: anything that reads samples on, at a rate and number of channels of its own."""

from __future__ import annotations

from typing import Protocol

from streamer.types import FloatArray


class DecodeError(Exception):
    """Nothing can be read from here on. The text is the reason, for people, without the file's name."""


class Decoder(Protocol):
    """An open file, or a part of one."""

    @property
    def rate_hz(self) -> int:
        """Samples a second."""

    @property
    def channels(self) -> int:
        """Channels of each frame."""

    @property
    def frames(self) -> int | None:
        """How many samples of each channel there will be, as far as that is known."""

    def read(self, frames: int) -> FloatArray:
        """The next samples.

        Args:
            frames: at most so many of each channel.

        Returns:
            Shape (n, channels), float32, full scale is 1; n is 0 at the end only.

        Raises:
            DecodeError: there should be more, and it cannot be read.
        """

    def close(self) -> None:
        """Close the file; harmless when repeated."""
