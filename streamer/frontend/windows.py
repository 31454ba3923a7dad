"""Frames to windows, cut by sample index."""

from __future__ import annotations

import numpy as np

from streamer.errors import SettingsError
from streamer.frontend.spec import FrontEndSpec
from streamer.types import Frames, Window


class WindowCutter:
    """Cuts a window of a fixed number of frames every `hop_s` seconds.

    Window ``k`` of an uninterrupted run begins at the frame nearest to ``k * hop_s``, so that
    rounding never adds up.

    Raises:
        SettingsError: the hop is shorter than a frame's or longer than the window, which would leave
            audio unheard.
    """

    def __init__(self, spec: FrontEndSpec, window_frames: int, hop_s: float) -> None:
        self._spec = spec
        self._window_frames = window_frames
        self._hop_frames = hop_s * spec.sample_rate_hz / spec.hop_samples
        longest_s = window_frames * spec.hop_samples / spec.sample_rate_hz
        if self._hop_frames < 1 or hop_s > longest_s:
            shortest_s = spec.hop_samples / spec.sample_rate_hz
            raise SettingsError(
                f"a hop of {hop_s:g} s does not fit this model: "
                f"choose between {shortest_s:.3f} and {longest_s:.3f} s"
            )
        # Room for several windows, so that moving the rest to the front is rare.
        self._values = np.empty((4 * window_frames, spec.frame_columns), np.float32)
        self._silent = np.empty(4 * window_frames, np.bool_)
        self._start_run(0)
        self._fresh = True

    def reset(self) -> None:
        """Begin a new run with the next frames, as after a gap."""
        self._fresh = True

    def _start_run(self, start_sample: int) -> None:
        self._run_start = start_sample
        self._first_frame = 0
        self._held = 0
        self._windows = 0

    @property
    def due_sample(self) -> int | None:
        """End of the next window; None while it is not known where it will begin."""
        if self._fresh:
            return None
        first_frame = round(self._windows * self._hop_frames)
        last_frame = first_frame + self._window_frames
        return self._run_start + self._spec.samples_of(last_frame)

    def push(self, frames: Frames) -> list[Window]:
        """Take the next frames; give the windows that they complete."""
        expected = self._run_start + (self._first_frame + self._held) * self._spec.hop_samples
        if len(frames.values) and (self._fresh or frames.start_sample != expected):
            self._start_run(frames.start_sample)
            self._fresh = False
        windows: list[Window] = []
        taken = 0
        while taken < len(frames.values):
            room = len(self._values) - self._held
            part = slice(taken, taken + room)
            count = len(frames.silent[part])
            self._values[self._held : self._held + count] = frames.values[part]
            self._silent[self._held : self._held + count] = frames.silent[part]
            self._held += count
            taken += count
            windows.extend(self._cut())
        return windows

    def _cut(self) -> list[Window]:
        windows: list[Window] = []
        while True:
            at = round(self._windows * self._hop_frames) - self._first_frame
            if at + self._window_frames > self._held:
                break
            windows.append(self._window(at))
            self._windows += 1
        if self._held == len(self._values):
            self._drop(min(at, self._held))
        return windows

    def _drop(self, frames: int) -> None:
        left = self._held - frames
        self._values[:left] = self._values[frames : self._held].copy()
        self._silent[:left] = self._silent[frames : self._held].copy()
        self._first_frame += frames
        self._held = left

    def _window(self, at: int) -> Window:
        start = self._run_start + (self._first_frame + at) * self._spec.hop_samples
        heard = np.flatnonzero(~self._silent[at : at + self._window_frames])
        hop = self._spec.hop_samples
        return Window(
            start_sample=start,
            end_sample=start + self._spec.samples_of(self._window_frames),
            values=self._values[at : at + self._window_frames].copy(),
            audible_start=start + int(heard[0]) * hop if len(heard) else start,
            audible_end=start + self._spec.samples_of(int(heard[-1]) + 1) if len(heard) else start,
        )
