"""A promise about one event: when it may be shown."""

from __future__ import annotations

import threading
import time

PATIENCE_S = 2.0
"""A disk that hangs holds back what is shown for so long at most."""


class Ticket:
    """Tells when an event that was handed over is as safe as it will be."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._until = time.monotonic() + PATIENCE_S

    @property
    def settled(self) -> bool:
        """True when its row is on the disk, or could not be written."""
        return self._settled.is_set()

    @property
    def overdue(self) -> bool:
        """True when it has taken longer than a disk that works ever needs."""
        return not self.settled and time.monotonic() > self._until

    def settle(self) -> None:
        """Its row is on the disk, or cannot be written now."""
        self._settled.set()

    def wait(self) -> None:
        """Wait for that, but no longer than `PATIENCE_S` after it was handed over."""
        self._settled.wait(max(0.0, self._until - time.monotonic()))
