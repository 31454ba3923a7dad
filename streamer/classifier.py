"""LiteRT: a window in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.calibration import Calibration
from streamer.errors import ModelError
from streamer.manifest import Arithmetic, ModelInput
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

    def real(self, stored: NDArray[Any]) -> FloatArray:
        """What the stored numbers mean."""
        values: FloatArray = stored.astype(np.float32)
        if self.quantised:
            values = (values - np.float32(self.zero_point)) * np.float32(self.scale)
        return values

    @property
    def limits(self) -> tuple[np.float32, np.float32] | None:
        """The least and the largest number that it can store; None for floats."""
        if not self.quantised:
            return None
        limits = np.iinfo(self.dtype)
        return np.float32(limits.min), np.float32(limits.max)


@dataclass(frozen=True)
class _Feed:
    """How an input tensor is filled: stored = round(feature * factor + offset), clipped.

    All in memory that is kept: making it anew for every window would cost as much as the arithmetic.
    """

    tensor: _Tensor
    columns: tuple[slice, ...]
    factor: tuple[FloatArray, ...]
    offset: tuple[FloatArray, ...]
    parts: tuple[FloatArray, ...]
    """Where each feature is normalised: views of `values`."""

    values: FloatArray
    stored: NDArray[Any]
    """What the tensor is set to."""

    limits: tuple[np.float32, np.float32] | None
    """Of the tensor."""

    def fill(self, window: FloatArray) -> NDArray[Any]:
        """What the tensor holds for a window of features, shape (frames, columns)."""
        for part, columns, factor, offset in zip(
            self.parts, self.columns, self.factor, self.offset, strict=True
        ):
            np.multiply(window[:, columns], factor, out=part)
            np.add(part, offset, out=part)
        if self.limits is not None:
            least, most = self.limits
            np.rint(self.values, out=self.values)
            np.maximum(self.values, least, out=self.values)
            np.minimum(self.values, most, out=self.values)
        np.copyto(self.stored, self.values.reshape(self.stored.shape), casting="unsafe")
        return self.stored


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
                # Before LiteRT adds tensors of its own.
                self.arithmetic = _arithmetic(self._interpreter.get_tensor_details())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "unknown reason"
            raise ModelError(f"LiteRT cannot run the model {model.path}: {reason}") from error
        tensors = {d["name"]: _Tensor.of(d) for d in self._interpreter.get_input_details()}
        manifest = model.manifest
        if sorted(tensors) != sorted(item.tensor for item in manifest.inputs):
            self._refuse(f"the inputs of the network are {', '.join(sorted(tensors))}")
        if manifest.arithmetic not in ("", self.arithmetic):
            self._refuse(f"its arithmetic is {self.arithmetic}, not {manifest.arithmetic}")
        self._output, self._embedding = self._outputs()
        self._heard = False
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
        self._every_label = np.arange(len(manifest.labels))
        # An output of 8 bits has 256 values: what they mean is looked up, not computed for every window.
        eight_bits = self._output.quantised and np.dtype(self._output.dtype).itemsize == 1
        self._meaning = self._meaning_of_levels(len(manifest.labels)) if eight_bits else None

    def _refuse(self, problem: str) -> None:
        raise ModelError(f"the manifest of {self.model.path} does not fit its network: {problem}")

    def _outputs(self) -> tuple[_Tensor, _Tensor | None]:
        """Where the probabilities come out, and the embedding if there is one."""
        manifest, wanted = self.model.manifest, self.model.manifest.embedding
        outputs = {d["name"]: _Tensor.of(d) for d in self._interpreter.get_output_details()}
        for name in (manifest.scores_tensor, wanted.tensor if wanted else ""):
            if name and name not in outputs:
                self._refuse(f"the outputs of the network are {', '.join(outputs)}")
        embedding = outputs.pop(wanted.tensor) if wanted else None
        if wanted and embedding and embedding.shape != (1, wanted.size):
            self._refuse(f"the embedding has the shape {embedding.shape}, not (1, {wanted.size})")
        scores = [outputs[manifest.scores_tensor]] if manifest.scores_tensor else list(outputs.values())
        if len(scores) != 1 or scores[0].shape != (1, len(manifest.labels)):
            shapes = ", ".join(str(tensor.shape) for tensor in scores) or "nothing else"
            self._refuse(f"the network gives {shapes}, not one row of {len(manifest.labels)} labels")
        return scores[0], embedding

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
        values = np.empty((frames, widths[0], len(widths)), np.float32)
        return _Feed(
            tensor,
            tuple(spec.columns(name) for name in item.features),
            tuple(part.astype(np.float32) for part in np.split(factor, ends)),
            tuple(part.astype(np.float32) for part in np.split(offset, ends)),
            tuple(values[..., at] for at in range(len(widths))),
            values,
            np.empty(tensor.shape, tensor.dtype),
            tensor.limits,
        )

    def _calibrated(self, probabilities: FloatArray) -> FloatArray:
        return self._calibration(np.clip(probabilities, 0.0, 1.0))

    def _meaning_of_levels(self, labels: int) -> FloatArray:
        """What each level of an 8-bit output means for each label, shape (levels, labels).

        Level n is in row n, so that a negative one counts from the end, as an index does.
        """
        tensor = self._output
        levels = np.arange(256, dtype=np.uint8).view(tensor.dtype)[:, np.newaxis]
        return self._calibrated(np.repeat(tensor.real(levels), labels, axis=1))

    def classify(self, values: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape (labels,), of a window of features, shape (frames, columns)."""
        for feed in self._feeds:
            self._interpreter.set_tensor(feed.tensor.index, feed.fill(values))
        self._interpreter.invoke()
        self._heard = True
        said = self._interpreter.get_tensor(self._output.index)[0]
        if self._meaning is None:
            return self._calibrated(self._output.real(said))
        meant: FloatArray = self._meaning[said, self._every_label]
        return meant

    def embedding(self) -> FloatArray:
        """What the network knows about the window that was classified last, shape (size,).

        Raises:
            ModelError: the model gives no embedding, or has heard no window yet.
        """
        if self._embedding is None:
            raise ModelError(f"the model {self.model.name} gives no embedding")
        if not self._heard:
            raise ModelError(f"the model {self.model.name} has heard no window whose embedding it could give")
        return self._embedding.real(self._interpreter.get_tensor(self._embedding.index)[0])


def _arithmetic(tensors: Sequence[dict[str, Any]]) -> Arithmetic:
    """How a network with these tensors computes."""
    kinds = {np.dtype(tensor["dtype"]) for tensor in tensors}
    if not any(np.issubdtype(kind, np.floating) for kind in kinds):
        return "int8"
    return "dynamic" if np.dtype(np.int8) in kinds else "float32"
