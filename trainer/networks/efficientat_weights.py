"""The published weights of EfficientAT's networks, put into ours.

The published ones see (frequency, time), ours (time, frequency), so that kernels are transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.networks.efficientat import COUNTERPARTS, PUBLISHED, PUBLISHED_BIAS
from trainer.networks.shape import SCORES, NetworkError
from trainer.networks.torch_file import read_tensors

NORMALISATION_EPSILON = 1e-3
PUBLISHED_SCORES = "classifier_5"


def load_published(
    network: Any, path: Path, share: float = 0.0, of_labels: Sequence[Sequence[int]] = ()
) -> None:
    """Put published weights into a network that `efficientat` built.

    A head of its own stays as it is. Its scores are taken over when it has as many labels as were
    published; else they stay as they are.
    Without batch normalisation, the published one is folded into the convolutions.

    Args:
        network: of the same width and hidden layer as the published one.
        path: the ``.pt`` file.
        share: that of published scores in the outputs (option ``published_share``).
        of_labels: for each label of the network, which published scores are its own, the first ones first;
            none for a label that has no counterpart, which then has no share either.

    Raises:
        NetworkError: the file cannot be read, or holds weights of another network.
    """
    # A dot in the published names is an underscore in ours.
    published = {name.replace(".", "_"): tensor for name, tensor in read_tensors(path).items()}
    for layer in network.layers:
        if layer.name == PUBLISHED:
            layer.set_weights(_shared_scores(published, share, of_labels))
            continue
        if not layer.weights or layer.name.startswith("head"):
            continue
        name = PUBLISHED_SCORES if layer.name == SCORES else layer.name
        try:
            weights = _weights_of(layer, name, published)
        except KeyError as error:
            raise NetworkError(f"{path} holds no {error.args[0]}: it is of another network") from error
        except ValueError as error:
            raise NetworkError(f"{path} does not fit: its {name} has other dimensions") from error
        found = [weight.shape for weight in weights]
        wanted = [tuple(weight.shape) for weight in layer.weights]
        if found != wanted:
            if layer.name == SCORES:
                continue
            raise NetworkError(
                f"{path} does not fit: its {name} has the shapes {found}, the network's {wanted}"
            )
        layer.set_weights(weights)


def _shared_scores(
    published: dict[str, np.ndarray], share: float, of_labels: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Kernel and bias of the published scores of each label, `COUNTERPARTS` columns a label."""
    kernel, bias = published[f"{PUBLISHED_SCORES}_weight"].T, published[f"{PUBLISHED_SCORES}_bias"]
    columns, offsets = [], []
    for scores in of_labels:
        # Fewer counterparts than columns: the first once more, which does not change the highest.
        padded = [*scores[:COUNTERPARTS], *scores[:1] * (COUNTERPARTS - min(len(scores), COUNTERPARTS))]
        for at in padded or [None] * COUNTERPARTS:
            columns.append(np.zeros(len(kernel)) if at is None else share * kernel[:, at])
            offsets.append(0.0 if at is None else share * (bias[at] + PUBLISHED_BIAS))
    return [np.stack(columns, axis=1).astype(np.float32), np.array(offsets, np.float32)]


def _weights_of(layer: Any, name: str, published: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Weights of one layer, in the order in which Keras wants them.

    Raises:
        KeyError: they are not there.
        ValueError: they are not of such a layer.
    """
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        return _normalisation(name, published)
    kernel = published[f"{name}_weight"]
    if kind == "Dense":
        return [kernel.T, published[f"{name}_bias"]]
    if kernel.ndim == 2:  # An excitation, which is a dense layer there.
        kernel = kernel[:, :, np.newaxis, np.newaxis]
    # There: (outputs, inputs, frequency, time).
    kernel = kernel.transpose((3, 2, 0, 1) if kind == "DepthwiseConv2D" else (3, 2, 1, 0))
    if not layer.use_bias:
        return [kernel]
    if not name.endswith("_0"):
        return [kernel, published[f"{name}_bias"]]
    gamma, beta, mean, variance = _normalisation(f"{name.removesuffix('_0')}_1", published)
    scale = gamma / np.sqrt(variance + NORMALISATION_EPSILON)
    along = scale[:, np.newaxis] if kind == "DepthwiseConv2D" else scale
    return [kernel * along, beta - mean * scale]


def _normalisation(name: str, published: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Factor, offset, mean and variance of a batch normalisation."""
    return [published[f"{name}_{what}"] for what in ("weight", "bias", "running_mean", "running_var")]
