"""The process in which PortAudio runs, as its owner sees it; see `streamer.sources.portaudio`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from streamer.errors import HopelessError, SourceError
from streamer.sources.portaudio import BLOCK, ENDED, OVERFLOW

NO_PORTAUDIO = (
    "no PortAudio on this system: sudo apt install libportaudio2 (files and --input - work without it)"
)

SCRIPT = Path(__file__).with_name("portaudio.py")

ANSWERS_WITHIN_S = 20.0
"""A sound system that takes longer to answer hangs."""


class PortAudioProcess:
    """Starts the process; `kill` ends it at once, whatever it is doing.

    Raises:
        SourceError: it cannot be started.
    """

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                # -P: the folder of the script holds modules with the names of others.
                [sys.executable, "-P", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # where ALSA and PortAudio talk
            )
        except OSError as error:
            raise SourceError(f"cannot start a process for the sound system: {error}") from error

    def __enter__(self) -> PortAudioProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.kill()
        self.output.close()

    @property
    def output(self) -> BinaryIO:
        """What it sends."""
        return cast(BinaryIO, self._process.stdout)

    @property
    def _requests(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdin)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Make a request and wait for the answer.

        Raises:
            HopelessError: PortAudio is missing.
            SourceError: it answers that it cannot, or does not answer within `ANSWERS_WITHIN_S`.
        """
        late = threading.Timer(ANSWERS_WITHIN_S, self._process.kill)
        late.daemon = True
        late.start()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            line = self.output.readline()
        except (OSError, ValueError):  # it has ended, or was killed
            line = b""
        finally:
            late.cancel()
        if not line.endswith(b"\n"):
            raise SourceError("the sound system does not answer")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("missing"):
            raise HopelessError(NO_PORTAUDIO)
        if "error" in answer:
            raise SourceError(answer["error"])
        return answer

    def kill(self) -> None:
        """End it and wait until it has ended. Whoever reads its output closes it."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._requests.close()


@dataclass(frozen=True)
class Received:
    """What one callback brought."""

    monotonic_s: float
    """When it was called."""

    latency_s: float
    """What the sound system claims to lie between the converter and the callback; 0 if it does not tell."""

    overflow: bool
    """Input was dropped before these samples."""

    data: bytes
    """Samples, 32-bit floats."""


def received(output: BinaryIO) -> Iterator[Received]:
    """What is recorded, until the stream or the process ends."""
    with output:
        while len(header := output.read(BLOCK.size)) == BLOCK.size:
            monotonic_s, latency_s, flags, size = BLOCK.unpack(header)
            data = output.read(size)
            if flags & ENDED or len(data) < size:
                return
            yield Received(monotonic_s, latency_s, bool(flags & OVERFLOW), data)
