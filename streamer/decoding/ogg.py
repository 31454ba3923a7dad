"""The parts of an Ogg file (Vorbis, Opus, FLAC in Ogg), and whether its end is there.

Ogg files may be joined one after the other: each part begins with pages that say so (RFC 3533). Programs
that know nothing of that hear the first part only. The last page of a part bears a mark.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

CAPTURE = b"OggS"
BEGIN, END = 2, 4
SEARCH_BYTES = 1 << 16


@dataclass(frozen=True)
class OggParts:
    """What a walk over all pages has found."""

    parts: tuple[tuple[int, int], ...]
    """First byte and end of each part."""

    whole: bool
    """True when every part has its end."""


def find_ogg_parts(path: str) -> OggParts | None:
    """Walk over the pages of a file; None where it does not begin with one.

    Raises:
        OSError: the file cannot be read.
    """
    starts: list[int] = []
    unfinished: set[int] = set()
    beginning = False  # in the pages that begin a part
    whole = True
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        length = os.fstat(file.fileno()).st_size
        if file.read(4) != CAPTURE:
            return None
        at = 0
        page = -1  # where the page before begins; one that is cut off may reach into the next part
        while at < length:
            file.seek(at)
            header = file.read(27)
            if len(header) < 27 or header[:4] != CAPTURE:
                found = _next_page(file, page + 1)
                whole = whole and found is None and header[:4] != CAPTURE
                at = page = found if found is not None else length
                continue
            page = at
            flags, serial, segments = header[5], struct.unpack("<I", header[14:18])[0], header[26]
            if flags & BEGIN:
                if not beginning:
                    whole = whole and not unfinished
                    unfinished.clear()
                    starts.append(at)
                beginning = True
                unfinished.add(serial)
            else:
                beginning = False
            if flags & END:
                unfinished.discard(serial)
            at += 27 + segments + sum(file.read(segments))
            whole = whole and at <= length
    if not starts:
        return None
    ends = [*starts[1:], length]
    return OggParts(tuple(zip(starts, ends, strict=True)), whole and not unfinished)


def _next_page(file: BinaryIO, at: int) -> int | None:
    """Where the next page begins after damage, if there is one."""
    while True:
        file.seek(at)
        data = file.read(SEARCH_BYTES)
        found = data.find(CAPTURE)
        if found >= 0:
            return at + found
        if len(data) < SEARCH_BYTES:
            return None
        at += SEARCH_BYTES - len(CAPTURE) + 1
