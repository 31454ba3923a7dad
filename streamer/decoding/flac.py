"""The parts of a FLAC file: several may have been joined, each with a header of its own."""

from __future__ import annotations

import os

MARKS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
"""The word with which a stream begins, and the head of its first block, which is always the same."""

READ_BYTES = 1 << 20


def find_flac_parts(path: str) -> tuple[tuple[int, int], ...]:
    """First byte and end of each stream in a file. All of it is read: a join can be anywhere.

    Raises:
        OSError: the file cannot be read.
    """
    starts: list[int] = []
    with open(path, "rb") as file:  # noqa: PTH123 - a name that is not text
        length = os.fstat(file.fileno()).st_size
        before, kept = 0, b""  # the end of what was read before, and where it begins
        while data := file.read(READ_BYTES):
            data = kept + data
            for mark in MARKS:
                at = data.find(mark)
                while at >= 0:
                    starts.append(before + at)
                    at = data.find(mark, at + 1)
            kept = data[-len(MARKS[0]) + 1 :]
            before += len(data) - len(kept)
    starts.sort()
    return tuple(zip(starts, [*starts[1:], length], strict=True))
