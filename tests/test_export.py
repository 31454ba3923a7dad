"""Trained networks as files: what every network becomes, what is refused, what a conversion costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import toys
from disks import fill, small_disk, unwritable_folder
from signals import same_bits

from streamer.classifier import Classifier
from streamer.errors import ModelError
from streamer.listen import listen
from streamer.manifest import Manifest, replace_manifest
from streamer.model import Model, load_model
from streamer.types import FloatArray
from trainer.calibration.calibrate import Choices
from trainer.calibration.thresholds import Budget
from trainer.errors import ExportError
from trainer.examples.inputs import Inputs
from trainer.examples.load import Examples, Sources, load_examples, read_material
from trainer.exporting.export import (
    CALIBRATION_WINDOWS,
    ExportOptions,
    TrainedNetwork,
    converted,
    export,
    finish,
    model_inputs,
    read_trained,
    refuse_unwritable,
    some_windows,
    write_whole,
)
from trainer.exporting.parity import compare_scores
from trainer.exporting.quantise import Kind, check, compare, convert, input_tensors, to_tflite
from trainer.exporting.unroll import unrolled
from trainer.networks import build_network
from trainer.recipe import Recipe, read_recipe
from trainer.training.fit import fit, write_training

pytestmark = [
    # Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
    # Keras reads variables of TensorFlow, which numpy finds old-fashioned.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def with_tensorflow() -> None:
    toys.training_is_possible()


ONE_INPUT: dict[str, Any] = {"front_end.features": ["log_mel", "log_mel_delta"]}
TWO_INPUTS: dict[str, Any] = {
    "front_end.features": ["mfcc", "log_mel", "log_mel_delta"],
    "front_end.mfcc": 8,
    "inputs": [["log_mel", "log_mel_delta"], ["mfcc"]],
    "window_frames": 12,
}
"""The file's inputs are in another order than the features of a frame."""

MANIFEST_BYTES = 4_000
"""That of the shipped model, packed, has 1,600; figures that were measured make it longer."""

NETWORKS: dict[str, dict[str, Any]] = {
    "multibranch-slim": {"network": "multibranch", "options": {"size": "slim", "units": 8}, **TWO_INPUTS},
    "multibranch-full": {
        "network": "multibranch",
        "options": {"size": "full", "units": 4, "dense": 8},
        **TWO_INPUTS,
    },
    "multilabel": {
        "network": "multilabel",
        "options": {"filters": 8, "dense": 32},
        "outputs": "sigmoid",
        **ONE_INPUT,
    },
    "piczak": {"network": "piczak", "options": {"filters": 8, "dense": 32}, **ONE_INPUT},
    "recurrent": {
        "network": "recurrent",
        "options": {"filters": 8, "units": 8, "dense": 16, "bidirectional": False},
        **ONE_INPUT,
    },
    "residual": {
        "network": "residual",
        "options": {"size": "tiny"},
        "outputs": "sigmoid",
        "front_end.features": ["log_mel"],
    },
}


@dataclass(frozen=True)
class Bench:
    """Recordings, and a folder to work in."""

    folder: Path
    sources: Sources

    def recipe(self, **changes: Any) -> Recipe:
        """The recipe of segments with some changes."""
        return toys.recipe(self.folder, toys.SEGMENTS, {"window_frames": 24, "copies": [], **changes})

    def examples(self, recipe: Recipe) -> Examples:
        return load_examples(recipe, read_material(recipe, self.sources), self.sources)

    def untrained(self, name: str) -> tuple[TrainedNetwork, Examples]:
        """A folder as `fit` leaves it, with the weights that a network begins with."""
        import keras

        recipe = self.recipe(**NETWORKS[name])
        examples = self.examples(recipe)
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            keras.utils.set_random_seed(1)
            network = build_network(
                recipe.network, recipe.input_shapes, len(examples.labels), recipe.outputs, recipe.options
            )
            # As long as biases are zero, whoever mixes them up is not found out.
            random = np.random.default_rng(1)
            for weights in network.weights:
                if weights.name == "bias":
                    weights.assign(0.1 * random.standard_normal(weights.shape))
            network.save(folder / "network.keras")
            write_training(folder, recipe, examples)
        return read_trained(folder), examples


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    toys.training_is_possible()
    folder = tmp_path_factory.mktemp("bench")
    data = toys.write_esc50(folder / "data", clips_per_fold=4)
    background = toys.write_background(folder / "background")
    return Bench(folder, toys.sources(data, background))


def differences(trained: TrainedNetwork, examples: Examples, path: Path) -> FloatArray:
    """Between the Keras network and the file as the listener feeds it, for some training windows.

    The listener takes features as they are and knows only the manifest.
    """
    classifier, recipe = Classifier(load_model(path)), trained.recipe
    spec = recipe.front_end
    windows = some_windows(examples, recipe, 30)
    heard = []
    for window in windows:
        features = np.zeros((recipe.window_frames, spec.frame_columns), np.float32)
        for names, array in zip(recipe.input_features, window, strict=True):
            for channel, name in enumerate(names):
                features[:, spec.columns(name)] = array[..., channel]
        features = features * np.array(trained.std) + np.array(trained.mean)
        heard.append(classifier.classify(features.astype(np.float32)))
    whole = [np.stack(arrays) for arrays in zip(*windows, strict=True)]
    truth = np.asarray(trained.load()(whole if len(whole) > 1 else whole[0]))
    assert np.ptp(truth, axis=0).max() > 5e-3, "the network does not look at its input"
    gaps: FloatArray = np.abs(np.array(heard) - truth)
    return gaps


# Every network as every kind


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "multibranch-full"])
def test_every_network_becomes_int8(bench: Bench, tmp_path: Path, name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    trained, examples = bench.untrained(name)
    path = tmp_path / "int8.tflite"
    export(trained, examples, path)
    assert differences(trained, examples, path).max() < 0.03
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    assert {end["dtype"] for end in ends} == {np.int8}
    tensors = interpreter.get_tensor_details()
    assert {tensor["dtype"] for tensor in tensors} == {np.int8, np.int32}
    assert max(len(tensor["quantization_parameters"]["scales"]) for tensor in tensors) >= 8, "not per channel"
    manifest = load_model(path).manifest
    assert (manifest.format, manifest.arithmetic) == (1, ""), "version 0.1.0 could not read it"


@pytest.mark.parametrize(("name", "at_most"), [("tiny", 100_000), ("base", 1_000_000)])
def test_with_fifty_labels_the_file_is_small(name: str, at_most: int) -> None:
    recipe = read_recipe(name)
    network = build_network(recipe.network, recipe.input_shapes, 50, recipe.outputs, recipe.options)
    random = np.random.default_rng(1)
    windows = [
        tuple(random.normal(size=shape.dimensions).astype(np.float32) for shape in recipe.input_shapes)
        for _ in range(4)
    ]
    assert len(convert(network, "int8", windows).content) < at_most - MANIFEST_BYTES


def test_the_other_kinds_keep_float_activations(bench: Bench, tmp_path: Path) -> None:
    trained, examples = bench.untrained("multibranch-full")
    sizes = {}
    for kind, allowed in (("float32", 1e-5), ("dynamic", 0.01)):
        path = tmp_path / f"{kind}.tflite"
        export(trained, examples, path, ExportOptions(kind))  # type: ignore[arg-type]
        assert differences(trained, examples, path).max() < allowed
        sizes[kind] = path.stat().st_size
        assert (load_model(path).manifest.format, load_model(path).manifest.arithmetic) == (2, kind)
    assert sizes["dynamic"] < 0.5 * sizes["float32"]
    model = load_model(path)
    swapped = model_inputs(trained, [item.tensor for item in model.manifest.inputs][::-1])
    manifest = dataclasses.replace(model.manifest, inputs=swapped)
    with pytest.raises(ModelError, match="has the shape"):
        Classifier(Model(path, model.content, manifest))


def test_the_manifest_tells_two_inputs_of_one_shape_apart() -> None:
    import keras

    # In the order of the alphabet they would be swapped.
    first, second = keras.Input((4, 3, 1), name="b"), keras.Input((4, 3, 1), name="a")
    outputs = keras.layers.Flatten()(keras.layers.Subtract()([first, second]))
    windows = [tuple(np.full((4, 3, 1), value, np.float32) for value in (2.0, 0.5))]
    flatbuffer = convert(keras.Model([first, second], outputs), "float32", windows)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=flatbuffer.content, num_threads=1)
    interpreter.allocate_tensors()
    index = {details["name"]: details["index"] for details in interpreter.get_input_details()}
    for tensor, array in zip(flatbuffer.tensors, windows[0], strict=True):
        interpreter.set_tensor(index[tensor], array[np.newaxis])
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).max() == 1.5


def test_ranges_come_from_hundreds_of_real_windows(bench: Bench) -> None:
    recipe = bench.recipe(**NETWORKS["multibranch-slim"])
    windows = some_windows(bench.examples(recipe), recipe, CALIBRATION_WINDOWS)
    assert len(windows) == CALIBRATION_WINDOWS >= 300
    assert {tuple(array.shape for array in window) for window in windows} == {((12, 24, 2), (12, 8, 1))}
    assert len({window[0].tobytes() for window in windows}) > 50


# What is refused


@pytest.fixture(scope="module")
def recurrent() -> Any:
    """A small network with a GRU."""
    import keras

    keras.utils.set_random_seed(2)
    inputs = keras.Input((5, 3), name="frames")
    x = keras.layers.Bidirectional(keras.layers.GRU(4))(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


WINDOWS: list[Inputs] = [
    (values.astype(np.float32),) for values in np.random.default_rng(1).standard_normal((9, 5, 3))
]


def test_a_loop_is_refused(recurrent: Any) -> None:
    rolled_up = to_tflite(recurrent, "float32", WINDOWS)
    with pytest.raises(ExportError, match="the operator WHILE is left"):
        check(rolled_up, "float32")


@pytest.fixture(scope="module")
def in_float() -> bytes:
    """A file of one layer that computes in floating point."""
    import keras

    inputs = keras.Input((5, 3), name="frames")
    network = keras.Model(inputs, keras.layers.Dense(2, activation="sigmoid")(inputs))
    return to_tflite(network, "dynamic", WINDOWS)


def test_an_operator_in_floating_point_is_refused_and_named(in_float: bytes) -> None:
    check(in_float, "dynamic")
    with pytest.raises(ExportError, match=r"the operator FULLY_CONNECTED .* still computes in float"):
        check(in_float, "int8")


def test_an_operator_that_int8_lacks_is_refused() -> None:
    import keras

    inputs = keras.Input((5, 3), name="frames")
    network = keras.Model(inputs, keras.ops.cos(keras.layers.Dense(2)(inputs)))
    with pytest.raises(ExportError, match=r"the operator COS .* still computes in float") as caught:
        convert(network, "int8", WINDOWS)
    assert "\n" not in str(caught.value)


def test_an_operator_that_is_not_litert_s_own_is_refused_and_named() -> None:
    import tensorflow as tf

    function = tf.function(tf.math.atan, input_signature=[tf.TensorSpec((1, 3), name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    with pytest.raises(ExportError, match="the operator FlexAtan is none of LiteRT's own"):
        check(converter.convert(), "float32")


def test_recurrent_layers_that_cannot_be_unrolled_are_refused() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((5, 3), name="frames")
    for layer, reason in (
        (layers.LSTM(4), "LSTM is unknown"),
        (layers.GRU(4, reset_after=False), "reset_after must be True"),
        (layers.GRU(4, return_sequences=True), "return_sequences must be False"),
        (layers.Bidirectional(layers.GRU(4), merge_mode="sum"), "merge_mode must be 'concat'"),
    ):
        with pytest.raises(ExportError, match=reason):
            unrolled(keras.Model(inputs, layer(inputs)))


def test_an_unrolled_network_says_the_same_and_must(recurrent: Any) -> None:
    weights = recurrent.get_weights()
    random = np.random.default_rng(3)
    recurrent.set_weights([random.standard_normal(array.shape) for array in weights])
    loopless = unrolled(recurrent)
    compare(recurrent, loopless, WINDOWS)
    recurrent.set_weights([array * 1.001 for array in recurrent.get_weights()])
    with pytest.raises(ExportError, match=r"differs from the trained one by 0\.0"):
        compare(recurrent, loopless, WINDOWS)


def test_a_file_with_other_inputs_is_refused(in_float: bytes) -> None:
    assert len(input_tensors(in_float, ["frames"])) == 1
    with pytest.raises(ExportError, match="the inputs of the file are frames, those of the network mfcc"):
        input_tensors(in_float, ["mfcc"])


def test_data_with_other_labels_is_refused(bench: Bench, tmp_path: Path) -> None:
    trained, examples = bench.untrained("piczak")
    other = dataclasses.replace(trained, labels=("beep", "hiss", "whistle"))
    with pytest.raises(ExportError, match="was trained on other labels than the data has now"):
        export(other, examples, tmp_path / "model.tflite")


def test_a_damaged_training_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no finished training; run esc-train fit first"):
        read_trained(tmp_path)
    trained, _ = bench.untrained("piczak")
    for name in ("network.keras", "training.json"):
        (tmp_path / name).write_bytes((trained.folder / name).read_bytes())
    recipe = dataclasses.replace(trained.recipe, options={"filters": 9, "dense": 32})
    for damaged in (
        dataclasses.replace(trained, recipe=recipe),
        dataclasses.replace(trained, folder=tmp_path),
    ):
        (tmp_path / "network.keras").write_bytes(b"nothing")
        with pytest.raises(ExportError, match="does not hold the weights of the recipe"):
            damaged.load()
    (tmp_path / "training.json").write_text('{"recipe": {}}')
    with pytest.raises(ExportError, match=r"training\.json is damaged"):
        read_trained(tmp_path)


# Parity


def test_parity_of_a_constructed_case() -> None:
    def clip(*windows: tuple[float, float]) -> FloatArray:
        return np.array(windows, np.float32).reshape(-1, 2)

    parity = compare_scores(
        [clip((0.9, 0.1), (0.6, 0.4)), clip((0.8, 0.2)), clip(), None],
        [clip((0.8, 0.1), (0.3, 0.4)), clip((0.2, 0.3)), clip(), None],
        [0, 0, 1, 1],
    )
    assert (parity.clips, parity.windows) == (3, 3)
    assert parity.float_accuracy == pytest.approx(2 / 3)  # a silent clip is never right
    assert parity.accuracy == pytest.approx(1 / 3)
    assert parity.same_clips == pytest.approx(1 / 2)
    assert parity.same_windows == pytest.approx(1 / 3)
    assert parity.largest_change == pytest.approx(0.6)
    assert parity.mean_change == pytest.approx((0.1 + 0.0 + 0.3 + 0.0 + 0.6 + 0.1) / 6)
    assert parity.table()["same_label_clips"] == 0.5
    assert "66.7 % -> 33.3 % of 3 clips right" in parity.line()


def test_parity_needs_something_to_hear_and_the_same_windows() -> None:
    with pytest.raises(ExportError, match="there is no clip"):
        compare_scores([None], [None], [0])
    one, two = np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match="other windows"):
        compare_scores([one], [two], [0])


# A whole training


@dataclass(frozen=True)
class Finished:
    """A training that was finished as int8."""

    trained: TrainedNetwork
    path: Path
    output: str


@pytest.fixture(scope="module")
def finished(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    recipe = bench.recipe(
        **NETWORKS["recurrent"],
        **{
            "options.bidirectional": True,
            "options.dropout": 0.0,
            "segments.peak_normalise": False,
            "schedule.epochs": 8,
            "schedule.optimizer": "adam",
            "schedule.learning_rate": 5e-3,
            "schedule.precision": "mixed_bfloat16",
        },
    )
    fit(recipe, bench.sources, folder / "run")
    trained = read_trained(folder / "run")
    path = folder / "toy.tflite"
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text: lines.append(text))
        finish(trained, bench.sources, path, "int8", Choices(Budget(60.0, 0.2), method="none"))
    return Finished(trained, path, "\n".join(lines))


def test_a_network_trained_in_16_bits_is_loaded_in_32(finished: Finished) -> None:
    import keras

    trained = keras.models.load_model(finished.trained.folder / "network.keras", compile=False)
    assert {layer.dtype_policy.name for layer in trained.layers} >= {"mixed_bfloat16"}
    network = finished.trained.load()
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    assert same_bits(network.get_weights(), trained.get_weights())
    assert finished.trained.seconds() > 0.1


def test_int8_agrees_with_float_on_what_has_been_learnt(finished: Finished) -> None:
    measured = load_model(finished.path).manifest.measured
    assert list(measured) == [
        "calibration",
        "esc50, fold 3 (validation), int8, streaming",
        "esc50, fold 3 (validation), float32 to int8",
    ]
    _, heard, parity = measured.values()
    assert heard["clip_accuracy"] == parity["clip_accuracy"]
    assert parity["clip_accuracy_float"] > 0.8
    assert parity["same_label_clips"] > 0.9
    assert parity["same_label_windows"] > 0.9
    assert 0.0 < parity["mean_change"] < 0.02
    assert parity["mean_change"] < parity["largest_change"] < 0.3
    assert (parity["clips"], parity["windows"]) == (12, 12 * 3)


def test_what_has_been_measured_is_printed(finished: Finished) -> None:
    lines = finished.output.splitlines()
    assert [line.split(":")[0] for line in lines[-3:-1]] == list(load_model(finished.path).manifest.measured)[
        1:
    ]
    assert "of 12 clips right; same label for" in lines[-2]
    assert lines[-1].startswith(f"{finished.path}: ")
    assert lines[-1].endswith("parameters, int8")


def window_s(manifest: Manifest) -> float:
    return round(manifest.front_end.duration_s(manifest.window_frames), 2)


def test_thresholds_and_times_are_calibrated(finished: Finished) -> None:
    manifest = load_model(finished.path).manifest
    assert {rule.on for rule in manifest.classes} != {0.5}
    assert all(rule.off < rule.on < 1.0 for rule in manifest.classes)
    assert {rule.hangover_s for rule in manifest.classes} == {window_s(manifest)}
    assert manifest.measured["calibration"]["clips"] == 12
    assert (manifest.visible_onset_s, manifest.visible_offset_s) != (0.4, 0.4)
    assert manifest.provenance.background == ""  # segments learn nothing from it
    assert manifest.provenance.dataset == "esc50"
    assert manifest.provenance.parameters == finished.trained.load().count_params()


def test_the_listener_refuses_a_manifest_that_does_not_fit(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(finished.path.read_bytes())
    model = load_model(path)
    manifest = dataclasses.replace(model.manifest, classes=model.manifest.classes[1:])
    with pytest.raises(ModelError, match="not one row of 2 labels"):
        Classifier(Model(path, model.content, manifest))
    rule = dataclasses.replace(model.manifest.classes[0], on=1.0)
    manifest = dataclasses.replace(model.manifest, classes=(rule, *model.manifest.classes[1:]))
    replace_manifest(path, manifest)
    with pytest.raises(ModelError, match="can never fire"):
        Classifier(load_model(path))


def test_the_listener_hears_with_it(finished: Finished, tmp_path: Path) -> None:
    scene = np.concatenate([toys.hum(3.0), toys.sound("hiss", seed=99), toys.hum(3.0)])
    soundfile.write(tmp_path / "scene.wav", scene, toys.RATE_HZ)
    assert "hiss" in {event.label for event in listen(tmp_path / "scene.wav", finished.path)}


def test_without_validation_and_background_the_defaults_stay(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, _ = bench.untrained("piczak")
    data = dataclasses.replace(trained.recipe.data, validation_folds=())
    alone = dataclasses.replace(trained, recipe=dataclasses.replace(trained.recipe, data=data))
    path = tmp_path / "toy.tflite"
    finish(
        alone, dataclasses.replace(bench.sources, background=None), path, "dynamic", Choices(Budget(6.0, 0.1))
    )
    manifest = load_model(path).manifest
    assert {(rule.on, rule.off) for rule in manifest.classes} == {(0.5, 0.3)}
    assert {rule.hangover_s for rule in manifest.classes} == {window_s(manifest)}
    assert (manifest.visible_onset_s, manifest.visible_offset_s) == (0.4, 0.4)
    assert manifest.provenance.background == ""
    assert list(manifest.measured) == ["caveats", "esc50, training clips, float32 to dynamic"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "no validation folds in the recipe: thresholds and times stay at their defaults"


def test_another_backend_leaves_the_conversion_to_a_process_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    trained, examples = bench.untrained("piczak")
    windows, parameters = some_windows(examples, trained.recipe, 8), trained.load().count_params()
    # The other process would inherit a backend that cannot convert.
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    assert converted(trained, "dynamic", windows)[1] == parameters


# Disks


def test_a_full_disk_leaves_the_file_before(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder:
        path = folder / "model.tflite"
        path.write_bytes(b"the file before")
        fill(folder)
        with pytest.raises(ExportError, match="No space left on device; the file before is kept") as caught:
            write_whole(path, bytes(20_000))
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == b"the file before"
        assert {item.name for item in folder.iterdir()} == {"filler", "model.tflite"}


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "old.tflite").write_bytes(b"the file before")
    refuse_unwritable(tmp_path / "old.tflite")
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [
        ("old.tflite", b"the file before")
    ]
    with pytest.raises(ExportError, match="it is a folder; name a file inside it"):
        refuse_unwritable(tmp_path)
    with pytest.raises(ExportError, match=r"cannot write .*missing/m\.tflite: No such file or directory"):
        refuse_unwritable(tmp_path / "missing" / "m.tflite")
    with unwritable_folder(tmp_path) as folder, pytest.raises(ExportError, match=r"cannot write .*locked"):
        refuse_unwritable(folder / "m.tflite")


def test_kinds_are_known_to_the_command() -> None:
    from typing import get_args

    from trainer.cli import build_parser

    for kind in get_args(Kind):
        options = build_parser().parse_args(
            ["export", "DIR", "--data=esc50=DIR", "--out=m.tflite", f"--kind={kind}"]
        )
        assert options.kind == kind
