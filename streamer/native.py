"""What native libraries do without being asked: write to the terminal, keep memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native_code() -> Iterator[None]:
    """Keep what native libraries (ALSA, LiteRT) write to descriptor 2 directly off the screen."""
    try:
        saved = os.dup(2)
    except OSError:  # closed: nothing can be written there anyway
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def give_back_memory() -> None:
    """Let the C library return freed memory to the system, where it can (glibc).

    It keeps what a burst needed, as the seconds of sound that wait after a stall, and the scattered rest of
    it after each: some ten kilobytes every time, for months.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
