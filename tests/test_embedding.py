"""Networks with a second output, and networks that compute in floating point."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import toys
from signals import blocks_of, scene

from streamer.classifier import Classifier
from streamer.errors import ModelError
from streamer.frontend.spec import FrontEndSpec
from streamer.manifest import (
    Arithmetic,
    ClassRule,
    Embedding,
    Manifest,
    ModelInput,
    Provenance,
    add_manifest,
)
from streamer.model import Model, describe_models, load_model
from streamer.scorer import Scorer
from streamer.types import Block, FloatArray
from trainer.calibration.calibrate import Choices
from trainer.calibration.thresholds import Budget
from trainer.errors import ExportError
from trainer.examples.inputs import Inputs
from trainer.examples.load import load_examples, read_material
from trainer.exporting.export import finish, read_trained
from trainer.exporting.quantise import compare, convert, with_embedding
from trainer.exporting.unroll import unrolled
from trainer.networks import NETWORKS, InputShape, build_network
from trainer.training.fit import write_training

pytestmark = [
    # Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
    # Keras reads variables of TensorFlow, which numpy finds old-fashioned.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SPEC = FrontEndSpec(sample_rate_hz=8_000, fft_samples=256, hop_samples=160, mel_bands=16, fmax_hz=4_000.0)
FRAMES = 48
LABELS = ("beep", "hiss", "sweep")
SIZE = 48
MEAN, STD = -10.0, 20.0
KINDS: tuple[Arithmetic, ...] = get_args(Arithmetic)
AT_MOST: dict[Arithmetic, float] = {"int8": 0.05, "dynamic": 0.01, "float32": 1e-5}
"""Difference to the Keras network: of probabilities, and of embeddings in parts of the largest value."""

each_kind = pytest.mark.parametrize("kind", KINDS)


def network_of(shapes: tuple[InputShape, ...], labels: int, outputs: str) -> Any:
    """A small network with an embedding, with the arguments that recipes give."""
    import keras
    from keras import layers

    inputs = keras.Input(shapes[0].dimensions, name="log_mel")
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(inputs)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(SIZE, activation="relu", name="embedding")(x)
    x = layers.Dense(labels, activation=outputs)(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def network() -> Any:
    """With weights that make it look at its input."""
    toys.training_is_possible()
    import keras

    keras.utils.set_random_seed(5)
    built = network_of((InputShape(FRAMES, SPEC.mel_bands),), len(LABELS), "sigmoid")
    kernel, bias = built.layers[-1].get_weights()
    built.layers[-1].set_weights([16 * kernel, bias - 0.5])
    return built


def windows(count: int = 40) -> list[Inputs]:
    """Normalised windows, as the network takes them."""
    random = np.random.default_rng(1)
    values = random.standard_normal((count, FRAMES, SPEC.mel_bands, 1)) + random.uniform(
        -1, 1, (count, 1, 1, 1)
    )
    return [(window,) for window in values.astype(np.float32)]


@pytest.fixture(scope="module")
def model_of(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Arithmetic], Model]:
    """The network as a model of a kind, from its file."""
    folder = tmp_path_factory.mktemp("models")

    def model(kind: Arithmetic) -> Model:
        path = folder / f"{kind}.tflite"
        if not path.exists():
            flatbuffer = convert(network, kind, windows())
            bands = SPEC.mel_bands
            inputs = ModelInput(flatbuffer.tensors[0], ("log_mel",), (MEAN,) * bands, (STD,) * bands)
            manifest = Manifest(
                name=kind,
                description="noises",
                front_end=SPEC,
                window_frames=FRAMES,
                inputs=(inputs,),
                classes=tuple(ClassRule(label, on=0.5, off=0.3) for label in LABELS),
                provenance=Provenance("toy", "toy", "synthetic"),
                scores_tensor=flatbuffer.scores,
                embedding=flatbuffer.embedding,
                arithmetic=kind,
            )
            path.write_bytes(add_manifest(flatbuffer.content, manifest))
        return load_model(path)

    return model


def changed(model: Model, **changes: Any) -> Model:
    return dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, **changes))


@each_kind
def test_scores_and_embedding_are_those_of_the_network(
    network: Any, model_of: Callable[[Arithmetic], Model], kind: Arithmetic
) -> None:
    model = model_of(kind)
    assert model.manifest.embedding is not None
    assert model.manifest.embedding.size == SIZE
    classifier = Classifier(model)
    assert classifier.arithmetic == kind
    inputs = np.stack([window[0] for window in windows()])
    scores, embeddings = (np.asarray(said) for said in with_embedding(network)(inputs))
    assert np.ptp(scores, axis=0).max() > 0.3, "the network does not look at its input"
    heard, known = [], []
    for window in inputs[..., 0]:
        heard.append(classifier.classify(window * np.float32(STD) + np.float32(MEAN)))
        known.append(classifier.embedding())
    assert {part.shape for part in heard} == {(len(LABELS),)}
    assert {(part.shape, part.dtype.name) for part in known} == {((SIZE,), "float32")}
    np.testing.assert_allclose(heard, scores, rtol=0, atol=AT_MOST[kind])
    np.testing.assert_allclose(known, embeddings, rtol=0, atol=AT_MOST[kind] * embeddings.max())


@each_kind
def test_any_chunking_gives_the_same(model_of: Callable[[Arithmetic], Model], kind: Arithmetic) -> None:
    model, signal = model_of(kind), scene(SPEC.sample_rate_hz)

    def said(blocks: list[Block]) -> list[bytes | tuple[bytes, bytes] | None]:
        """Probabilities and embedding of each window."""
        classifier = Classifier(model)
        scorer, parts = Scorer(classifier), []
        for block in blocks:
            for score in scorer.push(block)[1]:
                heard = score.probabilities
                parts.append(None if heard is None else (heard.tobytes(), classifier.embedding().tobytes()))
        return parts

    again = Classifier(model)
    offline: list[tuple[bytes, bytes] | None] = []
    for score in Scorer(Classifier(model)).push(Block(0, signal))[1]:
        if score.probabilities is None:
            offline.append(None)
            continue
        heard = again.classify(score.window.values)
        assert heard.tobytes() == score.probabilities.tobytes()
        offline.append((heard.tobytes(), again.embedding().tobytes()))
    assert len(set(offline)) > 10
    assert None in offline
    for sizes in ([37], [512], [1, 3_000, 0, 999]):
        assert said(blocks_of(signal, sizes)) == offline


@each_kind
def test_an_embedding_is_kept_and_changes_nothing(
    model_of: Callable[[Arithmetic], Model], kind: Arithmetic
) -> None:
    first, second = (window[0][..., 0] * np.float32(STD) for window in windows(2))
    alone, classifier = Classifier(model_of(kind)), Classifier(model_of(kind))
    classifier.classify(first)
    embedding = classifier.embedding()
    kept = embedding.copy()
    assert embedding.tobytes() == classifier.embedding().tobytes()
    alone.classify(first)
    assert classifier.classify(second).tobytes() == alone.classify(second).tobytes()
    assert embedding.tobytes() == kept.tobytes() != classifier.embedding().tobytes()


def test_an_embedding_that_there_is_not(model_of: Callable[[Arithmetic], Model]) -> None:
    with pytest.raises(ModelError, match="the model dynamic has heard no window"):
        Classifier(model_of("dynamic")).embedding()
    with pytest.raises(ModelError, match="the model esc50 gives no embedding"):
        Classifier(load_model()).embedding()


def test_outputs_by_name(model_of: Callable[[Arithmetic], Model]) -> None:
    model = model_of("dynamic")
    manifest, embedding = model.manifest, model.manifest.embedding
    assert embedding is not None
    window = windows(1)[0][0][..., 0] * np.float32(STD)
    expected = Classifier(model).classify(window).tobytes()
    assert Classifier(changed(model, scores_tensor="")).classify(window).tobytes() == expected
    assert Classifier(changed(model, embedding=None)).classify(window).tobytes() == expected
    swapped = {"scores_tensor": embedding.tensor, "embedding": Embedding(manifest.scores_tensor, len(LABELS))}
    refused: list[tuple[dict[str, Any], str]] = [
        (swapped, r"the network gives \(1, 48\), not one row of 3 labels"),
        ({"scores_tensor": "", "embedding": None}, r"gives \(1, \d+\), \(1, \d+\), not one row of 3 labels"),
        ({"embedding": Embedding(embedding.tensor, 47)}, r"has the shape \(1, 48\), not \(1, 47\)"),
        ({"embedding": Embedding("nothing", 48)}, "the outputs of the network are Stateful.*, Stateful"),
        ({"arithmetic": "int8"}, "its arithmetic is dynamic, not int8"),
    ]
    for changes, message in refused:
        with pytest.raises(ModelError, match=message):
            Classifier(changed(model, **changes))


def test_models_are_listed_with_how_they_compute(
    model_of: Callable[[Arithmetic], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [model_of(kind).path for kind in KINDS]
    silent = paths[0].with_name("silent.tflite")
    content = model_of("dynamic").content
    silent.write_bytes(
        add_manifest(content, changed(model_of("dynamic"), name="silent", arithmetic="").manifest)
    )
    monkeypatch.setattr("streamer.model.shipped_models", lambda: [*paths, silent])
    lines = describe_models().splitlines()[1:]
    assert [line.split()[:1] + line.split()[3:4] for line in lines] == [
        *([kind, kind] for kind in KINDS),
        ["silent", "dynamic"],
    ]


# Export


def test_an_unrolled_network_has_the_same_embedding_and_must() -> None:
    toys.training_is_possible()
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    inputs = keras.Input((5, 3), name="frames")
    x = layers.GRU(4)(inputs)
    x = layers.Rescaling(1_000.0, name="embedding")(x)
    network = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    random = np.random.default_rng(3)
    few: list[Inputs] = [(window,) for window in random.standard_normal((4, 5, 3)).astype(np.float32)]
    flatbuffer = convert(network, "float32", few)
    assert flatbuffer.embedding is not None
    assert flatbuffer.embedding.size == 4
    both = with_embedding(network)
    loopless = unrolled(both)
    compare(both, loopless, few)
    other = keras.Model(loopless.input, [loopless.outputs[0], loopless.outputs[1] * 1.0001])
    with pytest.raises(ExportError, match=r"differs from the trained one by 0\.0001"):
        compare(both, other, few)


def test_a_trained_network_with_an_embedding_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.training_is_possible()
    monkeypatch.setitem(NETWORKS, "toy", network_of)
    recipe = toys.recipe(
        tmp_path, toys.CROPS, {"network": "toy", "options": {}, "front_end.mel_bands": SPEC.mel_bands}
    )
    sources = toys.sources(toys.write_esc50(tmp_path / "data", clips_per_fold=4))
    examples = load_examples(recipe, read_material(recipe, sources), sources)
    run, out = tmp_path / "run", tmp_path / "toy.tflite"
    run.mkdir()
    network = build_network(
        recipe.network, recipe.input_shapes, len(examples.labels), recipe.outputs, recipe.options
    )
    network.save(run / "network.keras")
    write_training(run, recipe, examples)
    finish(read_trained(run), sources, out, "int8", Choices(Budget(60.0, 0.2), method="none"))
    manifest = load_model(out).manifest
    assert (manifest.format, manifest.arithmetic) == (2, "int8")
    assert manifest.embedding is not None
    assert manifest.embedding.size == SIZE
    assert [key for key in manifest.measured if key.endswith("float32 to int8")]
    classifier = Classifier(load_model(out))
    window: FloatArray = np.zeros((recipe.window_frames, SPEC.mel_bands), np.float32)
    assert classifier.classify(window).shape == (len(LABELS),)
    assert classifier.embedding().shape == (SIZE,)
