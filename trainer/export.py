"""A trained network to a ``.tflite`` file with its manifest: int8 in and out, per channel."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from streamer.manifest import (
    FORMAT,
    ClassRule,
    Manifest,
    ModelInput,
    Provenance,
    add_manifest,
    replace_manifest,
)
from streamer.model import load_model
from streamer.native import quiet_native_code
from streamer.tables import TableError, from_table
from streamer.types import FloatArray
from trainer.calibrate import calibrated
from trainer.datasets import read_background, read_dataset
from trainer.errors import ExportError
from trainer.evaluate import evaluate
from trainer.examples import epoch_batches, load_training_data
from trainer.recipe import Recipe
from trainer.spectrograms import read_mono

CALIBRATION_BATCHES = 6
"""Batches of training examples that the ranges of int8 are taken from."""

TIMED_CLIPS = 200
"""Training clips by which onset and offset times are calibrated."""


@dataclass(frozen=True)
class TrainedNetwork:
    """What `fit` left in a folder."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def load(self) -> Any:
        """The Keras network."""
        import keras

        return keras.models.load_model(self.folder / "network.keras", compile=False)


def read_trained(folder: Path) -> TrainedNetwork:
    """Read the folder of a finished training.

    Raises:
        ExportError: the training has not finished there.
    """
    if not (folder / "network.keras").is_file():
        raise ExportError(f"{folder} holds no finished training; run esc-train fit first")
    notes = folder / "training.json"
    try:
        table = json.loads(notes.read_text())
        return TrainedNetwork(
            folder,
            from_table(Recipe, table["recipe"]),
            tuple(table["labels"]),
            tuple(table["mean"]),
            tuple(table["std"]),
        )
    except (json.JSONDecodeError, KeyError, TypeError, TableError) as error:
        raise ExportError(f"{notes} is damaged ({error}); train again") from error


def to_int8(network: Any, examples: list[FloatArray]) -> bytes:
    """Quantise a Keras network after training, with real windows to take the ranges from.

    Raises:
        ExportError: an operator in the result still computes in floating point.
    """
    import tensorflow as tf

    tensor = network.inputs[0]
    signature = [tf.TensorSpec((1, *tensor.shape[1:]), tf.float32, name=tensor.name)]

    def representative() -> Iterator[list[FloatArray]]:
        for example in examples:
            yield [example[np.newaxis]]

    with tempfile.TemporaryDirectory() as saved, quiet_native_code():
        network.export(saved, verbose=False, input_signature=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        content: bytes = converter.convert()
    check_int8(content)
    return content


def check_int8(content: bytes) -> None:
    """Refuse a network in which any tensor is still floating point.

    Raises:
        ExportError: names the first such tensor.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_tensor_details():
        if np.issubdtype(tensor["dtype"], np.floating):
            raise ExportError(f"the tensor {tensor['name']!r} is still floating point")


def export(folder: Path, data_folder: Path, background_folder: Path, out: Path, wrong_budget: float) -> None:
    """Write the int8 model of a finished training to `out`, with its thresholds and figures.

    Args:
        folder: where `fit` left the network.
        data_folder, background_folder: the training data again, for calibration.
        wrong_budget: share of validation clips that may give an event of a wrong class.
    """
    from ai_edge_litert.interpreter import Interpreter

    trained = read_trained(folder)
    recipe = trained.recipe
    data = load_training_data(recipe, data_folder, background_folder)
    rate_hz = recipe.front_end.sample_rate_hz
    quiet = list(read_background(background_folder, "train"))
    background = np.concatenate([read_mono(item.path, rate_hz) for item in quiet])
    network = trained.load()
    batches = islice(epoch_batches(data, recipe, recipe.schedule.epochs), CALIBRATION_BATCHES)
    content = to_int8(network, [example for inputs, _ in batches for example in inputs])
    tensor = Interpreter(model_content=content).get_input_details()[0]["name"]
    manifest = Manifest(
        format=FORMAT,
        name=recipe.name,
        description=recipe.description,
        front_end=recipe.front_end,
        window_frames=recipe.window_frames,
        inputs=(ModelInput(tensor, recipe.front_end.features, trained.mean, trained.std),),
        classes=tuple(ClassRule(label, on=0.5, off=0.3) for label in trained.labels),
        provenance=Provenance(
            recipe=recipe.name,
            dataset=recipe.data.dataset,
            licence=recipe.data.licence,
            train_folds=recipe.data.train_folds,
            validation_folds=recipe.data.validation_folds,
            background=f"{len(quiet)} recordings, {len(background) / rate_hz / 60:.0f} minutes",
            seed=recipe.schedule.seed,
            epochs=recipe.schedule.epochs,
            parameters=network.count_params(),
        ),
    )
    out.write_bytes(add_manifest(content, manifest))
    clips = read_dataset(recipe.data.dataset, data_folder)
    validation = [clip for clip in clips if clip.fold in recipe.data.validation_folds]
    if validation:
        training = data.clips[:: max(1, len(data.clips) // TIMED_CLIPS)]
        manifest = calibrated(manifest, out, validation, training, background, wrong_budget)
        replace_manifest(out, manifest)
        figures = evaluate(load_model(out), validation)
        folds = ", ".join(map(str, recipe.data.validation_folds))
        measured = {
            f"{recipe.data.dataset}, fold {folds} (validation), int8, streaming": {
                "clip_accuracy": round(figures.clip_accuracy, 4),
                "window_accuracy": round(figures.window_accuracy, 4),
                "ece": round(figures.ece, 4),
                "clips": figures.clips,
            }
        }
        replace_manifest(out, dataclasses.replace(manifest, measured=measured))
        print(json.dumps(measured))
    size_kb = out.stat().st_size / 1000
    print(f"{out}: {size_kb:.0f} kB, {network.count_params():,} parameters, int8")
