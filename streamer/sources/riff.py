"""The chunks of a WAV file that are not sound: RIFF, RF64 and BW64."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

MOST_CHUNKS = 200
MOST_BYTES = 1 << 20
"""A chunk that is longer holds no words."""

WORDS = (b"guan", b"bext", b"LIST")


def chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the chunks that may hold words; none for another kind of file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
            return
        sound_bytes = 0
        for _ in range(MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8:
                return
            name, size = header[:4], struct.unpack("<I", header[4:])[0]
            at = file.tell()
            if name == b"ds64":
                sound_bytes = struct.unpack("<Q", file.read(24)[8:16].ljust(8, b"\0"))[0]
            elif name == b"data" and size == 0xFFFFFFFF:
                size = sound_bytes
            elif name in WORDS and size <= MOST_BYTES:
                yield name, file.read(size)
            file.seek(at + size + size % 2)
