"""What a network says, made to mean what it says.

Networks are too sure, or not sure enough. A temperature shared by all classes and an offset of each
class, found on sounds that the network did not learn from, turn its numbers into probabilities: of all
sounds that are given 70 %, about 70 % are right.

    calibrated = sigmoid(logit(probability) / temperature + offset)

Guo et al., "On calibration of modern neural networks", 2017 (temperature); Platt, 1999 (with offset).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamer.types import FloatArray


class Calibration:
    """Calibrates the probabilities of a network.

    Args:
        temperature: above 1 makes everything less sure.
        offsets: one for each class, added to its logit.
        closest: how close to 0 and to 1 a probability is believed; half a step of an 8-bit output.
    """

    def __init__(self, temperature: float, offsets: Sequence[float], closest: float = 1e-6) -> None:
        self.changes_nothing = temperature == 1.0 and not any(offsets)
        """True when every probability stays as it is, bit by bit."""

        self._temperature = np.float32(temperature)
        self._offsets = np.array(offsets, np.float32)
        self._least, self._most = np.float32(closest), np.float32(1.0 - closest)

    def __call__(self, probabilities: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape (..., labels), of probabilities of that shape."""
        if self.changes_nothing:
            return probabilities
        believed = np.clip(probabilities, self._least, self._most)
        logits = np.log(believed / (1.0 - believed)) / self._temperature + self._offsets
        calibrated: FloatArray = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        return calibrated
