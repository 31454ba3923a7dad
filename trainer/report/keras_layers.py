"""The layers of a Keras network, with what belongs to a layer folded into it."""

from __future__ import annotations

from typing import Any

from trainer.report.layers import Layer, Network, Shape, in_order, size
from trainer.words import TIMES

FOLDED = {
    "BatchNormalization": "batch norm",
    "ReLU": "ReLU",
    "Activation": "",
    "Dropout": "dropout",
    "SpatialDropout2D": "dropout",
}
"""Layers that are told with the one before them: they cost nothing of their own once exported."""

KINDS = {
    "InputLayer": "input",
    "Conv1D": "convolution",
    "Conv2D": "convolution",
    "DepthwiseConv2D": "depthwise convolution",
    "Dense": "dense",
    "MaxPooling2D": "max pooling",
    "AveragePooling1D": "mean pooling",
    "AveragePooling2D": "mean pooling",
    "GlobalAveragePooling1D": "global mean",
    "GlobalAveragePooling2D": "global mean",
    "GlobalMaxPooling2D": "global max",
    "Add": "add",
    "Concatenate": "concatenate",
    "Flatten": "flatten",
    "Reshape": "reshape",
    "Permute": "swap axes",
    "Bidirectional": "bidirectional",
}

GATES = {"GRU": 3, "LSTM": 4, "SimpleRNN": 1}
"""Recurrent layers, and how many products of their input and state they form at each step."""


def network_of_keras(model: Any) -> Network:
    """The layers of a functional Keras network.

    Layers that follow another one without any cost of their own, such as batch normalisation, are told
    in its detail; their parameters count there.
    """
    layers: list[Layer] = []
    place_of: dict[Any, int] = {}
    users = _users(model)
    for layer in model.layers:
        before = [id(tensor) for tensor in _tensors(layer.input)] if _name(layer) != "InputLayer" else []
        inputs = tuple(place_of[key] for key in before)
        kind, parameters = _name(layer), layer.count_params()
        shape = _shape(layer.output)
        alone = len(inputs) == 1 and users.get(before[0], 0) == 1
        if kind in FOLDED and alone:
            at = inputs[0]
            word = FOLDED[kind] or layer.activation.__name__
            whole = layers[at]
            details = [part for part in (whole.detail, "" if word == "dropout" else word) if part]
            layers[at] = Layer(
                whole.kind,
                ", ".join(details),
                whole.inputs,
                shape,
                whole.parameters + parameters,
                whole.macs,
            )
            place_of[id(layer.output)] = at
            continue
        place_of[id(layer.output)] = len(layers)
        layers.append(
            Layer(
                KINDS.get(kind, kind),
                _detail(layer, kind),
                inputs,
                shape,
                parameters,
                macs(layer),
            )
        )
    return in_order(Network(model.name, "the Keras layers", tuple(layers)))


def macs(layer: Any) -> int:
    """Multiply-accumulates of a layer for one window; those of activations and sums are not counted."""
    kind = _name(layer)
    if kind == "Bidirectional":
        return 2 * _recurrent_macs(layer.forward_layer, layer.input)
    if kind in GATES:
        return _recurrent_macs(layer, layer.input)
    if kind in ("Conv1D", "Conv2D", "DepthwiseConv2D", "Dense"):
        kernel = tuple(int(n) for n in layer.kernel.shape)
        out = _shape(layer.output)
        if kind == "DepthwiseConv2D":
            return size(out) * kernel[0] * kernel[1]
        return size(out[:-1]) * size(kernel)
    return 0


def _recurrent_macs(layer: Any, tensor: Any) -> int:
    steps, columns = _shape(tensor)
    units = int(layer.units)
    return steps * GATES[_name(layer)] * units * (columns + units)


def _detail(layer: Any, kind: str) -> str:
    words = []
    if hasattr(layer, "kernel_size"):
        words.append(TIMES.join(map(str, layer.kernel_size)))
    if hasattr(layer, "pool_size"):
        pool = layer.pool_size
        words.append(TIMES.join(map(str, pool)) if isinstance(pool, tuple) else str(pool))
    strides = getattr(layer, "strides", None)
    # Pools usually step by their own size.
    usual = strides == getattr(layer, "pool_size", None)
    if isinstance(strides, tuple) and max(strides) > 1 and not usual:
        words.append("step " + TIMES.join(map(str, strides)))
    if kind == "Bidirectional":
        words.append(f"{_name(layer.forward_layer)} {layer.forward_layer.units}")
    elif hasattr(layer, "units") and kind != "Dense":
        words.append(str(layer.units))
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear" and kind not in ("GRU", "LSTM", "Bidirectional"):
        words.append("ReLU" if activation == "relu" else activation)
    return ", ".join(words)


def _name(layer: Any) -> str:
    return str(type(layer).__name__)


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _shape(tensor: Any) -> Shape:
    return tuple(int(n) for n in tensor.shape[1:])


def _users(model: Any) -> dict[int, int]:
    """How many layers take each tensor."""
    users: dict[int, int] = {}
    for layer in model.layers:
        if _name(layer) != "InputLayer":
            for tensor in _tensors(layer.input):
                users[id(tensor)] = users.get(id(tensor), 0) + 1
    return users
