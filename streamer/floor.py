"""The floor under the cost of listening: what no program that computes the same could avoid.

For samples already in memory: one batched Fourier transform of all frames, power, one product with the
mel filters, the logarithm; and one invocation of the network a hop, on inputs that are ready. No
reading, no chunks, no windows, no normalisation, no smoothing, no events.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from streamer.frontend import FrontEndSpec, mel_filterbank
from streamer.frontend.features import log_mel
from streamer.frontend.mel import frame_window
from streamer.model import Model
from streamer.native import quiet_native_code
from streamer.types import FloatArray


class Floor:
    """Computes the floor for a model and measures it."""

    def __init__(self, model: Model, hop_s: float) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._spec: FrontEndSpec = model.manifest.front_end
        self._hop_s = hop_s
        self._window = frame_window(self._spec)
        self._mel = mel_filterbank(self._spec).T.astype(np.float32)
        with quiet_native_code():
            self._interpreter: Any = Interpreter(model_content=model.content, num_threads=1)
            self._interpreter.allocate_tensors()
        random = np.random.default_rng(0)
        for details in self._interpreter.get_input_details():
            ready = random.integers(-100, 100, details["shape"]).astype(details["dtype"])
            self._interpreter.set_tensor(details["index"], ready)

    def front_end_s(self, samples: FloatArray) -> float:
        """CPU seconds of the features of samples of shape (n,)."""
        began = time.process_time()
        if self._spec.pre_emphasis:
            samples = samples[1:] - np.float32(self._spec.pre_emphasis) * samples[:-1]
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._spec.fft_samples)
        spectrum = np.fft.rfft(frames[:: self._spec.hop_samples] * self._window)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        log_mel(power @ self._mel, self._spec)
        return time.process_time() - began

    def network_s(self, seconds: float) -> float:
        """CPU seconds of the invocations for so many seconds of sound."""
        began = time.process_time()
        for _ in range(int(seconds / self._hop_s)):
            self._interpreter.invoke()
        return time.process_time() - began
