"""Raw PCM on standard input, as ``arecord -t raw`` or ``ffmpeg -f s16le`` write it.

**Live or a recording?** That is told by the first ten seconds (`streamer.sources.arrivals`), unless somebody
has said it. Until then the samples are heard, but whoever listens keeps the events back (`SourceHealth.
undecided`). A recording has positions, or dates if it is known when it began.

How samples are dated, and when they are missing, is told in `streamer.sources.pipe_placement`.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from typing import Literal

import numpy as np

from streamer.clock import SYSTEM_CLOCK, Clock
from streamer.errors import SourceError
from streamer.mend import mended
from streamer.settings import SampleFormat
from streamer.sources.account import Account
from streamer.sources.alive import is_alive
from streamer.sources.arrivals import Arrivals
from streamer.sources.containers import LONGEST_LOOK, container_of
from streamer.sources.mixdown import CANCELS, Cancelling, check_channel, to_mono
from streamer.sources.pipe_placement import LEAST_LAG_S, PipePlacer
from streamer.sources.resample import StreamResampler
from streamer.sources.source import Report, SourceHealth, no_report
from streamer.sources.timeline import Timeline
from streamer.types import Block, FloatArray

READ_BYTES = 1 << 16
WAIT_S = 0.1
Nature = Literal["unknown", "live", "recording"]


class PipeSource:
    """Interleaved samples from a file descriptor.

    Args:
        rate_hz: rate of the blocks.
        pcm_rate_hz, channels, sample_format: what the bytes are.
        channel: channel to listen to, from 1; 0 means the mean of all.
        descriptor: where the bytes come from, standard input by default.
        clock: where time is read.
        report: takes note of gaps, clock steps, the ledger and advice.
        live: it is known to be live.
        begin_unix_s: it is a recording that began then (seconds since 1970, UTC).

    Raises:
        SourceError: standard input is a terminal.
    """

    name = "stdin"
    duration_s = None

    def __init__(
        self,
        rate_hz: int,
        pcm_rate_hz: int,
        channels: int = 1,
        sample_format: SampleFormat = "s16le",
        channel: int = 0,
        descriptor: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        report: Report = no_report,
        live: bool = False,
        begin_unix_s: float | None = None,
    ) -> None:
        if descriptor is None:
            if sys.stdin is None:
                raise SourceError("standard input is closed; pipe raw PCM into --input -")
            descriptor = sys.stdin.fileno()
        self._descriptor = descriptor
        if os.isatty(self._descriptor):
            raise SourceError(
                "--input - expects raw PCM from a pipe, as in: "
                "arecord -t raw -f S16_LE -r 44100 | esc-listen --input - --rate 44100"
            )
        self._rate_hz = rate_hz
        self._pcm_rate_hz = pcm_rate_hz
        self._channels = channels
        self._format = sample_format
        self._channel = channel or None
        self._closed = False
        self._reported = False
        self._broken_samples = 0
        self._alive = True
        self._clock = clock
        self._account = Account(Timeline(rate_hz, least_loss_s=LEAST_LAG_S), clock, report)
        self._begin_unix_s = begin_unix_s
        self._nature: Nature = "recording" if begin_unix_s is not None else "live" if live else "unknown"
        self._advice = ""
        self._arrivals: Arrivals | None = Arrivals(pcm_rate_hz, channels)
        self._placer = PipePlacer(self._account, rate_hz, pcm_rate_hz, self.name)

    @property
    def live(self) -> bool:
        """True unless it is known to be a recording."""
        return self._nature != "recording"

    @property
    def dated(self) -> bool:
        """True when `unix_time` gives dates."""
        return self.live or self._begin_unix_s is not None

    @property
    def health(self) -> SourceHealth:
        """Pauses of the pipe, and broken floats."""
        if not self.live:  # nothing can be missing in it
            return SourceHealth(broken_samples=self._broken_samples)
        ledger = self._account.status()
        return SourceHealth(
            ledger.gaps,
            ledger.lost_samples,
            broken_samples=self._broken_samples,
            undecided=self._nature == "unknown",
            advice=self._advice,
            alive=self._alive,
            ledger=ledger,
        )

    def blocks(self) -> Iterator[Block]:
        """Yield samples as they arrive; see `Source.blocks`."""
        try:
            for block in self._numbered():
                yield block
                self._account.ledger.processed += len(block.samples)
                if self.live:
                    self._account.tell(self.name)
        finally:
            self.close()

    def _numbered(self) -> Iterator[Block]:
        """Blocks at the rate of the model; an empty one where there is nothing to give yet."""
        resampler = StreamResampler(self._pcm_rate_hz, self._rate_hz)
        expected = 0
        for block in self._read():
            if not len(block.samples):
                yield Block(expected, block.samples)
                continue
            self._placer.count()
            for out in resampler.push(block):
                expected = out.end_sample
                yield out
        yield from resampler.flush()

    def _read(self) -> Iterator[Block]:
        """Blocks at the rate of the pipe, in their places; an empty one where there is nothing to give."""
        frame_bytes = self._channels * (2 if self._format == "s16le" else 4)
        nothing = Block(0, np.empty(0, np.float32))
        header = rest = b""
        waited_s = 0.0
        came = 0
        check_channel(self._channel, self._channels)
        cancelling = Cancelling(self._pcm_rate_hz, self._channel)
        while not self._closed:
            asked_s = self._clock.monotonic_s()
            ready, _, _ = select.select([self._descriptor], [], [], WAIT_S)
            now_s = self._clock.monotonic_s()
            waited_s += now_s - asked_s
            if self._arrivals and self._arrivals.due(now_s):
                self._decide(now_s)
            if not ready:
                yield from self._placer.judged(now_s) or [nothing]
                continue
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                break
            rest += data
            if len(header) < LONGEST_LOOK:
                header += data[: LONGEST_LOOK - len(header)]
                self._refuse_container(header)
            whole = len(rest) // frame_bytes * frame_bytes
            samples, rest = self._decode(rest[:whole]), rest[whole:]
            if not len(samples):
                continue
            came += len(samples)
            if self._arrivals:
                self._arrivals.note(came, now_s, waited_s)
            waited_s = 0.0
            samples, broken = mended(samples)
            self._broken_samples += broken
            self._alive = is_alive(samples, self._channel)
            # A full read says that more was waiting: we are late, not the samples.
            full = len(data) == READ_BYTES
            mono = to_mono(samples, self._channel)
            if cancelling.hear(samples, mono):
                self._account.advise(CANCELS, self.name)
            yield from self._placed(mono, now_s, full) or [nothing]
        self._ended()
        yield from self._placer.judged(self._clock.monotonic_s(), at_once=True)
        if rest:
            raise SourceError(
                f"standard input ended in the middle of a frame ({len(rest)} of {frame_bytes} bytes); "
                "the events before it are logged. Do --format and --channels fit what is piped in?"
            )
        if not came and not self._closed:
            raise SourceError("standard input gave no samples; is the program before the pipe running?")

    def _placed(self, mono: FloatArray, now_s: float, full: bool) -> list[Block]:
        if not self.live:
            return [self._placer.next(mono)]
        return self._placer.place(mono, now_s, full, doubts=self._nature == "live")

    # --- live or a recording? ---

    def _decide(self, now_s: float) -> None:
        """The first seconds are over."""
        arrivals, self._arrivals = self._arrivals, None
        if arrivals is None or self._begin_unix_s is not None:
            return
        rate = arrivals.steady_rate(now_s)
        if self._nature == "unknown":
            wrong = rate is not None and rate.hint != ""
            self._become("recording" if arrivals.fast(now_s) and not wrong else "live")
        if rate is None or not self.live:
            return
        question = f": {rate.hint}?" if rate.hint else ""
        self._advice = f"samples arrive at {rate.hz:,.0f} per second, not {self._pcm_rate_hz:,}{question}"
        self._account.advise(self._advice, self.name)
        if rate.hint:
            # Their times are right at least: by the rate at which they come.
            self._placer.rescale(rate.hz, arrivals.anchor_s(rate.hz))

    def _become(self, nature: Nature) -> None:
        self._nature = nature
        if nature == "recording":
            text = (
                "standard input is a recording: times are seconds from its beginning "
                "(--start gives them dates; if it is live, say --live)"
            )
            self._account.advise(text, self.name)

    def _ended(self) -> None:
        """No more samples will come. What ends so soon is a recording; unless it is we who end it."""
        if self._nature != "unknown" or not self._arrivals:
            return
        stopped = self._closed and not self._arrivals.fast(self._clock.monotonic_s())
        self._become("live" if stopped or self._arrivals.began_s is None else "recording")

    def _decode(self, data: bytes) -> FloatArray:
        """Bytes to samples of shape (n, channels)."""
        if self._format == "s16le":
            samples = np.frombuffer(data, "<i2").astype(np.float32) * np.float32(1 / 32_768)
        else:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        return samples.reshape(-1, self._channels)

    @staticmethod
    def _refuse_container(data: bytes) -> None:
        kind = container_of(data)
        if kind:
            article = "an" if kind.startswith(("A", "M", "O")) else "a"
            raise SourceError(
                f"standard input carries {article} {kind} file, not raw PCM; "
                "save it and give its name, or convert it: ffmpeg -i - -f s16le -ac 1 -ar 44100 -"
            )

    def unix_time(self, sample: int) -> float:
        """Date of a sample, from the moments at which they arrived, or from when the recording began.

        Raises:
            SourceError: it is a recording of which that is not known.
        """
        if self._begin_unix_s is not None:
            return self._begin_unix_s + sample / self._rate_hz
        if not self.live:
            raise SourceError("standard input is a recording: its times are positions, not dates")
        return self._account.unix_time(sample, self.name)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._ended()
        if not self._reported and self._account.timeline.started and self.live:
            self._reported = True
            self._account.close(self.name)
