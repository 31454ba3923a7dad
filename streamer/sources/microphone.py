"""A microphone, through PortAudio.

    process of PortAudio: callback -> pipe -> audio thread: CaptureBuffer -> consumer: StreamPlacer -> Block

`MicrophoneOpener` finds and opens the device, `SupervisedSource` looks after it.
"""

from __future__ import annotations

import re
import threading

import numpy as np

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.errors import SourceError
from streamer.ring import SampleRing
from streamer.sources.capture import CaptureBuffer, TickLog
from streamer.sources.devices import InputDevice, devices_of, find_device
from streamer.sources.mixdown import check_channel
from streamer.sources.portaudio_process import PortAudioProcess, received
from streamer.sources.source import Report, no_report
from streamer.sources.supervisor import SupervisedSource

LATENCY_S = 0.1
"""Sound that the sound system buffers for us: how late a callback may be before input is dropped."""

MOST_CHANNELS = 8
"""Inputs of one real device that are mixed together."""

SHORTEST_RING_S = 2.0

SAMPLE_BYTES = np.dtype(np.float32).itemsize


def channels_to_open(device: InputDevice, channel: int | None) -> int:
    """How many channels to record.

    A device that claims more than `MOST_CHANNELS` is nearly always a mixer in software (pulse,
    pipewire, default): it makes up as many channels as it is asked for, and leaves some of them
    empty. From such a one, two are taken, or as many as it needs to reach the chosen one.
    """
    channels = device.channels if device.channels <= MOST_CHANNELS else 2
    return max(channels, channel or 0)


def lasting_name(name: str) -> str:
    """The name of a device without the numbers that ALSA gives it anew at every start."""
    return re.sub(r" \(hw:\d+,\d+\)$", "", name)


def find_again(known: InputDevice, devices: list[InputDevice]) -> InputDevice:
    """A device that was seen before; its index and rate may have changed, its name has not.

    Raises:
        SourceError: it is not there.
    """
    name = lasting_name(known.name)
    same = [device for device in devices if lasting_name(device.name) == name]
    for device in same:
        if device.index == known.index:  # of several equal ones
            return device
    if same:
        return same[0]
    raise SourceError(f"{name} is not there (see --list-devices)")


class MicrophoneStream:
    """An open input device; see `streamer.sources.capture.Capture`.

    Args:
        process: records from it, and is ended with the stream.
        device: as the process sees it.
        channels: how many of its channels to record.
        ring_s: how far the consumer may fall behind before sound is lost.

    Raises:
        SourceError: it cannot be opened or started.
    """

    def __init__(self, process: PortAudioProcess, device: InputDevice, channels: int, ring_s: float) -> None:
        self.name = device.name
        self._process = process
        self._channels = channels
        self._ended = False
        try:
            process.ask(
                do="record",
                index=device.index,
                rate_hz=device.rate_hz,
                channels=channels,
                latency_s=LATENCY_S,
                most_bytes=round(ring_s * device.rate_hz) * channels * SAMPLE_BYTES,
            )
        except SourceError as error:
            raise SourceError(
                f"cannot open {self.name}: {error}; is another program using it? (see --list-devices)"
            ) from error
        self._buffer = CaptureBuffer(device.rate_hz, channels, ring_s)
        threading.Thread(target=self._receive, name="audio", daemon=True).start()

    @property
    def rate_hz(self) -> int:
        """Rate of the samples in the ring."""
        return self._buffer.rate_hz

    @property
    def ring(self) -> SampleRing:
        """The samples."""
        return self._buffer.ring

    @property
    def ticks(self) -> TickLog:
        """When they came."""
        return self._buffer.ticks

    @property
    def overflows(self) -> int:
        """Times that the sound system reported dropped input."""
        return self._buffer.overflows

    @property
    def problem(self) -> str:
        """Why it has ended; empty while it runs."""
        if self._buffer.error is not None:
            return f"recording from {self.name} failed: {self._buffer.error}"
        if self._ended:
            return f"{self.name} stopped delivering sound: was it unplugged?"
        return ""

    def close(self) -> None:
        """Release the device."""
        self._process.kill()

    def _receive(self) -> None:
        for block in received(self._process.output):
            samples = np.frombuffer(block.data, np.float32).reshape(-1, self._channels)
            self._buffer.on_audio(samples, block.monotonic_s, block.latency_s, block.overflow)
        self._ended = True


class MicrophoneOpener:
    """Opens an input device at its native rate, and finds it again by its name.

    Args:
        device: index, name or part of the name; None for the default input, whichever that is at the
            moment of opening.
        channel: the one that will be listened to, from 1; None for all.
        ring_s: how far the consumer may fall behind before sound is lost.
    """

    def __init__(self, device: str | int | None, channel: int | None, ring_s: float) -> None:
        self._wanted = device
        self._channel = channel
        self._ring_s = max(SHORTEST_RING_S, ring_s)
        self._known: InputDevice | None = None
        self._opening: PortAudioProcess | None = None

    @property
    def name(self) -> str:
        """Name of the device; before it has been found, what it was called."""
        if self._known:
            return self._known.name
        return "microphone" if self._wanted is None else str(self._wanted)

    def look(self) -> None:
        """Find the device, but do not open it.

        Raises:
            SourceError: no PortAudio, no such device, or no such channel.
        """
        with PortAudioProcess() as process:
            self._find(process)

    def _find(self, process: PortAudioProcess) -> InputDevice:
        devices = devices_of(process)
        by_index = self._wanted is not None and str(self._wanted).strip().isdecimal()
        if by_index and self._known:
            device = find_again(self._known, devices)
        else:
            device = find_device(self._wanted, devices)
        check_channel(self._channel, device.channels)
        self._known = device
        return device

    def open(self) -> MicrophoneStream:
        """Find and open the device; see `streamer.sources.supervisor.Opener`."""
        process = self._opening = PortAudioProcess()
        try:
            device = self._find(process)
            return MicrophoneStream(process, device, channels_to_open(device, self._channel), self._ring_s)
        except BaseException:
            process.kill()
            process.output.close()
            raise
        finally:
            self._opening = None

    def abandon(self) -> None:
        """End an attempt to open the device that hangs."""
        process = self._opening
        if process:
            process.kill()


class MicrophoneSource(SupervisedSource):
    """Listens to one input device at its native rate and gives mono blocks at the wanted rate.

    A device that goes away is waited for and opened again; see `SupervisedSource`.
    """

    def __init__(
        self,
        rate_hz: int,
        device: str | int | None = None,
        channel: int | None = None,
        ring_s: float = 10.0,
        wait: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        report: Report = no_report,
    ) -> None:
        """Find the device; it is opened when `blocks` is iterated.

        Args:
            rate_hz: rate of the blocks.
            device: index, name or part of the name; None for the default input.
            channel: the one to listen to, from 1; None for the mean of all.
            ring_s: how far the consumer may fall behind before sound is lost; at least 2 s.
            wait: do not refuse a device that is not there yet, but wait for it.
            clock: where time is read.
            report: takes note of states, gaps, clock steps and the ledger.

        Raises:
            SourceError: no PortAudio, no such device, or no such channel, and `wait` is not set.
        """
        opener = MicrophoneOpener(device, channel, ring_s)
        if not wait:
            opener.look()
        super().__init__(rate_hz, opener, channel, wait, clock, report)
