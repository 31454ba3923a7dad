"""Learning only the head of a network: the rest keeps its published weights.

An example goes through the rest once. The head then learns from the embeddings of a few draws of examples,
again and again, which takes seconds where the whole network would take hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from streamer.types import FloatArray
from trainer.datasets import audioset
from trainer.examples.inputs import Batch, Inputs, for_keras
from trainer.examples.load import Examples
from trainer.exporting.quantise import to_tflite
from trainer.networks.efficientat_weights import load_published
from trainer.networks.shape import SCORES
from trainer.recipe import Recipe, RecipeError, Transfer

Trunk = Callable[[Inputs], FloatArray]
"""Windows in, embeddings of shape (batch, values) out."""


class LiteTrunk:
    """The unchanging part of a network in LiteRT, several times as fast as in Keras on a processor."""

    def __init__(self, trunk: Any) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = to_tflite(trunk, "float32", ())
        self._threads = os.cpu_count() or 1
        self._interpreters = [Interpreter(model_content=content, num_threads=1) for _ in range(self._threads)]
        for interpreter in self._interpreters:
            interpreter.allocate_tensors()
        self._pool = ThreadPoolExecutor(self._threads)

    def __call__(self, inputs: Inputs) -> FloatArray:
        parts = np.array_split(inputs[0].astype(np.float32), self._threads)
        return np.concatenate(list(self._pool.map(self._embed, self._interpreters, parts)))

    @staticmethod
    def _embed(interpreter: Any, windows: FloatArray) -> FloatArray:
        feed, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]
        embeddings = np.empty((len(windows), out["shape"][-1]), np.float32)
        for at, window in enumerate(windows):
            interpreter.set_tensor(feed, window[np.newaxis])
            interpreter.invoke()
            embeddings[at] = interpreter.get_tensor(out["index"])[0]
        return embeddings


def runner(trunk: Any) -> Trunk:
    """The quickest way to compute embeddings with the backend at hand."""
    import keras

    if keras.config.backend() == "tensorflow":
        return LiteTrunk(trunk)
    return lambda inputs: np.asarray(trunk.predict_on_batch(for_keras(inputs)), np.float32)


class Embedded:
    """Examples as embeddings; the same draw is computed once.

    Args:
        examples: windows, as the whole network takes them.
        trunk: gives the embedding of a batch of windows.
        draws: how many epochs of `examples` are used.
        batch: embeddings that are learnt from at once.
        seed: of their order.
    """

    def __init__(self, examples: Examples, trunk: Trunk, draws: int, batch: int, seed: int) -> None:
        self._examples = examples
        self._trunk = trunk
        self._draws = draws
        self._batch = batch
        self._seed = seed
        self._computed: dict[int, tuple[FloatArray, FloatArray]] = {}
        self.labels = examples.labels
        self.normalisation = examples.normalisation
        self.clips = examples.clips
        self.backgrounds = examples.backgrounds
        self.unreadable = examples.unreadable

    @property
    def examples_per_epoch(self) -> int:
        """Examples that one epoch holds."""
        return self._examples.examples_per_epoch

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Embeddings, shape (batch, values), in another order in every epoch."""
        embeddings, targets = self._draw(epoch % self._draws)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(targets))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            yield (embeddings[chosen],), targets[chosen]

    def _draw(self, draw: int) -> tuple[FloatArray, FloatArray]:
        if draw not in self._computed:
            embeddings, targets = [], []
            for inputs, target in self._examples.epoch(draw):
                embeddings.append(self._trunk(inputs))
                targets.append(target)
            self._computed[draw] = np.concatenate(embeddings), np.concatenate(targets)
        return self._computed[draw]


def begin(
    network: Any, recipe: Recipe, transfer: Transfer, labels: Sequence[str], published: Path | None
) -> tuple[Any, Any]:
    """Give a network its published weights and part it.

    Args:
        labels: those of the network.
        published: file of the weights.

    Returns:
        The part that stays, and the part that learns. They share their layers with the network, whose outputs
        may also hold a share of the published scores, which are nothing to learn.

    Raises:
        RecipeError: the weights were not given, or the network has no such layer.
        NetworkError: the weights do not fit.
    """
    import keras

    if published is None:
        raise RecipeError(
            f"the recipe begins with {transfer.published}: fetch it (esc-train fetch {transfer.published}) "
            "and give --published FILE"
        )
    if transfer.layer not in [layer.name for layer in network.layers]:
        raise RecipeError(f"transfer.layer: the network {recipe.network} has no layer {transfer.layer}")
    share = float(recipe.options.get("published_share", 0.0))
    load_published(network, published, share, counterparts_of(labels, transfer.counterparts))
    cut = network.get_layer(transfer.layer).output
    trunk = keras.Model(network.input, cut)
    trunk.trainable = False
    inputs = keras.Input(cut.shape[1:], name="embedding")
    scores = keras.Model(cut, network.get_layer(SCORES).output)(inputs)
    outputs = keras.layers.Activation(recipe.outputs, dtype="float32")(scores)
    return trunk, keras.Model(inputs, outputs, name=f"{network.name}_head")


def counterparts_of(labels: Sequence[str], dataset: str) -> list[list[int]]:
    """Which of AudioSet's labels are the same sound as each of a data set's; nothing without a data set."""
    if not dataset:
        return [[] for _ in labels]
    known, same = audioset.labels(), audioset.counterparts(dataset)
    return [[known.index(name) for name in same.get(label, ())] for label in labels]
