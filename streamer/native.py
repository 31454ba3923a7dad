"""Native libraries that write to the terminal without being asked."""

from __future__ import annotations

import contextlib
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
