"""Every network by name: layers and sizes as published, options, outputs, and that each one learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import training_is_possible

from trainer.networks import NETWORKS, InputShape, NetworkError, build_network
from trainer.networks.residual import POOLINGS, pooled
from trainer.recipe import RECIPES, read_recipe
from trainer.training.checkpoint import Checkpoints, save

LONG, SHORT = InputShape(101, 60, 2), InputShape(41, 60, 2)
MFCC = InputShape(101, 13)
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.toml"))

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    training_is_possible()


@dataclass(frozen=True)
class Small:
    """A network in a size that is built in no time."""

    name: str
    shapes: tuple[InputShape, ...]
    options: dict[str, Any]

    def build(self, outputs: str, labels: int = 3) -> Any:
        return build_network(self.name, self.shapes, labels, outputs, self.options | {"dropout": 0.0})

    def some_inputs(self, count: int) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng(7)
        return tuple(
            random.normal(size=(count, *shape.dimensions)).astype(np.float32) for shape in self.shapes
        )


MEL = (InputShape(32, 12, 2),)
TWO = (InputShape(16, 12, 2), InputShape(16, 5))
FAMILIES = {
    "efficientat": Small("efficientat", (InputShape(64, 32),), {"width": 0.1, "hidden": 32}),
    "multibranch full": Small("multibranch", TWO, {"size": "full", "units": 4, "dense": 8}),
    "multibranch slim": Small("multibranch", TWO, {"size": "slim", "units": 4}),
    "multilabel": Small("multilabel", MEL, {"filters": 8, "dense": 32}),
    "piczak": Small("piczak", MEL, {"filters": 8, "dense": 32}),
    "recurrent": Small("recurrent", MEL, {"filters": 8, "units": 4, "dense": 32}),
    "recurrent, one way": Small("recurrent", MEL, {"filters": 8, "units": 4, "bidirectional": False}),
    "residual tiny": Small("residual", (InputShape(32, 12),), {"size": "tiny"}),
    "residual, own widths": Small("residual", (InputShape(32, 12),), {"widths": [4, 6]}),
}
every_family = pytest.mark.parametrize("small", FAMILIES.values(), ids=FAMILIES)


def trainable_parameters(network: Any) -> int:
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def outputs_of(network: Any, layer_type: str) -> list[tuple[int, ...]]:
    """Shapes, without the batch, of what the layers of a type give."""
    return [layer.output.shape[1:] for layer in network.layers if type(layer).__name__ == layer_type]


# Sizes


@pytest.fixture
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of zero: drawing millions of them takes seconds and a gigabyte."""
    import keras

    def zeros(self: Any, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        return keras.ops.zeros(shape, dtype)

    for name in ("GlorotUniform", "HeNormal", "Orthogonal"):
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", zeros)


def test_every_family_is_tried_here() -> None:
    assert {small.name for small in FAMILIES.values()} == set(NETWORKS)


@pytest.mark.usefixtures("_empty")
def test_multibranch_has_the_published_parameters() -> None:
    network = build_network("multibranch", (LONG, MFCC), 50, "softmax", {"size": "full"})
    assert trainable_parameters(network) == 58_799_474
    assert outputs_of(network, "MaxPooling2D") == [(60, 34, 80), (60, 12, 80)]
    assert outputs_of(network, "Flatten") == [(57_600,)]
    assert outputs_of(network, "Bidirectional") == [(64,)]
    assert outputs_of(network, "Dense") == [(1_000,), (1_000,), (50,)]


# (convolution, pooling) twice, then what the first dense layer sees; bands before frames.
LONG_LAYERS = [(4, 96, 80), (1, 32, 80), (1, 30, 80), (1, 10, 80), (800,)]
SHORT_LAYERS = [(4, 36, 80), (1, 12, 80), (1, 10, 80), (1, 3, 80), (240,)]


@pytest.mark.usefixtures("_empty")
@pytest.mark.parametrize("name", ["piczak", "multilabel"])
@pytest.mark.parametrize(
    ("shape", "layers"), [(LONG, LONG_LAYERS), (SHORT, SHORT_LAYERS)], ids=["long", "short"]
)
def test_the_layers_of_piczak_are_as_published(
    name: str, shape: InputShape, layers: list[tuple[int, ...]]
) -> None:
    network = build_network(name, (shape,), 10, "softmax", {})
    convolutions = [layer for layer in network.layers if type(layer).__name__ == "Conv2D"]
    pools = [layer for layer in network.layers if type(layer).__name__ == "MaxPooling2D"]
    assert [layer.kernel_size for layer in convolutions] == [(57, 6), (1, 3)]
    assert [layer.filters for layer in convolutions] == [80, 80]
    assert [(layer.pool_size, layer.strides) for layer in pools] == [((4, 3), (1, 3)), ((1, 3), (1, 3))]
    first, second = outputs_of(network, "Conv2D")
    pooled, pooled_again = outputs_of(network, "MaxPooling2D")
    assert [first, pooled, second, pooled_again, *outputs_of(network, "Flatten")] == layers
    assert outputs_of(network, "Dense") == [(5_000,), (5_000,), (10,)]
    dropped = [layer.rate for layer in network.layers if type(layer).__name__ == "Dropout"]
    assert dropped == [0.5, 0.5, 0.5]


def test_piczak_is_penalised_as_published_and_multilabel_is_normalised() -> None:
    penalised = build_network("piczak", MEL, 3, "softmax", {"filters": 8, "dense": 8})
    kernels = [layer for layer in penalised.layers if hasattr(layer, "kernel")]
    assert [round(float(layer.kernel_regularizer.l2), 6) for layer in kernels] == [1e-3] * 5
    assert not outputs_of(penalised, "BatchNormalization")
    normalised = build_network("multilabel", MEL, 3, "sigmoid", {"filters": 8, "dense": 8})
    assert len(outputs_of(normalised, "BatchNormalization")) == 2


@pytest.mark.usefixtures("_empty")
@pytest.mark.parametrize(
    ("recipe", "at_most"),
    [("tiny", 78_000), ("base", 950_000), ("esc50", 950_000), ("multibranch-slim", 1_500_000)],
)
def test_what_is_to_be_shipped_is_small(recipe: str, at_most: int) -> None:
    wanted = read_recipe(recipe)
    network = build_network(wanted.network, wanted.input_shapes, 50, wanted.outputs, wanted.options)
    assert trainable_parameters(network) < at_most


@pytest.mark.usefixtures("_empty")
@pytest.mark.parametrize("recipe", SHIPPED)
def test_every_recipe_builds_its_network(recipe: str) -> None:
    wanted = read_recipe(recipe)
    network = build_network(wanted.network, wanted.input_shapes, 4, wanted.outputs, wanted.options)
    shapes = [tensor.shape[1:] for tensor in network.inputs]
    assert shapes == [shape.dimensions for shape in wanted.input_shapes]
    assert network.output_shape == (None, 4)


# Outputs and learning


@every_family
@pytest.mark.parametrize("outputs", ["softmax", "sigmoid"])
def test_outputs_are_probabilities(small: Small, outputs: str) -> None:
    network = small.build(outputs)
    inputs = small.some_inputs(4)
    values = np.asarray(network(inputs if len(inputs) > 1 else inputs[0]))
    assert values.shape == (4, 3)
    assert ((values > 0.0) & (values < 1.0)).all()
    one_sound = np.allclose(values.sum(axis=1), 1.0, atol=1e-5)
    assert one_sound == (outputs == "softmax")
    assert network.layers[-1].name == "probabilities"


@every_family
def test_gradient_steps_lower_the_loss(small: Small) -> None:
    import keras

    keras.utils.set_random_seed(1)
    network = small.build("softmax")
    network.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy", run_eagerly=True)
    inputs = small.some_inputs(6)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    losses = [
        float(network.train_on_batch(inputs if len(inputs) > 1 else inputs[0], targets)) for _ in range(4)
    ]
    assert losses[-1] < 0.9 * losses[0]
    assert np.isfinite(losses).all()


@every_family
def test_a_checkpoint_holds_every_variable(tmp_path: Path, small: Small) -> None:
    import keras

    def state_of(network: Any) -> tuple[Any, ...]:
        network.compile(keras.optimizers.AdamW(), "mse")
        network.optimizer.build(network.trainable_variables)
        return (*network.weights, *network.optimizer.variables)

    random = np.random.default_rng(5)
    saved, other = small.build("sigmoid"), small.build("sigmoid")
    for variable in state_of(saved):
        variable.assign(random.integers(1, 100, variable.shape))
    save(saved, tmp_path / "checkpoint-00007.keras")
    restored = state_of(other)
    assert Checkpoints(tmp_path).restore(other) == 7
    random = np.random.default_rng(5)
    for variable in restored:
        wanted = random.integers(1, 100, variable.shape)
        assert (keras.ops.convert_to_numpy(variable) == wanted).all(), variable.path


# What can be asked for wrongly


@every_family
def test_an_unknown_option_is_refused(small: Small) -> None:
    with pytest.raises(NetworkError, match=rf"options\.depth: the network {small.name} knows only .*dropout"):
        build_network(small.name, small.shapes, 3, "softmax", {"depth": 9})


@every_family
def test_another_number_of_inputs_is_refused(small: Small) -> None:
    other = MEL if len(small.shapes) == 2 else TWO
    with pytest.raises(NetworkError, match=rf"{small.name} has (one|two) inputs?, .* {len(other)}$"):
        build_network(small.name, other, 3, "softmax", small.options)


@pytest.mark.parametrize("widths", [[8, 0], [8, "wide"], [1.5]])
def test_widths_that_are_no_numbers_of_channels_are_refused(widths: list[Any]) -> None:
    with pytest.raises(NetworkError, match=r"options\.widths: .* as in \[12, 24, 48\]"):
        build_network("residual", (InputShape(32, 12),), 3, "sigmoid", {"widths": widths})


def test_scores_are_pooled_over_frequency_and_then_over_time() -> None:
    # Two moments, two bands, one label: 1 and 3 first, 5 and 11 then.
    scores = np.array([[[[1.0], [3.0]], [[5.0], [11.0]]]], np.float32)
    pooled_as = {name: float(np.asarray(pooled(scores, name))[0, 0]) for name in POOLINGS}
    assert pooled_as == {"mean": 5.0, "max": 8.0, "mean-max": 6.5}


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"options\.pooling: 'least' is not one of mean, mean-max, max"):
        build_network("residual", MEL, 3, "sigmoid", {"pooling": "least"})


@pytest.mark.parametrize("name", ["residual", "multibranch"])
def test_an_unknown_size_is_refused(name: str) -> None:
    shapes = TWO if name == "multibranch" else MEL
    with pytest.raises(NetworkError, match=r"options\.size: 'huge' is "):
        build_network(name, shapes, 3, "softmax", {"size": "huge"})


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (InputShape(32, 12, 2), {"filters": "many"}),
        (InputShape(32, 12, 2), {"dense": 0}),
        (InputShape(32, 12, 2), {"dropout": 3.0}),
        (InputShape(6, 12, 2), {}),
        (InputShape(32, 3, 2), {}),
    ],
    ids=["text for a number", "no units", "more than everything dropped", "few frames", "few bands"],
)
def test_what_cannot_be_built_is_one_line(shape: InputShape, options: dict[str, Any]) -> None:
    with pytest.raises(NetworkError) as caught:
        build_network("piczak", (shape,), 3, "softmax", options)
    assert "\n" not in str(caught.value)
    assert f"piczak cannot be built for {shape.frames} frames" in str(caught.value)


def test_sixteen_bit_products_leave_weights_and_probabilities_in_32_bits() -> None:
    from trainer.training.fit import precision

    with precision("mixed_bfloat16"):
        network = FAMILIES["piczak"].build("softmax")
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert {layer.compute_dtype for layer in network.layers if hasattr(layer, "kernel")} == {"bfloat16"}
    assert network.layers[-1].compute_dtype == "float32"
    # Networks that are built afterwards are what they were.
    assert FAMILIES["piczak"].build("softmax").layers[-2].compute_dtype == "float32"


# The optimizer of networks of convolutions


def test_muon_moves_every_direction_of_a_kernel_equally_much() -> None:
    import keras

    from trainer.training.muon import STEP_RMS, ConvolutionMuon

    random = np.random.default_rng(5)
    kernel = keras.Variable(random.normal(size=(3, 3, 8, 16)).astype(np.float32), name="kernel")
    optimizer = ConvolutionMuon(0.01, weight_decay=None)
    optimizer.build([kernel])
    before = keras.ops.convert_to_numpy(kernel)
    # A gradient in which one direction is thirty times as strong as the others.
    gradient = random.normal(size=(72, 16)) + 10 * np.outer(random.normal(size=72), random.normal(size=16))
    optimizer.apply([keras.ops.convert_to_tensor(gradient.reshape(3, 3, 8, 16).astype(np.float32))], [kernel])
    step = (before - keras.ops.convert_to_numpy(kernel)).reshape(72, 16)
    strengths = np.linalg.svd(step, compute_uv=False) / (0.01 * STEP_RMS * np.sqrt(72))
    assert strengths[0] < 1.3  # the iteration aims at 1, and stops at about 0.7 to 1.2
    assert np.median(strengths) > 0.4
    assert (step * gradient).sum() > 0


def test_muon_leaves_scores_and_offsets_to_adamw() -> None:
    import keras

    from trainer.networks.shape import SCORES
    from trainer.training.muon import ConvolutionMuon

    shapes = {"kernel": (3, 3, 4, 4), f"{SCORES}/kernel": (1, 1, 4, 2), "bias": (4,), "dense": (4, 4)}
    variables = []
    for name, shape in shapes.items():
        variable = keras.Variable(np.ones(shape, np.float32), name=name.replace("/", "_"))
        variables.append(variable)
    optimizer = ConvolutionMuon(0.01, exclude_layers=[SCORES])
    optimizer.build(variables)
    assert [velocity is None for velocity in optimizer.adam_velocities] == [True, False, False, False]
