"""The compact residual family: plain 3x3 convolutions with shortcuts.

Full convolutions rather than depthwise ones: they train twice as fast on a CPU and run as fast in
LiteRT. The head scores every place in time and frequency and averages the scores, so that a sound
that fills only part of the window is not diluted before it has been recognised.

He et al., "Deep residual learning for image recognition", 2016.
"""

from __future__ import annotations

from typing import Any

WIDTHS: dict[str, tuple[int, ...]] = {
    "tiny": (12, 24, 40, 56),
    "base": (32, 64, 128, 176),
}


def residual(frames: int, bands: int, labels: int, size: str = "base", dropout: float = 0.2) -> Any:
    """Build the network.

    Args:
        frames, bands: shape of the input (frames, bands, 1): normalised log-mel.
        labels: number of outputs, each a probability of its own (sigmoid).
        size: ``tiny`` or ``base``.
        dropout: share of the features dropped before the head.
    """
    import keras
    from keras import layers

    def normed(x: Any, filters: int, kernel: int, strides: int) -> Any:
        x = layers.Conv2D(
            filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
        )(x)
        return layers.BatchNormalization(momentum=0.95)(x)

    def block(x: Any, filters: int, strides: int) -> Any:
        y = layers.ReLU()(normed(x, filters, 3, strides))
        y = normed(y, filters, 3, 1)
        if strides != 1 or x.shape[-1] != filters:
            shortcut = layers.AveragePooling2D(strides, padding="same")(x) if strides != 1 else x
            x = normed(shortcut, filters, 1, 1)
        return layers.ReLU()(layers.Add()([x, y]))

    widths = WIDTHS[size]
    inputs = keras.Input((frames, bands, 1), name="log_mel")
    x = layers.ReLU()(normed(inputs, widths[0], 5, 2))
    for at, filters in enumerate(widths):
        x = block(x, filters, 1 if at == 0 else 2)
    x = layers.Dropout(dropout)(x)
    x = layers.Conv2D(labels, 1, bias_initializer=keras.initializers.Constant(-3.5))(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Activation("sigmoid", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=f"residual_{size}")
