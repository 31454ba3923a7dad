"""A Keras network to a TFLite flatbuffer: int8, dynamic range, or float, and the proof that it is so.

int8: weights for each channel, activations for each tensor, int8 in and out; the ranges come from real
training windows (Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018). dynamic: int8 weights, computed in float.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamer.manifest import Embedding
from streamer.native import quiet_native_code
from streamer.types import FloatArray
from trainer.errors import ExportError
from trainer.examples.inputs import Inputs
from trainer.exporting.unroll import unrolled
from trainer.networks.shape import EMBEDDING

Kind = Literal["int8", "dynamic", "float32"]

LARGEST_DIFFERENCE = 1e-5
"""Between the probabilities of a network and those of its unrolled twin."""

COMPARED_WINDOWS = 8

LOOPS = ("WHILE", "IF", "CALL", "CALL_ONCE")
"""Operators that run another subgraph of the file."""


@dataclass(frozen=True)
class Flatbuffer:
    """A converted network."""

    content: bytes
    tensors: tuple[str, ...]
    """Names of its input tensors, in the order of the network's inputs."""

    scores: str = ""
    """Name of the output tensor with the scores of the labels; empty when it is the only output."""

    embedding: Embedding | None = None


def convert(network: Any, kind: Kind, windows: Sequence[Inputs]) -> Flatbuffer:
    """Convert a network for a batch of one; a layer called `EMBEDDING` becomes a second output.

    Args:
        network: a Keras network in float32, under the backend tensorflow.
        windows: normalised training examples, one array of shape (frames, columns, channels) for each
            input; int8 takes its ranges from all of them.

    Raises:
        ExportError: it cannot be converted, or the outcome is not what was asked for.
    """
    network = with_embedding(network)
    loopless = unrolled(network)
    if loopless is not network:
        compare(network, loopless, windows[:COMPARED_WINDOWS])
    content = to_tflite(loopless, kind, windows)
    check(content, kind)
    tensors = input_tensors(content, [tensor.name for tensor in network.inputs])
    if len(network.outputs) == 1:
        return Flatbuffer(content, tensors)
    scores, embedding = output_tensors(content)
    return Flatbuffer(content, tensors, scores, Embedding(embedding, network.outputs[1].shape[-1]))


def with_embedding(network: Any) -> Any:
    """The same network, whose second output is that of its layer called `EMBEDDING`, if it has one."""
    import keras

    layers = [layer for layer in network.layers if layer.name == EMBEDDING]
    return keras.Model(network.input, [network.output, layers[0].output]) if layers else network


def compare(network: Any, loopless: Any, windows: Sequence[Inputs]) -> None:
    """Refuse an unrolled network that does not say what the original says.

    Raises:
        ExportError: it differs by more than rounding.
    """

    def answers(net: Any, inputs: Sequence[FloatArray]) -> FloatArray:
        """All outputs beside each other."""
        said = net(inputs if len(inputs) > 1 else inputs[0])
        return np.concatenate([np.asarray(part) for part in (said if isinstance(said, list) else [said])], -1)

    expected = answers(network, [np.stack(arrays) for arrays in zip(*windows, strict=True)])
    found = np.concatenate([answers(loopless, [array[np.newaxis] for array in window]) for window in windows])
    # Rounding grows with the values; probabilities end at 1, an embedding does not.
    difference = float((np.abs(expected - found) / np.maximum(1.0, np.abs(expected))).max())
    if not difference < LARGEST_DIFFERENCE:
        raise ExportError(f"the unrolled network differs from the trained one by {difference:.2g}")


def to_tflite(network: Any, kind: Kind, windows: Sequence[Inputs]) -> bytes:
    """Content of the ``.tflite`` file, unchecked.

    Raises:
        ExportError: TensorFlow cannot convert it.
    """
    import keras
    import tensorflow as tf

    names = [tensor.name for tensor in network.inputs]
    signature = [tf.TensorSpec((1, *t.shape[1:]), tf.float32, name=t.name) for t in network.inputs]

    def serve(*inputs: Any) -> Any:
        return network(inputs if len(inputs) > 1 else inputs[0], training=False)

    def representative() -> Iterator[dict[str, FloatArray]]:
        for window in windows:
            yield {name: array[np.newaxis] for name, array in zip(names, window, strict=True)}

    with tempfile.TemporaryDirectory() as saved, quiet_native_code(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated parts that the converter itself uses
        archive = keras.export.ExportArchive()
        archive.track(network)
        archive.add_endpoint("serve", serve, input_signature=signature)
        archive.write_out(saved, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = representative
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
        try:
            content: bytes = converter.convert()
        except Exception as error:  # of many classes, most of them private
            told = re.search(r"error: (.*)", str(error)) or re.search("(.*)", str(error))
            reason = told[1][:300] if told else "no reason given"
            raise ExportError(f"TensorFlow cannot convert the network to {kind}: {reason}") from error
    return content


def check(content: bytes, kind: Kind) -> None:
    """Refuse a file that LiteRT does not run as fast and as simply as it should.

    Raises:
        ExportError: names the first operator that LiteRT lacks, that runs a loop, or, for int8, that
            computes in floating point.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    floats = {number for name, number in vars(schema.TensorType).items() if "FLOAT" in name}
    graph = model.subgraphs[0]
    in_float: list[str] = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if code.customCode is not None:
            raise ExportError(f"the operator {code.customCode.decode()} is none of LiteRT's own")
        if name in LOOPS:
            raise ExportError(f"the operator {name} is left: a loop has not been unrolled")
        touched = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        in_float += [f"{name} ({t.name.decode()[:80]})" for t in touched if t.type in floats][:1]
    if kind == "int8" and in_float:
        # Operators that translate are there because of another one.
        in_float.sort(key=lambda text: text.startswith(("QUANTIZE", "DEQUANTIZE")))
        raise ExportError(f"the operator {in_float[0]} still computes in floating point")
    if len(model.subgraphs) > 1:
        raise ExportError(f"the file holds {len(model.subgraphs)} graphs: a loop has not been unrolled")


def input_tensors(content: bytes, inputs: Sequence[str]) -> tuple[str, ...]:
    """Names that a file gives to the tensors of a network's inputs.

    Raises:
        ExportError: the inputs of the file are others.
    """
    tensors = _signature(content, "inputs")
    if sorted(tensors) != sorted(inputs):
        found = ", ".join(sorted(tensors)) or "not named"
        raise ExportError(f"the inputs of the file are {found}, those of the network {', '.join(inputs)}")
    return tuple(tensors[name] for name in inputs)


def output_tensors(content: bytes) -> tuple[str, ...]:
    """Names that a file gives to the tensors of a network's outputs, in their order."""
    tensors = _signature(content, "outputs")
    return tuple(tensors[name] for name in sorted(tensors))  # output_0, output_1


def _signature(content: bytes, end: str) -> dict[str, str]:
    """Names of tensors by the names of inputs or outputs."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return {
        item.name.decode(): model.subgraphs[0].tensors[item.tensorIndex].name.decode()
        for signature in model.signatureDefs or ()
        for item in getattr(signature, end)
    }
