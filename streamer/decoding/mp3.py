"""Whether the length that an MP3 file states is that of the file.

Only the header that Xing's and LAME's encoders write says how much follows. Without one libsndfile guesses
the length from the first frame, and is wrong for a variable bit rate; of files that were joined it reads
as much as the first header says.
"""

from __future__ import annotations

import os
import struct

SEARCH_BYTES = 1 << 16
TOLERANCE_BYTES = 4_096
"""So much may be written after the sound without being told: less than a quarter of a second."""


def states_its_length(path: str) -> bool:
    """True when libsndfile can know how long the file is. A file that is cut off says so too.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        length = os.fstat(file.fileno()).st_size
        begin = 0
        while (tag := file.read(10))[:3] == b"ID3" and len(tag) == 10:
            begin += 10 + _syncsafe(tag[6:10]) + (10 if tag[5] & 0x10 else 0)
            file.seek(begin)
        file.seek(begin)
        data = file.read(SEARCH_BYTES)
        file.seek(max(0, length - 160))
        tail = file.read(160)
    end = length
    if tail[-128:-125] == b"TAG":
        end -= 128
        tail = tail[:-128]
    if tail[-32:-24] == b"APETAGEX":
        size, _, flags = struct.unpack("<III", tail[-20:-8])
        end -= size + (32 if flags & 0x80000000 else 0)
    stated = _stated_bytes(data)
    if stated is None:
        return False
    at, size = stated
    return begin + at + size >= end - TOLERANCE_BYTES


def _syncsafe(data: bytes) -> int:
    return data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]


def _stated_bytes(data: bytes) -> tuple[int, int] | None:
    """Where the first frame begins, and the size of the sound from there, if it says one."""
    for word in (b"Xing", b"Info"):
        at = data.find(word)
        if at < 0 or len(data) < at + 16:
            continue
        flags = struct.unpack(">I", data[at + 4 : at + 8])[0]
        # The frame's header stands before it, with 9, 17 or 32 bytes of side information between (and a CRC).
        for before in (13, 21, 36, 15, 23, 38):
            start = at - before
            if start >= 0 and data[start] == 0xFF and data[start + 1] & 0xE6 == 0xE2 and flags & 3 == 3:
                return start, struct.unpack(">I", data[at + 12 : at + 16])[0]
    return None
