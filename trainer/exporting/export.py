"""A trained network to a ``.tflite`` file with its manifest."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from streamer.classifier import Classifier
from streamer.errors import ModelError, SourceError
from streamer.manifest import (
    ClassRule,
    Manifest,
    ModelInput,
    Provenance,
    add_manifest,
    replace_manifest,
)
from streamer.model import Model, load_model
from streamer.native import quiet_native_code
from streamer.tables import TableError, from_table
from trainer.calibration.calibrate import SAMPLED_CLIPS, Choices, calibrate
from trainer.calibration.evidence import Examiner
from trainer.calibration.times import longest_unheard_s
from trainer.caveats import CAVEATS, caveats, warn
from trainer.datasets import Background, Clip
from trainer.errors import ExportError
from trainer.examples.inputs import Inputs
from trainer.examples.load import Examples, Sources, load_examples, read_material
from trainer.examples.spectrograms import read_mono
from trainer.exporting.parity import compare_models
from trainer.exporting.quantise import COMPARED_WINDOWS, Flatbuffer, Kind, convert
from trainer.judging.clips import evaluate
from trainer.networks import build_network
from trainer.recipe import Recipe
from trainer.training.fit import precision, read_curve

CALIBRATION_WINDOWS = 400
"""Training examples that the ranges of int8 are taken from."""


@dataclass(frozen=True)
class TrainedNetwork:
    """What `fit` left in a folder."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    teachers: tuple[str, ...] = ()

    def load(self) -> Any:
        """The Keras network in float32, whatever precision it was trained with.

        Raises:
            ExportError: its weights cannot be read.
        """
        keras, recipe = imported_keras(), self.recipe
        with precision("float32"):
            network = build_network(
                recipe.network, recipe.input_shapes, len(self.labels), recipe.outputs, recipe.options
            )
        try:
            trained = keras.models.load_model(self.folder / "network.keras", compile=False)
            network.set_weights(trained.get_weights())
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise ExportError(
                f"{self.folder / 'network.keras'} does not hold the weights of the recipe; train again"
            ) from error
        return network

    def seconds(self) -> float:
        """How long it was trained."""
        return sum(float(row["seconds"]) for row in read_curve(self.folder / "curve.csv"))


@dataclass(frozen=True)
class ExportOptions:
    """How a network is written."""

    kind: Kind = "int8"
    background: str = ""
    """Background that it was trained with, in words for the manifest."""

    licence: str | None = None
    """Terms of the training data; None takes those of the recipe."""


def read_trained(folder: Path) -> TrainedNetwork:
    """Read the folder of a finished training.

    Raises:
        ExportError: the training has not finished there.
    """
    if not (folder / "network.keras").is_file():
        raise ExportError(f"{folder} holds no finished training; run esc-train fit first")
    notes = folder / "training.json"
    try:
        table = json.loads(notes.read_text(encoding="utf-8"))
        return TrainedNetwork(
            folder,
            from_table(Recipe, table["recipe"]),
            tuple(table["labels"]),
            tuple(table["mean"]),
            tuple(table["std"]),
            tuple(table.get("teachers", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, TableError, ModelError) as error:
        raise ExportError(f"{notes} is damaged ({error}); train again") from error


def export(
    trained: TrainedNetwork, examples: Examples, path: Path, options: ExportOptions | None = None
) -> None:
    """Write a model file with the thresholds that a manifest has by default.

    Args:
        trained: the network.
        examples: what it was trained on; int8 takes its ranges from them.
        path: the file; one that is there is replaced when the new one is complete.

    Raises:
        ExportError: the network cannot be written as it was asked for.
        ModelError: the listener would refuse the file.
    """
    options = options or ExportOptions()
    recipe = trained.recipe
    if examples.labels != trained.labels:
        raise ExportError(f"{trained.folder} was trained on other labels than the data has now")
    windows = some_windows(
        examples, recipe, CALIBRATION_WINDOWS if options.kind == "int8" else COMPARED_WINDOWS
    )
    flatbuffer, parameters = converted(trained, options.kind, windows)
    unheard_s = longest_unheard_s(recipe.front_end, recipe.window_frames)
    manifest = Manifest(
        name=recipe.name,
        description=recipe.description,
        front_end=recipe.front_end,
        window_frames=recipe.window_frames,
        inputs=model_inputs(trained, flatbuffer.tensors),
        classes=tuple(ClassRule(label, on=0.5, off=0.3, hangover_s=unheard_s) for label in trained.labels),
        provenance=Provenance(
            recipe=recipe.name,
            dataset=", ".join((recipe.data.dataset, *recipe.data.also)),
            licence=recipe.data.licence if options.licence is None else options.licence,
            train_folds=recipe.data.train_folds,
            validation_folds=recipe.data.validation_folds,
            background=options.background,
            teachers=trained.teachers,
            seed=recipe.schedule.seed,
            epochs=recipe.schedule.epochs,
            parameters=parameters,
        ),
        scores_tensor=flatbuffer.scores,
        embedding=flatbuffer.embedding,
    )
    # It refuses what the listener would refuse.
    classifier = Classifier(Model(path, flatbuffer.content, manifest))
    # What is int8 and needs nothing else of format 2 stays readable for version 0.1.0.
    if classifier.arithmetic != "int8" or manifest.format > 1:
        manifest = dataclasses.replace(manifest, arithmetic=classifier.arithmetic)
    write_whole(path, add_manifest(flatbuffer.content, manifest))


def some_windows(examples: Examples, recipe: Recipe, wanted: int) -> list[Inputs]:
    """Training examples, one array of shape (frames, columns, channels) for each input.

    They are those of an epoch that was not learnt from; small datasets give theirs more than once.

    Raises:
        ExportError: there are none.
    """
    windows: list[Inputs] = []
    for epoch in count(recipe.schedule.epochs):
        before = len(windows)
        for inputs, _ in examples.epoch(epoch):
            windows += [tuple(np.asarray(a, np.float32) for a in one) for one in zip(*inputs, strict=True)]
            if len(windows) >= wanted:
                return windows[:wanted]
        if len(windows) == before:
            break
    raise ExportError("the data gives no training example to take ranges from")


def converted(trained: TrainedNetwork, kind: Kind, windows: Sequence[Inputs]) -> tuple[Flatbuffer, int]:
    """The flatbuffer of a trained network and its number of parameters.

    Only the backend tensorflow converts. A process that runs another one, perhaps because it has just
    trained, leaves the work to a process of its own.
    """
    if imported_keras().config.backend() == "tensorflow":
        return _converted(trained, kind, windows)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_converted, trained, kind, windows).result()


def _converted(trained: TrainedNetwork, kind: Kind, windows: Sequence[Inputs]) -> tuple[Flatbuffer, int]:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # counts in a new process only, before Keras is imported
    network = trained.load()
    return convert(network, kind, windows), network.count_params()


def imported_keras() -> Any:
    """The module, without what TensorFlow says when it is loaded."""
    with quiet_native_code():
        import keras
    return keras


def model_inputs(trained: TrainedNetwork, tensors: Sequence[str]) -> tuple[ModelInput, ...]:
    """What each input tensor takes, with the normalisation of its columns.

    Args:
        tensors: names of the tensors in the file, in the order of the recipe's inputs.
    """
    spec = trained.recipe.front_end
    return tuple(
        ModelInput(
            tensor,
            names,
            tuple(value for name in names for value in trained.mean[spec.columns(name)]),
            tuple(value for name in names for value in trained.std[spec.columns(name)]),
        )
        for tensor, names in zip(tensors, trained.recipe.input_features, strict=True)
    )


def finish(
    trained: TrainedNetwork,
    sources: Sources,
    out: Path,
    kind: Kind,
    choices: Choices,
    licence: str | None = None,
) -> None:
    """Write the model of a finished training to `out`, calibrated and with measured figures.

    Without validation folds the thresholds and times that a manifest has by default stay.

    Args:
        trained: the network.
        sources: the training data again.
        choices: how it is calibrated on the validation folds.
        licence: terms of the training data, if other than the recipe's.

    Raises:
        ExportError: the network or the file cannot be written.
    """
    refuse_unwritable(out)
    recipe = trained.recipe
    material = read_material(recipe, sources)
    examples = load_examples(recipe, material, sources)
    with tempfile.TemporaryDirectory() as folder:
        path, original = Path(folder) / "model.tflite", Path(folder) / "float32.tflite"
        background = described_background(examples.backgrounds, recipe.front_end.sample_rate_hz)
        export(trained, examples, path, ExportOptions(kind, background, licence))
        manifest = load_model(path).manifest
        dataset = recipe.data.dataset
        validation = tuple(clip for clip in material.validation if clip.label in manifest.labels)
        if validation:
            quiet = material.background_held_out or material.background
            if not examples.backgrounds:
                quiet = (*material.background, *material.background_held_out)
            elif not material.background_held_out:
                print("all background was learnt from: expect more false alarms elsewhere than are told here")
            found = calibrate(
                path,
                [Examiner(path, validation, quiet)],
                (dataset, sources.folder(dataset)),
                choices,
            )
            print("\n".join(found.lines))
            manifest = found.manifest
        else:
            print("no validation folds in the recipe: thresholds and times stay at their defaults")
            if limits := caveats(manifest.labels, bool(examples.backgrounds), False):
                manifest = dataclasses.replace(manifest, measured={CAVEATS: list(limits)})
        replace_manifest(path, manifest)
        if kind != "float32":
            export(trained, examples, original, ExportOptions("float32"))
            replace_manifest(original, of_file(manifest, load_model(original).manifest))
        sampled = examples.clips[:: max(1, -(-len(examples.clips) // SAMPLED_CLIPS))]
        measured = manifest.measured | figures(recipe, path, original, kind, validation, sampled)
        replace_manifest(path, dataclasses.replace(manifest, measured=measured))
        write_whole(out, path.read_bytes())
    warn(measured.get(CAVEATS, ()))
    size_kb = out.stat().st_size / 1000
    print(f"{out}: {size_kb:,.0f} kB, {manifest.provenance.parameters:,} parameters, {kind}")


def of_file(manifest: Manifest, file: Manifest) -> Manifest:
    """A manifest with what another one says about tensors, for the file of another kind."""
    return dataclasses.replace(
        manifest,
        inputs=file.inputs,
        scores_tensor=file.scores_tensor,
        embedding=file.embedding,
        arithmetic=file.arithmetic,
    )


def described_background(backgrounds: Sequence[Background], rate_hz: int) -> str:
    """Background that was trained with, in words for the manifest."""
    lengths_s = []
    for item in backgrounds:
        with suppress(SourceError):
            lengths_s.append(len(read_mono(item.path, rate_hz)) / rate_hz)
    return f"{len(lengths_s)} recordings, {sum(lengths_s) / 60:.0f} minutes" if lengths_s else ""


def figures(
    recipe: Recipe,
    path: Path,
    original: Path,
    kind: Kind,
    validation: Sequence[Clip],
    training: Sequence[Clip],
) -> dict[str, Any]:
    """Accuracy on the validation folds, and what the conversion from `original` has changed.

    Prints a line for each. Without validation folds the change is measured on training clips. The accuracy
    of a model with one label is left out.
    """
    measured: dict[str, Any] = {}
    title = f"{recipe.data.dataset}, training clips"
    model = load_model(path)
    if validation:
        folds = ", ".join(map(str, recipe.data.validation_folds))
        title = f"{recipe.data.dataset}, fold {folds} (validation)"
    if validation and len(model.labels) > 1:
        heard = evaluate(model, validation)
        measured[f"{title}, {kind}, streaming"] = {
            "clip_accuracy": round(heard.clip_accuracy, 4),
            "window_accuracy": round(heard.window_accuracy, 4),
            "ece": round(heard.ece, 4),
            "clips": heard.clips,
        }
        print(
            f"{title}, {kind}, streaming: {100 * heard.clip_accuracy:.1f} % of {heard.clips} clips and "
            f"{100 * heard.window_accuracy:.1f} % of windows right, calibration error {heard.ece:.3f}"
        )
    if kind != "float32":
        parity = compare_models(original, path, validation or training)
        measured[f"{title}, float32 to {kind}"] = parity.table()
        print(f"{title}, float32 to {kind}: {parity.line()}")
    return measured


def refuse_unwritable(path: Path) -> None:
    """Say before the work that a file cannot be written, not after it.

    Raises:
        ExportError: it cannot.
    """
    if path.is_dir():
        raise ExportError(f"cannot write {path}: it is a folder; name a file inside it")
    probe = beside(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, then rename: a file that was there is replaced whole or not at all.

    Raises:
        ExportError: it cannot be written; nothing is left of the attempt.
    """
    new = beside(path)
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        kept = "; the file before is kept" if path.exists() else ""
        raise ExportError(f"cannot write {path}: {error.strerror}{kept}") from error


def beside(path: Path) -> Path:
    """Where a file is written until it is complete."""
    return path.with_name(f"{path.name}.new")
