"""Recurrent layers without a loop: one copy of the step for every frame of the window.

The loop that Keras trains with becomes a WHILE operator, which the int8 converter does not survive. The
copies share their weights in the file. Written out here rather than with Keras's own ``unroll=True``
for the size of the file: the input is multiplied once for all steps, and the names of the operators,
of which the file keeps every one, are a letter long. Together that took a third off a file of 1.8 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.errors import ExportError

SUPPORTED = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "reset_after": True,
    "return_sequences": False,
    "return_state": False,
    "stateful": False,
}
"""Options of a GRU that can be written out; they are Keras's defaults."""


def unrolled(network: Any) -> Any:
    """The same network, for a batch of one, with its recurrent layers written out.

    Layers without a loop are shared with `network`; weights of the others are copied.

    Raises:
        ExportError: a recurrent layer is no GRU, or one with unusual options.
    """
    import keras
    import tensorflow as tf
    from keras import layers

    def written_out(layer: Any) -> Any:
        if isinstance(layer, layers.Bidirectional):
            if layer.merge_mode != "concat":
                raise ExportError(f"the layer {layer.name} cannot be unrolled: merge_mode must be 'concat'")
            directions = [layer.forward_layer, layer.backward_layer]
        elif isinstance(layer, layers.RNN):
            directions = [layer]
        else:
            return layer
        readers = [gru_reader(direction) for direction in directions]
        units = sum(direction.units for direction in directions)
        return layers.Lambda(
            lambda frames: tf.concat([read(frames) for read in readers], axis=-1, name="c"),
            output_shape=(units,),
        )

    if not any(isinstance(layer, (layers.Bidirectional, layers.RNN)) for layer in network.layers):
        return network
    return keras.models.clone_model(network, clone_function=written_out)


def gru_reader(layer: Any) -> Callable[[Any], Any]:
    """A function from frames, shape (1, frames, columns), to the last state of a GRU, (1, units).

    With update gate z, reset gate r and candidate n, as in Cho et al., "Learning phrase representations
    using RNN encoder-decoder", 2014, with the reset gate after the product as in cuDNN:
    ``h = n + z * (h - n)``.

    Raises:
        ExportError: the layer is no GRU, or one with unusual options.
    """
    import tensorflow as tf
    from keras import layers

    if not isinstance(layer, layers.GRU):
        raise ExportError(
            f"the layer {layer.name} cannot be unrolled: {type(layer).__name__} is unknown, GRU is known"
        )
    config = layer.get_config()
    for option, value in SUPPORTED.items():
        if config[option] != value:
            raise ExportError(f"the layer {layer.name} cannot be unrolled: {option} must be {value!r}")
    units, backwards = layer.units, layer.go_backwards
    kernel, recurrent, bias = (np.asarray(weights, np.float32) for weights in layer.get_weights())
    gates, candidate = slice(0, 2 * units), slice(2 * units, None)

    def read(frames: Any) -> Any:
        with tf.name_scope("/"):
            _, steps, columns = frames.shape
            x = tf.reshape(frames, (steps, columns), name="x")
            from_x = tf.add(tf.matmul(x, kernel[:, gates], name="g"), bias.sum(axis=0)[gates], name="g")
            gates_of = tf.split(from_x, steps, name="g")
            from_x = tf.add(tf.matmul(x, kernel[:, candidate], name="n"), bias[0, candidate], name="n")
            candidate_of = tf.split(from_x, steps, name="n")
            state = None
            for step in reversed(range(steps)) if backwards else range(steps):
                # The first state is zero. Multiplied all the same, it left an operator in float.
                gate, from_state = gates_of[step], bias[1:, candidate]
                if state is not None:
                    gate = tf.add(gate, tf.matmul(state, recurrent[:, gates], name="g"), name="g")
                    product = tf.matmul(state, recurrent[:, candidate], name="n")
                    from_state = tf.add(product, bias[1, candidate], name="n")
                update, reset = tf.split(tf.sigmoid(gate, name="z"), 2, axis=1, name="z")
                new = tf.multiply(reset, from_state, name="n")
                new = tf.tanh(tf.add(candidate_of[step], new, name="n"), name="n")
                if state is None:
                    state = tf.subtract(new, tf.multiply(update, new, name="h"), name="h")
                else:
                    kept = tf.multiply(update, tf.subtract(state, new, name="h"), name="h")
                    state = tf.add(new, kept, name="h")
            return state

    return read
