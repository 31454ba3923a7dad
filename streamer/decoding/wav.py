"""Where the samples of a WAV file are, whatever its header says: RIFF, RF64, BW64 and W64.

The size in the header is written when the recording ends, in 32 bits. So it is zero when the recorder was
killed, a placeholder when it wrote into a pipe, wraps at 4 GiB, and stays as it was when a file is cut or
continued. Whether a size is true can be seen at its end: there the file ends, or the next chunk begins.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from streamer.decoding.sndfile import LEAST_MISSING_S, RawLayout

PLACEHOLDERS = frozenset({0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
"""What recorders (sox, arecord, ffmpeg and others) write while the size is not known."""

MOST_CHUNKS = 200
MOST_PADDING = 1 << 20

WRAP = 1 << 32

TRAILERS = frozenset(
    {
        b"LIST",
        b"list",
        b"id3 ",
        b"ID3 ",
        b"bext",
        b"guan",
        b"cue ",
        b"smpl",
        b"fact",
        b"PEAK",
        b"JUNK",
        b"junk",
    }
    | {b"PAD ", b"FLLR", b"iXML", b"_PMX", b"afsp", b"DISP", b"umid", b"levl", b"minf", b"elm1", b"regn"}
    | {b"acid", b"inst", b"plst", b"cart", b"axml", b"chna", b"wavl", b"slnt", b"note", b"ltxt", b"adtl"}
)
"""Chunks that are known to follow the samples; one that is itself cut off is recognised by its name."""

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_END = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""What follows the four letters of every other chunk's name."""

_SUBTYPES = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}


@dataclass(frozen=True)
class WavData:
    """The samples of a WAV file."""

    start: int
    """Their first byte."""

    end: int
    """Where they end in truth."""

    size: Literal["true", "unknown", "too small", "too large"]
    """What the header says about it."""

    missing_s: float
    """Seconds that the header promises and the file does not hold."""

    raw: RawLayout | None
    """What they are; None where they are packed in a way that needs a decoder."""


def find_wav_data(path: str) -> WavData | None:
    """The samples of a WAV file; None for any other file, and for one whose layout says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        length = os.fstat(file.fileno()).st_size
        layout = b""
        large_size = 0
        for name, start, size in _chunks(file):
            if name == b"fmt ":
                file.seek(start)
                layout = file.read(min(size, 40))
            elif name == b"ds64":
                file.seek(start)
                large_size = struct.unpack("<Q", file.read(24)[8:16].ljust(8, b"\0"))[0]
            elif name == b"data":
                if len(layout) < 16 or start >= length:
                    return None
                if size == 0xFFFFFFFF and 0 < large_size < 1 << 63:
                    size = large_size
                return _judged(file, length, layout, start, size)
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk up to the samples."""
    head = file.read(16)
    long = head == W64_RIFF
    if not long and (head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE"):
        return
    at = 40 if long else 12
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        header = file.read(24 if long else 8)
        if len(header) < (24 if long else 8):
            return
        if long:
            name, size = header[:4], struct.unpack("<Q", header[16:])[0] - 24
            if header[4:16] != W64_END or size >= 1 << 62:
                return
            start, following = at + 24, at + 24 + (max(0, size) + 7) // 8 * 8
        else:
            name, size = header[:4], struct.unpack("<I", header[4:])[0]
            start, following = at + 8, at + 8 + size + size % 2
        yield name, start, max(0, size)
        at = following


def _judged(file: BinaryIO, length: int, layout: bytes, start: int, size: int) -> WavData:
    kind, channels, rate_hz, bytes_per_s, align, bits = struct.unpack("<HHIIHH", layout[:16])
    if kind == 0xFFFE and len(layout) >= 26:
        kind = struct.unpack("<H", layout[24:26])[0]
    subtype = _SUBTYPES.get((kind, bits))
    plain = subtype and channels and rate_hz and align == channels * bits // 8
    raw = RawLayout(rate_hz, channels, subtype) if subtype and plain else None
    there = length - start
    if size > there:
        if size in PLACEHOLDERS:
            return WavData(start, length, "unknown", 0.0, raw)
        missing_s = (size - there) / (bytes_per_s or 1)
        return WavData(start, length, "too large" if missing_s > LEAST_MISSING_S else "true", missing_s, raw)
    file.seek(start)
    if size == 0 and file.read(4) in TRAILERS and _ends_well(file, start, length):
        return WavData(start, start, "true", 0.0, raw)  # a recording of nothing
    # A size that has wrapped lacks a multiple of 4 GiB.
    for end in range(start + size, length + 1, WRAP):
        if end > start and _ends_well(file, end, length):
            return WavData(start, end, "true" if end == start + size else "too small", 0.0, raw)
    return WavData(start, length, "unknown" if size in PLACEHOLDERS else "too small", 0.0, raw)


def _ends_well(file: BinaryIO, end: int, length: int) -> bool:
    """Whether nothing but other chunks, or nothing at all, comes from here on."""
    return _only_chunks(file, end, length) or _only_chunks(file, end + end % 2, length)


def _only_chunks(file: BinaryIO, at: int, length: int) -> bool:
    for _ in range(MOST_CHUNKS):
        if length - at < 8:
            return True
        file.seek(at)
        header = file.read(24)
        name, size = header[:4], struct.unpack("<I", header[4:8])[0]
        if header[4:16] == W64_END and len(header) == 24:
            at += (struct.unpack("<Q", header[16:])[0] + 7) // 8 * 8 or 1
        elif not any(header):
            return length - at <= MOST_PADDING and not any(header + file.read(MOST_PADDING))
        elif name in TRAILERS or (all(0x20 <= byte < 0x7F for byte in name) and size <= length - at - 8):
            at += 8 + size + size % 2
        else:
            return False
    return False
