"""The networks of EfficientAT: MobileNetV3 on log-mel, taught the sounds of AudioSet by transformers.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge
distillation", ICASSP 2023; Howard et al., "Searching for MobileNetV3", 2019. The published weights are
read by `trainer.networks.efficientat_weights`.

Layers are named as in the published weights, with underscores for dots; what each block gives is
``features_0`` to ``features_16``, the mean of the last is ``features``, the hidden layer after its
activation ``hidden``, the outputs before sigmoid or softmax ``scores``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainer.networks.shape import EMBEDDING, SCORES, InputShape, NetworkError, one_input

ACTIVATIONS = ("hard_swish", "swish")

HEAD_INPUT = "head_input"
"""Layer that a head learns from: the embedding, and what excites the later blocks."""

EXCITED_WIDTH = 480
"""Blocks of at least this number of expanded channels (at width 1) show their excitations to a head."""

PUBLISHED = "published"
"""Layer of the published scores that have a share in the outputs."""

COUNTERPARTS = 2
"""A label takes the highest of at most this number of published scores."""

PUBLISHED_BIAS = 2.0
"""Added to published scores: AudioSet's labels are rare, so that its networks are rarely sure."""


@dataclass(frozen=True)
class Block:
    """One inverted bottleneck, channels as at width 1."""

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    excited: bool
    """Whether its channels are weighted by what the whole window holds (squeeze and excitation)."""

    swish: bool
    """Whether its activation is that of the network, or ReLU."""

    strides: int


BLOCKS = (
    Block(16, 3, 16, 16, False, False, 1),
    Block(16, 3, 64, 24, False, False, 2),
    Block(24, 3, 72, 24, False, False, 1),
    Block(24, 5, 72, 40, True, False, 2),
    Block(40, 5, 120, 40, True, False, 1),
    Block(40, 5, 120, 40, True, False, 1),
    Block(40, 3, 240, 80, False, True, 2),
    Block(80, 3, 200, 80, False, True, 1),
    Block(80, 3, 184, 80, False, True, 1),
    Block(80, 3, 184, 80, False, True, 1),
    Block(80, 3, 480, 112, True, True, 1),
    Block(112, 3, 672, 112, True, True, 1),
    Block(112, 5, 672, 160, True, True, 2),
    Block(160, 5, 960, 160, True, True, 1),
    Block(160, 5, 960, 160, True, True, 1),
)


def efficientat(
    shapes: tuple[InputShape, ...],
    labels: int,
    outputs: str = "sigmoid",
    width: float = 0.4,
    hidden: int = 512,
    dropout: float = 0.2,
    activation: str = "hard_swish",
    normalised: bool = True,
    head: int = 0,
    published_share: float = 0.0,
) -> Any:
    """Build the network.

    Args:
        shapes: one input: log-mel, normalised as (x + 4.5) / 5 for the published weights.
        labels: number of outputs.
        outputs: ``sigmoid``, each label for itself, or ``softmax``.
        width: factor of all channels, which are rounded to multiples of 8.
        hidden: units of the hidden layer.
        dropout: share of the hidden layer dropped before the outputs.
        activation: ``hard_swish`` as published, or ``swish`` (x * sigmoid(x)), whose int8 kernels are faster.
        normalised: with batch normalisation after each convolution, to learn with; without it, its
            published values are folded into the convolutions.
        head: units of a further layer between all that the published network knows (features, hidden layer
            and the means by which the later blocks are excited) and the outputs; 0 for the outputs right
            after the hidden layer, as published.
        published_share: share of the published scores in the outputs, 0 to 1; the rest is the head's. Which
            scores are a label's is told to `trainer.networks.efficientat_weights.load_published`.
    """
    import keras
    from keras import layers

    if activation not in ACTIVATIONS:
        raise NetworkError(f"options.activation: {activation!r} is not one of {', '.join(ACTIVATIONS)}")
    inputs = keras.Input(one_input(shapes, "efficientat").dimensions, name="log_mel")
    build = _Builder(width, activation, normalised)
    x = build.convolution(inputs, "features_0", 3, 2, rounded(BLOCKS[0].inputs * width))
    x = build.named(build.activated(x), "features_0")
    for at, block in enumerate(BLOCKS, start=1):
        x = build.block(x, f"features_{at}", block)
    last = len(BLOCKS) + 1
    x = build.convolution(x, f"features_{last}", 1, 1, 6 * rounded(BLOCKS[-1].outputs * width))
    x = build.named(build.activated(x), f"features_{last}")
    features = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dense(hidden, name="classifier_2")(features)
    x = known = build.named(build.activated(x), "hidden")
    if head:
        x = layers.Concatenate(name=EMBEDDING)([features, x])
        x = layers.Concatenate(name=HEAD_INPUT)([x, *build.excitations])
        x = layers.BatchNormalization(momentum=0.98, scale=False, center=False, name="head_normalised")(x)
        x = layers.Dropout(0.4 * dropout, name="head_dropped")(x)
        x = layers.Dense(head, activation="relu", name="head")(x)
    x = layers.Dropout(dropout, name="dropped")(x)
    # A sound is rare at first sight, which keeps the first steps of sigmoids calm.
    rare = keras.initializers.Constant(-3.5 if outputs == "sigmoid" else 0.0)
    x = layers.Dense(labels, bias_initializer=rare, name=SCORES)(x)
    if published_share:
        published = layers.Dense(labels * COUNTERPARTS, kernel_initializer="zeros", name=PUBLISHED)(known)
        published = layers.Reshape((labels * COUNTERPARTS, 1))(published)
        published = layers.Flatten()(layers.MaxPooling1D(COUNTERPARTS)(published))
        x = layers.Add()([layers.Rescaling(1.0 - published_share)(x), published])
    x = layers.Activation(outputs, dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, x, name="efficientat")


def rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and never below 90 % of what was asked for."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class _Builder:
    """Parts of the network that share its options."""

    def __init__(self, width: float, activation: str, normalised: bool) -> None:
        self._width = width
        self._activation = activation
        self._normalised = normalised
        self.excitations: list[Any] = []
        """Means over time and frequency that excite the wide blocks, shape (batch, channels) each."""

    def block(self, x: Any, name: str, block: Block) -> Any:
        """Expansion, convolution of each channel, excitation, reduction; with a shortcut where it fits."""
        from keras import layers

        expanded, outputs = rounded(block.expanded * self._width), rounded(block.outputs * self._width)
        y, step = x, 0
        if expanded != x.shape[-1]:
            y = self._activated(self.convolution(y, f"{name}_block_0", 1, 1, expanded), block)
            step = 1
        y = self.convolution(y, f"{name}_block_{step}", block.kernel, block.strides)
        y = self._activated(y, block)
        if block.excited:
            y = self._excited(y, f"{name}_block_{step + 1}_conc_se_layers_0", block)
            step += 1
        y = self.convolution(y, f"{name}_block_{step + 1}", 1, 1, outputs)
        if block.strides == 1 and outputs == x.shape[-1]:
            return layers.Add(name=name)([x, y])
        return self.named(y, name)

    def convolution(self, x: Any, name: str, kernel: int, strides: int, filters: int | None = None) -> Any:
        """A convolution with its normalisation; of each channel by itself without `filters`."""
        from keras import layers

        padding = "same"
        if strides != 1:
            # The same on all sides, while "same" would put more after than before.
            x, padding = layers.ZeroPadding2D((kernel - 1) // 2)(x), "valid"
        options: dict[str, Any] = {
            "padding": padding,
            "use_bias": not self._normalised,
            "name": f"{name}_0",
        }
        if filters is None:
            x = layers.DepthwiseConv2D(kernel, strides, depthwise_initializer="he_normal", **options)(x)
        else:
            x = layers.Conv2D(filters, kernel, strides, kernel_initializer="he_normal", **options)(x)
        return layers.BatchNormalization(epsilon=1e-3, name=f"{name}_1")(x) if self._normalised else x

    def activated(self, x: Any) -> Any:
        """The activation of the network."""
        from keras import layers

        if self._activation == "swish":
            return layers.Activation("silu")(x)
        # In these words the TFLite converter knows it as one operator.
        return x * layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)

    def named(self, x: Any, name: str) -> Any:
        """The same under a name at which the network can be cut."""
        from keras import layers

        return layers.Activation("linear", name=name)(x)

    def _activated(self, x: Any, block: Block) -> Any:
        from keras import layers

        return self.activated(x) if block.swish else layers.ReLU()(x)

    def _excited(self, x: Any, name: str, block: Block) -> Any:
        from keras import layers

        channels = x.shape[-1]
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        if block.expanded >= EXCITED_WIDTH:
            self.excitations.append(layers.Flatten()(y))
        y = layers.Conv2D(rounded(channels / 4), 1, activation="relu", name=f"{name}_fc1")(y)
        y = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_fc2")(y)
        return layers.Multiply()([x, y])
