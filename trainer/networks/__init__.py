"""Networks by name, as recipes ask for them.

Each is a function of the shapes of its inputs, the number of labels, the kind of its outputs (sigmoid
or softmax) and the options of the recipe, and gives a Keras network.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from trainer.networks.efficientat import efficientat
from trainer.networks.multibranch import multibranch
from trainer.networks.multilabel import multilabel
from trainer.networks.piczak import piczak
from trainer.networks.recurrent import recurrent
from trainer.networks.residual import residual
from trainer.networks.shape import InputShape, NetworkError

NETWORKS: dict[str, Callable[..., Any]] = {
    "efficientat": efficientat,
    "multibranch": multibranch,
    "multilabel": multilabel,
    "piczak": piczak,
    "recurrent": recurrent,
    "residual": residual,
}


def build_network(
    name: str, shapes: tuple[InputShape, ...], labels: int, outputs: str, options: dict[str, Any]
) -> Any:
    """Build a network.

    Raises:
        NetworkError: it has no such option, or does not take such a value or such inputs.
    """
    check_options(name, options)
    try:
        return NETWORKS[name](shapes, labels, outputs, **options)
    except (TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        inputs = " and ".join(f"{shape.frames} frames of {shape.columns} columns" for shape in shapes)
        raise NetworkError(f"the network {name} cannot be built for {inputs} like this: {reason}") from error


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Compare the names of options with those that a network has.

    Raises:
        NetworkError: it has no such option.
    """
    known = list(inspect.signature(NETWORKS[name]).parameters)[3:]
    for key in options:
        if key not in known:
            raise NetworkError(f"options.{key}: the network {name} knows only {', '.join(known)}")


__all__ = ["NETWORKS", "InputShape", "NetworkError", "build_network", "check_options"]
