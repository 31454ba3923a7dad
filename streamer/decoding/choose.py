"""Which parts a file has, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamer.decoding.decoder import DecodeError, Decoder
from streamer.decoding.ffmpeg import FfmpegDecoder
from streamer.decoding.flac import find_flac_parts
from streamer.decoding.mp3 import states_its_length
from streamer.decoding.ogg import find_ogg_parts
from streamer.decoding.sndfile import SndfileDecoder
from streamer.decoding.stated import missing_bytes
from streamer.decoding.wav import WavData, find_wav_data
from streamer.sources.containers import LONGEST_LOOK, NEEDS_FFMPEG, container_of

Opener = Callable[[], Decoder]


@dataclass(frozen=True)
class Recording:
    """A file that has been looked at. Its parts are heard one after the other."""

    first: Decoder
    """The first part, open."""

    others: tuple[Opener, ...] = ()
    """What opens each of the parts behind it."""

    missing: str = ""
    """What is known to be missing at the end, for people; empty for a whole file."""


def open_recording(path: str) -> Recording:
    """Look at a file, and open its first part.

    Raises:
        DecodeError: nobody can read it.
        OSError: it cannot be opened.
    """
    if wav := find_wav_data(path):
        return _wav(path, wav)
    if (ogg := find_ogg_parts(path)) and (len(ogg.parts) > 1 or not ogg.whole):
        missing = "" if ogg.whole else "its end, or a part of it, is missing"
        try:
            return _parted(path, ogg.parts, missing)
        except DecodeError:
            return Recording(FfmpegDecoder(path), missing=missing)
    try:
        decoder = SndfileDecoder(path)
    except DecodeError as error:
        return Recording(_by_ffmpeg(path, error), missing=_missing(path))
    try:
        if decoder.format == "MP3" and not states_its_length(path):
            decoder.close()
            return Recording(FfmpegDecoder(path))
        if decoder.format == "FLAC" and len(parts := find_flac_parts(path)) > 1:
            decoder.close()
            return _parted(path, parts)
    except BaseException:
        decoder.close()
        raise
    return Recording(decoder, missing=_missing(path))


def _missing(path: str) -> str:
    count = missing_bytes(path)
    return f"{count:,} bytes of it are missing" if count else ""


def _wav(path: str, wav: WavData) -> Recording:
    missing = f"its header promises {wav.missing_s:.1f} s more" if wav.size == "too large" else ""
    if wav.size in ("unknown", "too small"):
        if wav.raw is None:
            return Recording(FfmpegDecoder(path, ignore_size=True))
        return Recording(SndfileDecoder(path, (wav.start, wav.end), wav.raw))
    try:
        return Recording(SndfileDecoder(path), missing=missing)
    except DecodeError as error:
        return Recording(_by_ffmpeg(path, error), missing=missing)


def _parted(path: str, parts: tuple[tuple[int, int], ...], missing: str = "") -> Recording:
    def opener(part: tuple[int, int]) -> Opener:
        return lambda: SndfileDecoder(path, part)

    return Recording(SndfileDecoder(path, parts[0]), tuple(map(opener, parts[1:])), missing)


def _by_ffmpeg(path: str, error: DecodeError) -> Decoder:
    """A decoder for what libsndfile does not know.

    Raises:
        DecodeError: nobody can read it; it says what libsndfile says, or what to install.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        kind = container_of(file.read(LONGEST_LOOK))
    try:
        return FfmpegDecoder(path)
    except DecodeError:
        if kind in NEEDS_FFMPEG:
            raise
        raise error from None
