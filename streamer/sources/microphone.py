"""A microphone, through PortAudio.

    audio thread: callback -> SampleRing -> consumer: mix down -> resample -> Block

The callback copies and counts. Everything else happens where `MicrophoneSource.blocks` is iterated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.mend import mended
from streamer.ring import SampleRing
from streamer.sources.capture_clock import CaptureClock
from streamer.sources.devices import InputDevice, find_device, list_devices, load_sounddevice
from streamer.sources.mixdown import check_channel, to_mono
from streamer.sources.resample import StreamResampler, convert_index
from streamer.sources.source import SourceHealth
from streamer.types import Block, FloatArray

BLOCK_S = 0.1
"""Audio in a block, and the time after which an empty one is given instead."""

POLL_S = 0.01
"""How often the consumer looks into the ring while it waits."""

LATENCY_S = 0.1
"""Sound that the sound system buffers for us: how late a callback may be before input is dropped."""

MOST_CHANNELS = 8
"""Inputs of one real device that are mixed together."""


def channels_to_open(device: InputDevice, channel: int | None) -> int:
    """How many channels to record.

    A device that claims more than `MOST_CHANNELS` is nearly always a mixer in software (pulse,
    pipewire, default): it makes up as many channels as it is asked for, and leaves some of them
    empty. From such a one, two are taken, or as many as it needs to reach the chosen one.
    """
    channels = device.channels if device.channels <= MOST_CHANNELS else 2
    return max(channels, channel or 0)


class MicrophoneSource:
    """Listens to one input device at its native rate and gives mono blocks at the wanted rate."""

    live = True
    duration_s = None

    def __init__(
        self,
        rate_hz: int,
        device: str | int | None = None,
        channel: int | None = None,
        ring_s: float = 10.0,
    ) -> None:
        """Find the device; it is opened when `blocks` is iterated.

        Args:
            rate_hz: rate of the blocks.
            device: index, name or part of the name; None for the default input.
            channel: the one to listen to, from 1; None for the mean of all.
            ring_s: how far the consumer may fall behind before sound is lost.

        Raises:
            SourceError: no PortAudio, no such device, or no such channel.
        """
        self._device = find_device(device, list_devices())
        check_channel(channel, self._device.channels)
        self._rate_hz = rate_hz
        self._native_hz = self._device.rate_hz
        self._channel = channel
        self._ring = SampleRing(math.ceil(ring_s * self._native_hz), channels_to_open(self._device, channel))
        self._resampler = StreamResampler(self._native_hz, rate_hz)
        self._clock: CaptureClock | None = None
        self._streams: list[Any] = []  # the open one, if any
        self._closing = False
        self._finished = False
        self._callback_error: Exception | None = None
        self._heartbeat_s = time.monotonic()
        self._overflows = 0
        self._gaps = 0
        self._lost_native = 0
        self._broken_samples = 0
        self._next_native = 0

    @property
    def name(self) -> str:
        """Name of the device."""
        return self._device.name

    @property
    def health(self) -> SourceHealth:
        """What was lost since the device was opened."""
        lost_samples = convert_index(self._lost_native, self._native_hz, self._rate_hz)
        return SourceHealth(self._gaps, lost_samples, self._overflows, self._broken_samples)

    def unix_time(self, sample: int) -> float:
        """Date of a sample in seconds since 1970 (UTC): its index plus one anchor per opening.

        Raises:
            SourceError: the device has not been opened yet.
        """
        if self._clock is None:
            raise SourceError(f"{self.name}: nothing has been heard yet, so samples have no date")
        return self._clock.unix_time(0) + sample / self._rate_hz

    def blocks(self) -> Iterator[Block]:
        """Open the device and yield what it hears until `close` is called; only once.

        Yields:
            Blocks of about 0.1 s; an empty one whenever nothing could be given for 0.1 s.

        Raises:
            SourceError: the device cannot be opened, or stops by itself.
        """
        try:
            self._open()
            while not self._closing:
                finished = self._finished  # before the ring: what came until then is still read
                self._wait_for_block()
                block = self._read_native()
                if finished and not len(block.samples):
                    yield from self._resampler.flush()
                    raise self._end()
                ready = self._resampler.push(block)
                yield from ready or [Block(self._resampler.next_sample, np.empty(0, np.float32))]
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and release the device; also from another thread or a signal handler."""
        self._closing = True
        # Popping is atomic: a lock could be held by the very thread that a signal interrupts.
        with suppress(IndexError):
            self._streams.pop().close()

    def _open(self) -> None:
        sounddevice = load_sounddevice()
        self._clock = CaptureClock(self._native_hz, time.time())
        try:
            stream = sounddevice.InputStream(
                device=self._device.index,
                samplerate=self._native_hz,
                channels=self._ring.channels,
                dtype="float32",
                latency=LATENCY_S,
                callback=self._on_audio,
                finished_callback=self._on_finished,
            )
            self._streams.append(stream)
            self._heartbeat_s = time.monotonic()
            stream.start()
        except sounddevice.PortAudioError as error:
            if self._closing:
                return
            raise SourceError(
                f"cannot open {self.name}: {error}; is another program using it? (see --list-devices)"
            ) from error

    def _on_audio(self, samples: FloatArray, frames: int, times: Any, status: Any) -> None:
        """On the audio thread: copy and count."""
        try:
            heartbeat_s = time.monotonic()
            unix_s = time.time()
            adc_s = times.inputBufferAdcTime
            if self._clock is None:
                return
            if status.input_overflow:
                self._overflows += 1
                # At least one: a loss of unknown size is a gap all the same.
                self._ring.skip(max(1, self._clock.lost_samples(adc_s, heartbeat_s - self._heartbeat_s)))
            self._heartbeat_s = heartbeat_s
            self._clock.observe(self._ring.next_index, frames, unix_s, heartbeat_s, times.currentTime, adc_s)
            self._ring.write(samples)
        except Exception as error:
            self._callback_error = error

    def _on_finished(self) -> None:
        self._finished = True

    def _wait_for_block(self) -> None:
        wanted = round(BLOCK_S * self._native_hz)
        deadline_s = time.monotonic() + BLOCK_S
        while self._ring.available_frames < wanted and time.monotonic() < deadline_s:
            if self._closing or self._finished:
                return
            time.sleep(POLL_S)

    def _read_native(self) -> Block:
        if self._callback_error is not None:
            raise SourceError(f"recording from {self.name} failed: {self._callback_error}")
        got = self._ring.read(round(BLOCK_S * self._native_hz))
        if len(got.samples) and got.start_index > self._next_native:
            self._gaps += 1
            self._lost_native += got.start_index - self._next_native
        self._next_native = got.start_index + len(got.samples)
        samples, broken = mended(got.samples)
        self._broken_samples += broken
        return Block(got.start_index, to_mono(samples, self._channel))

    def _end(self) -> SourceError:
        return SourceError(f"{self.name} stopped delivering sound: was it unplugged? (see --list-devices)")
