"""What the program ``ffmpeg`` reads, as a child that writes samples into a pipe.

It runs in a session of its own: Ctrl-C is for us, and we end it. Killed ourselves, we leave behind a pipe
that nobody reads, which ends it as well. It only opens the file that it is given, and only formats that
hold sound themselves: a playlist would open others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from streamer.decoding.decoder import DecodeError
from streamer.types import FloatArray

INSTALL = "sudo apt install ffmpeg"

FORMATS = (
    "3g2,3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,m4a,matroska,mj2,mov,mp3,mp4,"
    "mpc,mpc8,mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,webm,wv"
)
"""Names of ffmpeg's demuxers."""

MOST_CHANNELS = 64

PROBE_S = 60.0
END_S = 10.0
MESSAGES = 5

LEAST_MISSING_S = 0.5
"""Containers of films are not exact about the length of their sound."""

TALKATIVE = frozenset({"mp3"})
"""Formats of which the decoder complains where nothing is lost: at joins, headers and tags."""

HARMLESS = ("[f32le", "non monotonically increasing dts", "Last message repeated")


class MissingFfmpegError(DecodeError):
    """The program is not installed."""


class NoSoundError(DecodeError):
    """It is a film without sound, or no recording at all."""


@dataclass(frozen=True)
class _Stream:
    rate_hz: int
    channels: int
    duration_s: float | None
    kind: str
    """Format of the file, by the first of its names."""


class FfmpegDecoder:
    """The first sound track of a file.

    Args:
        path: the file.
        ignore_size: a WAV file whose size is not to be believed.

    Raises:
        MissingFfmpegError: ffmpeg is not installed.
        NoSoundError: it finds no sound.
    """

    def __init__(self, path: str, ignore_size: bool = False) -> None:
        self._programs = [shutil.which(name) for name in ("ffmpeg", "ffprobe")]
        if not all(self._programs):
            raise MissingFfmpegError(f"the program ffmpeg is needed for it: {INSTALL}")
        self._input = [
            *("-protocol_whitelist", "file", "-format_whitelist", FORMATS),
            *(("-ignore_length", "1") if ignore_size else ()),
            *("-i", b"file:" + os.fsencode(path)),
        ]
        self._stream = self._probe()
        self._messages: deque[str] = deque(maxlen=MESSAGES)
        self._child: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._position = 0
        self._ended = False

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return self._stream.rate_hz

    @property
    def channels(self) -> int:
        """Channels of each frame."""
        return self._stream.channels

    @property
    def frames(self) -> int | None:
        """According to the header, where that can be believed."""
        seconds = self._stream.duration_s
        return None if seconds is None else round(seconds * self.rate_hz)

    def read(self, frames: int) -> FloatArray:
        """The next samples; see `Decoder.read`."""
        nothing = np.empty((0, self.channels), np.float32)
        if self._ended:
            return nothing
        if self._child is None:
            self._child = self._start()
        assert self._child.stdout is not None
        frame_bytes = 4 * self.channels
        data = self._child.stdout.read(frames * frame_bytes)  # buffered: shorter at the end only
        whole = len(data) // frame_bytes
        self._position += whole
        if not whole:
            self._ended = True
            self._check_end(self._child)
            return nothing
        return (
            np.frombuffer(data[: whole * frame_bytes], "<f4").astype(np.float32).reshape(whole, self.channels)
        )

    def close(self) -> None:
        """End the child; harmless when repeated."""
        child, self._child = self._child, None
        self._ended = True
        if child is None:
            return
        child.kill()
        child.wait()
        if self._listener:
            self._listener.join(END_S)
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()

    def _probe(self) -> _Stream:
        entries = "stream=sample_rate,channels,duration:format=format_name,duration"
        arguments = ["-v", "error", "-select_streams", "a:0", "-show_entries", entries, "-of", "json"]
        try:
            done = subprocess.run(
                [str(self._programs[1]), *arguments, *self._input],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_S,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise DecodeError(f"ffprobe does not answer: {error}") from error
        try:
            found = json.loads(done.stdout or b"{}")
            kind = str(found["format"]["format_name"]).split(",")[0]
        except (ValueError, KeyError, TypeError) as error:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise NoSoundError(_without_address(reason[0]) if reason else "unknown format") from error
        if not found.get("streams"):
            raise NoSoundError("it holds no sound")
        stream = found["streams"][0]
        try:
            # Other containers estimate it from the size, or do not tell.
            duration_s = float(stream["duration"]) if kind == "mov" else None
        except (KeyError, ValueError):
            duration_s = None
        try:
            rate_hz, channels = int(stream["sample_rate"]), int(stream["channels"])
        except (KeyError, ValueError):
            rate_hz = channels = 0
        if rate_hz < 1 or not 1 <= channels <= MOST_CHANNELS:
            raise NoSoundError("its sound track says no rate, or no channels")
        return _Stream(rate_hz, channels, duration_s, kind)

    def _start(self) -> subprocess.Popen[bytes]:
        output = [
            "-map",
            "0:a:0",
            "-f",
            "f32le",
            "-ar",
            str(self.rate_hz),
            "-ac",
            str(self.channels),
            "pipe:1",
        ]
        try:
            child = subprocess.Popen(
                [str(self._programs[0]), "-v", "error", "-nostdin", "-threads", "1", *self._input, *output],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise DecodeError(f"ffmpeg cannot be started: {error}") from error
        # What it says is read as it comes, or it would wait for us for ever.
        self._listener = threading.Thread(target=self._take_messages, args=(child,), daemon=True)
        self._listener.start()
        return child

    def _take_messages(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr is not None
        for line in child.stderr:
            text = line.decode("utf-8", "replace").strip()
            if text and not any(word in text for word in HARMLESS) and len(self._messages) < MESSAGES:
                self._messages.append(_without_address(text))

    def _check_end(self, child: subprocess.Popen[bytes]) -> None:
        """Was that all?"""
        try:
            status = child.wait(END_S)
        except subprocess.TimeoutExpired:
            raise DecodeError("ffmpeg does not end") from None
        if self._listener:
            self._listener.join(END_S)
        said = self._messages[0] if self._messages else ""
        if status:
            raise DecodeError(f"ffmpeg: {said}" if said else f"ffmpeg ended with status {status}")
        if said and self._stream.kind not in TALKATIVE:
            raise DecodeError(f"ffmpeg: {said}")
        if self.frames is not None and self.frames - self._position > LEAST_MISSING_S * self.rate_hz:
            raise DecodeError("the file ends early")
        if not self._position:
            raise DecodeError("it holds no samples")


def _without_address(text: str) -> str:
    """``[aac @ 0x55d2] Input buffer exhausted`` without what only a debugger can use."""
    if text.startswith("[") and " @ 0x" in text and "] " in text:
        text = text.partition("] ")[2]
    return text.strip().rstrip(".")
