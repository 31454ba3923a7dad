"""Tells systemd how the listening goes, as ``sd_notify(3)`` describes it.

Lines of ``KEY=value`` in datagrams to the socket that ``$NOTIFY_SOCKET`` names; without that variable
nothing happens. What is said, and when:

``READY=1``
    The model is loaded, the log is open and capture begins. It does not wait for the first window: a
    microphone that is plugged in an hour later must not hold up the start of the machine. ``STATUS``
    says what the service waits for.
``WATCHDOG=1``
    Samples have passed through the listening loop since the last time; at most every half of
    ``$WATCHDOG_USEC``. Time alone never feeds the watchdog: when no sound arrives for the whole
    interval, the process is restarted, as the last thing to try when reopening the microphone again and
    again did not help.
``STATUS=...``
    One line for ``systemctl status``, when the state changes and every ten seconds.
``STOPPING=1``
    The end has begun.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from streamer.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from streamer.monitor import Monitor

STEP_S = 0.5
"""How often the state is looked at."""

STATUS_S = 10.0
"""How often the status line is made anew while the state stays the same."""


class Notifier:
    """Sends notifications; never waits and never fails, because nobody may be listening.

    Args:
        address: path of a datagram socket, or ``@name`` for one in the abstract namespace.
        watchdog_s: silence after which the service manager takes action; 0 for never.
    """

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        import socket

        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier | None:
        """The one that the environment asks for; None when the process is not a service."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        # The variable may have been inherited from a service that started us.
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(watchdog_us) / 1e6 if watchdog_us.isdecimal() and ours else 0.0)

    def send(self, **values: str | int) -> None:
        """Send assignments in one datagram; the keys are those of ``sd_notify(3)``."""
        lines = [f"{key}={' '.join(str(value).split())}" for key, value in values.items()]
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


def status_line(monitor: Monitor) -> str:
    """What ``systemctl status`` shows: state since when, source, events, losses and what is wrong."""
    status = monitor.snapshot()
    since = time.strftime("%H:%M", time.localtime(SYSTEM_CLOCK.unix_s() - status.state_since_s))
    parts = [
        f"{status.state} since {since}: {status.source or 'no microphone yet'}",
        f"{status.events_total} event{'' if status.events_total == 1 else 's'}",
    ]
    if status.health.lost_s:
        parts.append(f"{status.health.lost_s:.1f} s lost")
    if status.log_trouble:
        parts.append(f"cannot write the log: {status.log_trouble}")
    if status.health.dropped_rows:
        parts.append(f"{status.health.dropped_rows} rows not written")
    if monitor.problem:
        parts.append(monitor.problem)
    return ", ".join(parts)


class _Watch:
    """Looks at a monitor and reports what has changed."""

    def __init__(self, notifier: Notifier, monitor: Monitor) -> None:
        self._notifier = notifier
        self._monitor = monitor
        self._heard_s = monitor.total_heard_s
        self._fed_at = SYSTEM_CLOCK.monotonic_s()
        self._state = ""
        self._said = ""
        self._said_at = self._fed_at
        self._stopping = False

    def stopping(self) -> None:
        """Say once that the end has begun."""
        if not self._stopping:
            self._stopping = True
            self._notifier.send(STOPPING=1, STATUS="stopping")

    def look(self) -> None:
        """Feed the watchdog if samples came, and renew the status line if it is due."""
        now = SYSTEM_CLOCK.monotonic_s()
        heard_s = self._monitor.total_heard_s
        half_s = self._notifier.watchdog_s / 2
        if half_s and heard_s != self._heard_s and now - self._fed_at >= half_s:
            self._heard_s, self._fed_at = heard_s, now
            self._notifier.send(WATCHDOG=1)
        state = self._monitor.state
        if state == self._state and now - self._said_at < STATUS_S:
            return
        self._state, self._said_at = state, now
        line = status_line(self._monitor)
        if line != self._said:
            self._said = line
            self._notifier.send(STATUS=line)


@contextlib.contextmanager
def service_manager(monitor: Monitor, stop: threading.Event) -> Iterator[None]:
    """While it lasts, the service manager that started us, if any, is told how the listening goes.

    Args:
        monitor: watches the listening, which begins now.
        stop: set when the listening shall end.
    """
    notifier = Notifier.from_environment()
    if notifier is None:
        yield
        return
    over = threading.Event()
    watch = _Watch(notifier, monitor)
    step_s = min(STEP_S, notifier.watchdog_s / 8 or STEP_S)

    def run() -> None:
        while not over.wait(step_s):
            if stop.is_set():
                watch.stopping()
            else:
                watch.look()

    notifier.send(READY=1, STATUS="starting")
    thread = threading.Thread(target=run, name="service manager", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        watch.stopping()
        notifier.close()
