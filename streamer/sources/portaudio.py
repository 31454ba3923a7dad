"""PortAudio, in a process of its own: what `streamer.sources.portaudio_process` runs.

Sound systems hang, spin and leak when a server dies or a cable is pulled, and nothing inside a process can
end a thread that is caught in them. A process can be ended, whatever it is doing.

    standard input   requests, one a line of JSON; when it ends, so does this process
    standard output  one answer a line of JSON; after "record", blocks: `BLOCK`, then the samples

It needs nothing but sounddevice, so that it starts quickly and stays small.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any, BinaryIO

BLOCK = struct.Struct("<ddII")
"""Before the samples of a callback: when it was called (monotonic seconds), the latency that the sound
system claims (seconds), `OVERFLOW` and `ENDED`, and how many bytes follow."""

OVERFLOW = 1
"""Input was dropped before these samples."""

ENDED = 2
"""The stream is over, and no samples follow."""

Sent = tuple[float, float, int, bytes]


def monotonic_s() -> float:
    """The clock of `streamer.clock`, which this process shall not load."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def devices(sounddevice: Any) -> dict[str, Any]:
    """All input devices, in the order of their index."""
    host_apis = sounddevice.query_hostapis()
    try:
        default = sounddevice.query_devices(kind="input")["index"]
    except (sounddevice.PortAudioError, ValueError):
        default = None  # there may be devices and yet no default one
    found = [
        {
            "index": device["index"],
            "name": device["name"],
            "host_api": host_apis[device["hostapi"]]["name"],
            "channels": device["max_input_channels"],
            "rate_hz": round(device["default_samplerate"]),
            "is_default": device["index"] == default,
        }
        for device in sounddevice.query_devices()
        if device["max_input_channels"] > 0
    ]
    return {"devices": found}


class Recording:
    """One open stream.

    Args:
        request: "index", "rate_hz", "channels", "latency_s" of the device, and "most_bytes" that wait
            while nobody reads them; what comes then is dropped, and told as an overflow.
    """

    def __init__(self, sounddevice: Any, request: dict[str, Any]) -> None:
        self._waiting: SimpleQueue[Sent] = SimpleQueue()
        self._most_bytes = int(request["most_bytes"])
        self._queued = self._sent = 0  # bytes; each is counted by one thread only
        self._dropped = False
        self._stream = sounddevice.RawInputStream(
            device=request["index"],
            samplerate=request["rate_hz"],
            channels=request["channels"],
            dtype="float32",
            latency=request["latency_s"],
            callback=self._on_audio,
            finished_callback=self._on_finished,
        )
        self._stream.start()

    def _on_audio(self, samples: Any, frames: int, times: Any, status: Any) -> None:
        now_s = monotonic_s()
        if self._queued - self._sent > self._most_bytes:
            self._dropped = True
            return
        adc_s = times.inputBufferAdcTime
        latency_s = times.currentTime - adc_s if adc_s > 0 else 0.0
        flags = OVERFLOW if status.input_overflow or self._dropped else 0
        self._dropped = False
        data = bytes(samples)
        self._queued += len(data)
        self._waiting.put((now_s, latency_s, flags, data))

    def _on_finished(self) -> None:
        self._waiting.put((monotonic_s(), 0.0, ENDED, b""))

    def send(self, output: BinaryIO) -> None:
        """Send what is heard, for ever."""
        while True:
            at_s, latency_s, flags, data = self._waiting.get()
            output.write(BLOCK.pack(at_s, latency_s, flags, len(data)) + data)
            output.flush()
            self._sent += len(data)


def answer(output: BinaryIO, **fields: Any) -> None:
    """Answer a request."""
    output.write(json.dumps(fields).encode() + b"\n")
    output.flush()


def obey(requests: SimpleQueue[dict[str, Any]], output: BinaryIO) -> None:
    """Answer every request; from "record" on, send what is heard."""
    try:
        import sounddevice
    except OSError:
        answer(output, missing=True)
        return
    except Exception as error:  # PortAudio is there, but refuses to start
        answer(output, error=f"the sound system does not start: {error}")
        return
    while True:
        request = requests.get()
        if request["do"] == "list":
            try:
                answer(output, **devices(sounddevice))
            except sounddevice.PortAudioError as error:
                answer(output, error=f"the sound system does not tell its devices: {error}")
            continue
        try:
            recording = Recording(sounddevice, request)
        except (sounddevice.PortAudioError, ValueError) as error:
            answer(output, error=str(error))
            continue
        answer(output)
        recording.send(output)


def follow(requests: SimpleQueue[dict[str, Any]]) -> None:
    """Take requests until there is nobody left to make them; then nothing is worth waiting for."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serve the process that started this one. What ends that one must not end this one first."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # What native code writes to descriptor 1 is none of the answers.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=follow, args=(requests,), daemon=True).start()
    try:
        obey(requests, output)
    except BrokenPipeError:
        pass
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
