"""The operators of a ``.tflite`` file, read from its flatbuffer.

The format is that of TensorFlow Lite's ``schema.fbs``; the classes that read it come with LiteRT.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from streamer.manifest import strip_manifest
from trainer.report.layers import Layer, Network, Shape, in_order, size
from trainer.words import TIMES

KINDS = {
    "CONV_2D": "convolution",
    "DEPTHWISE_CONV_2D": "depthwise convolution",
    "FULLY_CONNECTED": "dense",
    "MAX_POOL_2D": "max pooling",
    "AVERAGE_POOL_2D": "mean pooling",
    "MEAN": "global mean",
    "REDUCE_MAX": "global maximum",
    "ADD": "add",
    "MUL": "multiply",
    "CONCATENATION": "concatenate",
    "TRANSPOSE": "swap axes",
    "LOGISTIC": "sigmoid",
    "SOFTMAX": "softmax",
    "RESHAPE": "reshape",
    "PAD": "pad",
}


WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def network_of_tflite(content: bytes, name: str) -> Network:
    """The operators of a model as layers.

    Activations that are part of an operator are told in its detail. Parameters are the constants that it
    computes with: weights and biases, batch normalisation already multiplied in.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(strip_manifest(content), 0))
    graph = model.subgraphs[0]
    made: dict[int, int] = {}
    layers: list[Layer] = []
    for tensor in graph.inputs:
        made[int(tensor)] = len(layers)
        layers.append(Layer("input", "", (), _shape(graph.tensors[tensor]), 0, 0))
    for operator in graph.operators:
        kind = _kind(model, operator)
        tensors = [int(at) for at in operator.inputs if at >= 0]
        constants = [
            graph.tensors[at] for at in tensors if at not in made and _stored(model, graph.tensors[at])
        ]
        out = graph.tensors[operator.outputs[0]]
        for tensor in operator.outputs:
            made[int(tensor)] = len(layers)
        layers.append(
            Layer(
                KINDS.get(kind, kind.lower().replace("_", " ")),
                _detail(operator, kind, constants),
                tuple(made[at] for at in tensors if at in made),
                _shape(out),
                _parameters(kind, constants),
                _macs(kind, _shape(out), constants),
            )
        )
    return in_order(
        Network(
            name,
            "the operators of the .tflite, where batch normalisation is part of the weights",
            tuple(layers),
        )
    )


@cache
def _names(of: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, of)).items() if not name.startswith("_")}


def _kind(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    # Operators beyond number 127 stand in a field of their own.
    return _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _shape(tensor: Any) -> Shape:
    """Without the batch."""
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    return tuple(shape[1:]) if len(shape) > 1 else tuple(shape)


def _stored(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _is_index(tensor: Any) -> bool:
    return _names("TensorType")[tensor.type] in ("INT32", "INT64")


def _parameters(kind: str, constants: list[Any]) -> int:
    counted = constants if kind in WEIGHTED else [tensor for tensor in constants if not _is_index(tensor)]
    return sum(size(tuple(int(n) for n in tensor.shape)) for tensor in counted)


def _macs(kind: str, out: Shape, constants: list[Any]) -> int:
    """Multiply-accumulates for one window; those of activations and sums are not counted."""
    if kind not in WEIGHTED or not constants:
        return 0
    weights = tuple(int(n) for n in constants[0].shape)
    if kind == "CONV_2D":
        return size(out) * size(weights[1:])
    if kind == "DEPTHWISE_CONV_2D":
        return size(out) * weights[1] * weights[2]
    if kind == "FULLY_CONNECTED":
        return size(out) * weights[-1]
    return 0


def _detail(operator: Any, kind: str, constants: list[Any]) -> str:
    options = operator.builtinOptions
    words = []
    if kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and constants:
        words.append(TIMES.join(str(int(n)) for n in constants[0].shape[1:3]))
    if hasattr(options, "filterHeight"):
        words.append(f"{options.filterHeight}{TIMES}{options.filterWidth}")
        pool = (options.filterHeight, options.filterWidth)
    else:
        pool = (1, 1)
    # Pools usually step by their own size.
    if hasattr(options, "strideH") and (options.strideH, options.strideW) not in ((1, 1), pool):
        words.append(f"step {options.strideH}{TIMES}{options.strideW}")
    activation = getattr(options, "fusedActivationFunction", 0)
    if activation:
        words.append({1: "ReLU", 3: "ReLU6"}.get(activation, "activation"))
    return ", ".join(words)
