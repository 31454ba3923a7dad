"""LiteRT: a window in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.calibration import Calibration
from streamer.errors import ModelError
from streamer.manifest import ModelInput
from streamer.model import Model
from streamer.native import quiet_native_code
from streamer.types import FloatArray


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the interpreter and its quantisation: real = scale * (stored - zero_point)."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: type[Any]
    scale: float
    zero_point: int

    @classmethod
    def of(cls, details: dict[str, Any]) -> _Tensor:
        scale, zero_point = details["quantization"]
        shape = tuple(int(n) for n in details["shape"])
        return cls(details["index"], details["name"], shape, details["dtype"], scale, zero_point)

    @property
    def highest(self) -> float:
        """The largest number that it can hold; infinite for floats."""
        if not self.quantised:
            return float("inf")
        return self.scale * (np.iinfo(self.dtype).max - self.zero_point)

    @property
    def quantised(self) -> bool:
        return bool(np.issubdtype(self.dtype, np.integer))


@dataclass(frozen=True)
class _Feed:
    """How an input tensor is filled: stored = round(feature * factor + offset), clipped."""

    tensor: _Tensor
    columns: tuple[slice, ...]
    factor: tuple[FloatArray, ...]
    offset: tuple[FloatArray, ...]


class Classifier:
    """Runs the network of a model.

    Args:
        model: the model.
        threads: processor threads that the network may use.

    Raises:
        ModelError: LiteRT cannot run the file, or its tensors are not what the manifest says.
    """

    def __init__(self, model: Model, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.model = model
        try:
            with quiet_native_code():
                self._interpreter = Interpreter(model_content=model.content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "unknown reason"
            raise ModelError(f"LiteRT cannot run the model {model.path}: {reason}") from error
        tensors = {d["name"]: _Tensor.of(d) for d in self._interpreter.get_input_details()}
        outputs = [_Tensor.of(d) for d in self._interpreter.get_output_details()]
        manifest = model.manifest
        if sorted(tensors) != sorted(item.tensor for item in manifest.inputs):
            self._refuse(f"the inputs of the network are {', '.join(sorted(tensors))}")
        if len(outputs) != 1 or outputs[0].shape != (1, len(manifest.labels)):
            shapes = ", ".join(str(tensor.shape) for tensor in outputs)
            self._refuse(f"the network gives {shapes}, not one row of {len(manifest.labels)} labels")
        self._output = outputs[0]
        half_step = self._output.scale / 2 if self._output.quantised else 1e-6
        self._calibration = Calibration(
            manifest.temperature, [rule.offset for rule in manifest.classes], half_step
        )
        highest = np.full(len(manifest.labels), min(1.0, self._output.highest), np.float32)
        reached = self._calibration(highest)
        self.highest_probability = float(reached.min())
        """What every class can reach: a network in 8 bits never quite says 1."""

        for rule, most in zip(manifest.classes, reached, strict=True):
            if rule.on >= most:
                self._refuse(f"class {rule.label!r} can never fire: {rule.on} is out of its reach")
        self._feeds = [self._feed(tensors[item.tensor], item) for item in manifest.inputs]

    def _refuse(self, problem: str) -> None:
        raise ModelError(f"the manifest of {self.model.path} does not fit its network: {problem}")

    def _feed(self, tensor: _Tensor, item: ModelInput) -> _Feed:
        """Fold normalisation and quantisation into one multiplication and one addition."""
        spec = self.model.manifest.front_end
        frames = self.model.manifest.window_frames
        widths = [spec.width(name) for name in item.features]
        shapes: list[tuple[int, ...]] = [(1, frames, sum(widths))] if len(widths) == 1 else []
        if len(set(widths)) == 1:
            shapes.append((1, frames, widths[0], len(widths)))
        wanted = " or ".join(map(str, shapes)) or "one that takes features of different widths"
        if tensor.shape not in shapes:
            self._refuse(f"input {tensor.name!r} has the shape {tensor.shape}, not {wanted}")
        if tensor.quantised and not tensor.scale > 0:
            self._refuse(f"input {tensor.name!r} is {tensor.dtype.__name__} without a scale")
        scale = tensor.scale if tensor.quantised else 1.0
        factor = 1.0 / (np.array(item.std) * scale)
        offset = tensor.zero_point - np.array(item.mean) * factor
        ends = np.cumsum(widths)[:-1]
        return _Feed(
            tensor,
            tuple(spec.columns(name) for name in item.features),
            tuple(part.astype(np.float32) for part in np.split(factor, ends)),
            tuple(part.astype(np.float32) for part in np.split(offset, ends)),
        )

    def classify(self, values: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape (labels,), of a window of features, shape (frames, columns)."""
        for feed in self._feeds:
            parts = [
                values[:, columns] * factor + offset
                for columns, factor, offset in zip(feed.columns, feed.factor, feed.offset, strict=True)
            ]
            stored = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
            if feed.tensor.quantised:
                limits = np.iinfo(feed.tensor.dtype)
                stored = np.clip(np.rint(stored), limits.min, limits.max)
            shaped = stored.astype(feed.tensor.dtype).reshape(feed.tensor.shape)
            self._interpreter.set_tensor(feed.tensor.index, shaped)
        self._interpreter.invoke()
        out = self._interpreter.get_tensor(self._output.index)[0].astype(np.float32)
        if self._output.quantised:
            out = (out - np.float32(self._output.zero_point)) * np.float32(self._output.scale)
        return self._calibration(np.clip(out, 0.0, 1.0))
