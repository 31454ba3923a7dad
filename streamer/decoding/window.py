"""A part of a file, as a file of its own."""

from __future__ import annotations

import os


class Window:
    """The bytes from `start` to `end` of a file, with the three methods that libsndfile asks for.

    Args:
        path: the file.
        start, end: in bytes.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, start: int, end: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._start = start
        self._size = end - start
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and say where to."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where reading goes on."""
        return self._at

    def read(self, size: int) -> bytes:
        """At most so many bytes. The caller is C code, which knows no exceptions: errors read as the end."""
        wanted = min(size, self._size - self._at)
        if wanted <= 0:
            return b""
        try:
            data = os.pread(self._descriptor, wanted, self._start + self._at)
        except OSError:
            return b""
        self._at += len(data)
        return data

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
