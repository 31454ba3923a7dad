"""Learning only the head of a network that begins with published weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toys import training_is_possible

from trainer.networks import build_network
from trainer.networks.shape import InputShape
from trainer.recipe import RecipeError, Transfer, read_recipe
from trainer.training.transfer import Embedded, begin, runner

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SMALL = {"width": 0.1, "hidden": 16, "head": 8}
SHAPE = InputShape(64, 128, 1)


class Windows:
    """Examples that count how often they were computed."""

    labels = ("a", "b")
    normalisation = clips = backgrounds = unreadable = None
    examples_per_epoch = 12

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def epoch(self, epoch: int) -> Iterator[tuple[tuple[np.ndarray], np.ndarray]]:
        self.drawn.append(epoch)
        random = np.random.default_rng(epoch)
        for _ in range(3):
            targets = random.integers(0, 2, (4, 2)).astype(np.float32)
            yield (random.standard_normal((4, 64, 128, 1)).astype(np.float32),), targets


@pytest.fixture(scope="module")
def network() -> object:
    training_is_possible()
    return build_network("efficientat", (SHAPE,), 2, "sigmoid", SMALL)


@pytest.fixture
def parts(network: object, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    # The published weights are of the full width; that they are loaded right is tested with the network.
    monkeypatch.setattr("trainer.training.transfer.load_published", lambda *arguments: None)
    recipe = SimpleNamespace(network="efficientat", options={}, outputs="sigmoid")
    return begin(network, recipe, Transfer("efficientat-mn04"), ("a", "b"), Path("weights.pt"))


def test_the_parts_together_are_the_network(network: object, parts: tuple[object, object]) -> None:
    trunk, head = parts
    windows = np.random.default_rng(1).standard_normal((3, 64, 128, 1)).astype(np.float32)
    together = head.predict(trunk.predict(windows, verbose=0), verbose=0)
    np.testing.assert_allclose(together, network.predict(windows, verbose=0), atol=1e-5)


def test_only_the_head_learns(network: object, parts: tuple[object, object]) -> None:
    trunk, head = parts
    before = [weight.numpy().copy() for weight in trunk.weights]
    head.compile("sgd", "binary_crossentropy")
    random = np.random.default_rng(1)
    scores = network.get_layer("scores").get_weights()[0].copy()
    head.train_on_batch(random.standard_normal((8, head.input.shape[1])), np.ones((8, 2)))
    for old, new in zip(before, trunk.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert np.abs(network.get_layer("scores").get_weights()[0] - scores).max() > 0


def test_embeddings_are_those_of_keras_and_computed_once_a_draw(parts: tuple[object, object]) -> None:
    trunk, _ = parts
    windows = Windows()
    embedded = Embedded(windows, runner(trunk), draws=2, batch=5, seed=1)
    epochs = [list(embedded.epoch(epoch)) for epoch in range(4)]
    assert windows.drawn == [0, 1]
    assert [len(targets) for _, targets in epochs[0]] == [5, 5, 2]

    def learnt(epoch: int) -> np.ndarray:
        return np.concatenate([inputs[0] for inputs, _ in epochs[epoch]])

    expected = np.concatenate([trunk.predict(inputs[0], verbose=0) for inputs, _ in Windows().epoch(0)])
    by_first_value = [values[np.lexsort(values.T)] for values in (learnt(0), expected)]
    np.testing.assert_allclose(*by_first_value, atol=1e-4)
    assert not np.array_equal(learnt(0), learnt(2))  # in another order
    assert np.array_equal(np.sort(learnt(0), axis=0), np.sort(learnt(2), axis=0))


def test_without_the_weights_it_is_said_where_they_come_from(network: object) -> None:
    recipe = read_recipe("efficientat")
    assert recipe.transfer is not None
    with pytest.raises(RecipeError, match="esc-train fetch efficientat-mn04"):
        begin(network, recipe, recipe.transfer, ("a", "b"), None)
    with pytest.raises(RecipeError, match=r"no layer elsewhere"):
        begin(network, recipe, Transfer("efficientat-mn04", "elsewhere"), ("a", "b"), Path("weights.pt"))
