"""How many bytes a file lacks of what its header promises: AIFF, AU and CAF."""

from __future__ import annotations

import os
import struct

PLACEHOLDERS = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
LEAST_MISSING_BYTES = 1_024
"""A few bytes less are carelessness."""


def missing_bytes(path: str) -> int:
    """Bytes that should follow the end of the file; 0 for a whole one, and for other formats.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        length = os.fstat(file.fileno()).st_size
        head = file.read(16)
        end = 0
        if len(head) < 16:
            return 0
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            size = struct.unpack(">I", head[4:8])[0]
            end = 8 + size if size not in PLACEHOLDERS else 0
        elif head[:4] in (b".snd", b"dns."):
            begin, size = struct.unpack(">II" if head[:4] == b".snd" else "<II", head[4:12])
            end = begin + size if size not in PLACEHOLDERS else 0
        elif head[:4] == b"caff":
            at = 8
            while at < length:
                file.seek(at)
                chunk = file.read(12)
                if len(chunk) < 12:
                    break
                size = struct.unpack(">q", chunk[4:])[0]
                if size < 0:
                    break
                at += 12 + size
                end = at
    return end - length if end - length > LEAST_MISSING_BYTES else 0
