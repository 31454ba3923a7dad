"""What a network is trained to lower, and what is shown beside it. Written for any Keras backend."""

from __future__ import annotations

from typing import Any


def known_crossentropy(targets: Any, probabilities: Any) -> Any:
    """Binary cross-entropy summed over the labels about which something is known (target >= 0)."""
    from keras import ops

    known = ops.cast(targets >= 0.0, "float32")
    p = ops.clip(probabilities, 1e-6, 1.0 - 1e-6)
    loss = -(targets * ops.log(p) + (1.0 - targets) * ops.log(1.0 - p))
    return ops.sum(loss * known, axis=-1)


def loss_of(outputs: str) -> Any:
    """The loss for sigmoid or softmax outputs."""
    return known_crossentropy if outputs == "sigmoid" else "categorical_crossentropy"


def top_is_there(targets: Any, probabilities: Any) -> Any:
    """1 where the most probable sound is one of those that are there, else 0.

    A sound is there where its target is at least 0.5, which a teacher's answer never changes.
    """
    from keras import ops

    top = ops.one_hot(ops.argmax(probabilities, axis=-1), probabilities.shape[-1])
    return ops.cast(ops.sum(top * ops.cast(targets >= 0.5, top.dtype), axis=-1) > 0, "float32")
