"""Muon for convolutions: steps that change every direction of a kernel equally much.

The momentum of a kernel is brought close to the nearest orthogonal matrix before it is applied, so that
the few directions in which a gradient is large do not hide the others.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. The length of a step is
that of AdamW (Liu et al., "Muon is scalable for LLM training", 2025), so that rates can be shared.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

STEP_RMS = 0.2
"""Root mean square of a step of rate 1: that of AdamW, as measured by Liu et al."""


@keras.saving.register_keras_serializable("esc-train")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions, AdamW for all other weights and for `exclude_layers`."""

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4 or any(name in variable.path for name in self.exclude_layers)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        step = ops.add(gradient, self.momentum * m)
        # A kernel (height, width, inputs, outputs) is a matrix from what it sees to its outputs.
        *seen, outputs = variable.shape
        matrix = (math.prod(seen), outputs)
        step = self.zeropower_via_newtonschulz5(ops.reshape(step, matrix), self.ns_steps)
        step = ops.reshape(step, variable.shape) * (STEP_RMS * math.sqrt(max(matrix)))
        self.assign_sub(variable, ops.cast(lr, variable.dtype) * step)
