"""What capture is doing, as a pure state machine: no device, no thread, no clock of its own."""

from __future__ import annotations

from typing import Literal

State = Literal["starting", "listening", "silent", "stalled", "recovering", "failed", "finished"]
"""See `CaptureState`; a source that has come to its end is ``finished``."""

SILENT_AFTER_S = 5.0
"""Nothing but zeros, or a constant, for so long is an alarm: no microphone is that quiet (`alive`)."""

STALLED_AFTER_S = 2.0
"""An open device that gives nothing for so long has stalled."""

REOPEN_AFTER_S = 5.0
"""A device that gives nothing for so long after it was opened, or after it stalled, is opened anew."""

STEADY_AFTER_S = 10.0
"""A device that has given samples for so long is well again: the next failure is a new one."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class CaptureState:
    """Follows what happens to a capture.

    ========== ============================================ ===========
    while      this happens                                 becomes
    ========== ============================================ ===========
    (begin)                                                 starting
    starting   samples come                                 listening
    listening  only dead samples for `silent_after_s`       silent
    silent     samples that swing                           listening
    listening, no samples for `stalled_after_s`             stalled
    silent
    stalled    samples come                                 listening
    stalled,   no samples for (another) `reopen_after_s`    recovering
    starting
    any but    the device ended, failed or cannot be opened recovering
    failed
    recovering samples come                                 listening
    any        nothing that this process does can help      failed
    any but    the source came to its end                   finished
    failed
    ========== ============================================ ===========

    ``recovering`` ends only when samples come; what is waited for between two attempts to open the
    device doubles from `FIRST_WAIT_S` to `LONGEST_WAIT_S` and then stays, for ever. ``failed`` and
    ``finished`` are never left.

    All times are monotonic seconds.
    """

    def __init__(
        self,
        now_s: float,
        silent_after_s: float = SILENT_AFTER_S,
        stalled_after_s: float = STALLED_AFTER_S,
        reopen_after_s: float = REOPEN_AFTER_S,
    ) -> None:
        self.state: State = "starting"
        self.since_s = now_s
        """Since when: for ``silent`` since the last sound, for ``stalled`` and ``recovering`` since the
        last sample."""

        self.problem = ""
        """Why it is recovering or has failed, for people."""

        self._silent_after_s = silent_after_s
        self._stalled_after_s = stalled_after_s
        self._reopen_after_s = reopen_after_s
        self._patient_since_s = now_s  # of the last opening or sample
        self._last_sample_s = now_s
        self._last_sound_s = now_s
        self._steady_since_s: float | None = None
        self._failures = 0

    def opened(self, now_s: float) -> None:
        """The device was opened; samples should come."""
        self._patient_since_s = now_s

    def heard(self, now_s: float, sound: bool) -> None:
        """Samples came; `sound` is false when no working microphone gives such."""
        if self._over:
            return
        self._patient_since_s = self._last_sample_s = now_s
        if self._steady_since_s is None:
            self._steady_since_s = now_s
        elif now_s - self._steady_since_s >= STEADY_AFTER_S:
            self._failures = 0
        if self.state not in ("listening", "silent"):
            self._last_sound_s = now_s  # a stream has to be silent for a while to be called so
            self._enter("listening", now_s)
        if sound:
            self._last_sound_s = now_s
            self._enter("listening", now_s)
        elif now_s - self._last_sound_s >= self._silent_after_s:
            self._enter("silent", self._last_sound_s)

    def beat(self, now_s: float) -> None:
        """The device is alive, but what it gave cannot be read yet."""
        self._patient_since_s = now_s

    def waited(self, now_s: float) -> bool:
        """Nothing came until now; true when the device should be closed and opened anew."""
        quiet_s = now_s - self._patient_since_s
        if self.state in ("listening", "silent") and quiet_s >= self._stalled_after_s:
            self._enter("stalled", self._last_sample_s)
        patience_s = self._reopen_after_s + (self._stalled_after_s if self.state == "stalled" else 0.0)
        if self.state in ("starting", "stalled", "recovering") and quiet_s >= patience_s:
            self.lost(now_s, "it gives no samples")
            return True
        return False

    def lost(self, now_s: float, problem: str) -> None:
        """The device is gone, or could not be opened."""
        if self._over:
            return
        self.problem = problem
        self._steady_since_s = None
        self._patient_since_s = now_s
        self._enter("recovering", self._last_sample_s)

    def next_wait_s(self) -> float:
        """How long to wait before the next attempt to open the device; counts the attempt."""
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return wait_s

    def gave_up(self, now_s: float, problem: str) -> None:
        """Nothing that this process does can help."""
        if not self._over:
            self.problem = problem
            self._enter("failed", now_s)

    def finished(self, now_s: float) -> None:
        """The source came to its end."""
        if not self._over:
            self._enter("finished", now_s)

    @property
    def _over(self) -> bool:
        return self.state in ("failed", "finished")

    def _enter(self, state: State, since_s: float) -> None:
        if state != self.state:
            self.state = state
            self.since_s = since_s
        if state in ("listening", "silent"):
            self.problem = ""
