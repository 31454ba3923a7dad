"""When the samples of an opened stream were in the air."""

from __future__ import annotations

SETTLING_S = 3.0
"""Time after the first callback in which the least delays are looked for. Some sound systems claim
a latency of tenths of a second at first and correct themselves over the next second or two."""

LONGEST_LATENCY_S = 2.0
"""A sound system that claims more between converter and callback is not believed."""

LEAST_LOSS_S = 0.005
"""A jump of the converter's clock below this is jitter, not loss."""


class CaptureClock:
    """Maps sample indices to dates by one anchor per opened stream, and sizes up dropped input.

    The anchor is taken from the least delays of the first seconds: the least between the end of a
    block and its callback, so that the scheduling of threads does not enter, and the least latency
    that the sound system claims. It is fixed from then on: a date is a function of the sample index
    alone.
    """

    def __init__(self, rate_hz: int, opened_unix_s: float) -> None:
        """Start without knowing more than when the stream was opened.

        Args:
            rate_hz: native rate of the stream.
            opened_unix_s: wall clock at the start, the anchor until the first callback.
        """
        self._rate_hz = rate_hz
        self._anchor_unix_s = opened_unix_s
        self._least_arrival_unix_s = float("inf")  # of sample 0, if nothing but the block delays it
        self._least_excess_s = float("inf")  # latency beyond the length of the block
        self._first_callback_s: float | None = None
        self._next_adc_s = 0.0

    def unix_time(self, sample: int) -> float:
        """Date of a native sample index, in seconds since 1970 (UTC)."""
        return self._anchor_unix_s + sample / self._rate_hz

    def lost_samples(self, adc_s: float, elapsed_s: float) -> int:
        """Estimate how many samples the sound system dropped before a block.

        Args:
            adc_s: its clock at the first sample of the block; 0 where it does not tell.
            elapsed_s: monotonic time since the callback before. More cannot have been lost, give
                or take what was buffered.

        Returns:
            Samples at the native rate; 0 when the clock does not show a plausible jump.
        """
        if adc_s <= 0 or self._next_adc_s <= 0:
            return 0
        jump_s = adc_s - self._next_adc_s
        if not LEAST_LOSS_S < jump_s < elapsed_s + LONGEST_LATENCY_S:
            return 0
        return round(jump_s * self._rate_hz)

    def observe(
        self, start_sample: int, samples: int, unix_s: float, monotonic_s: float, now_s: float, adc_s: float
    ) -> None:
        """Take notice of a callback; for the audio thread.

        Args:
            start_sample: native index of the first sample of the block.
            samples: length of the block.
            unix_s: wall clock in the callback.
            monotonic_s: monotonic clock in the callback.
            now_s: the sound system's clock in the callback; 0 where it does not tell.
            adc_s: the same clock at the first sample; 0 where it does not tell.
        """
        block_s = samples / self._rate_hz
        self._next_adc_s = adc_s + block_s if adc_s > 0 else 0.0
        if self._first_callback_s is None:
            self._first_callback_s = monotonic_s
        if monotonic_s - self._first_callback_s > SETTLING_S:
            return
        latency_s = now_s - adc_s
        if adc_s <= 0 or not block_s <= latency_s <= LONGEST_LATENCY_S:
            latency_s = block_s  # it does not tell, or tells nonsense
        arrival_unix_s = unix_s - (start_sample + samples) / self._rate_hz
        self._least_arrival_unix_s = min(self._least_arrival_unix_s, arrival_unix_s)
        self._least_excess_s = min(self._least_excess_s, latency_s - block_s)
        self._anchor_unix_s = self._least_arrival_unix_s - self._least_excess_s
