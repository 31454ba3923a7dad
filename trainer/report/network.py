"""A drawing of a network: its layers from above to below, what each costs and where shortcuts run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trainer.report.colours import BLUE, CARD, INK, MUTED, ORANGE
from trainer.report.layers import Layer, Network, dimensions
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.words import big, count, percent

MOST = 60
"""Layers that are drawn one by one; of more (an unrolled recurrence has thousands) each kind is summed up."""

ROW, BOX = 44, 32
LEFT, RIGHT = 40, 238


def network_picture(network: Network, hop_s: float, prefix: str = "") -> Picture:
    """The drawing and a table of all layers.

    Args:
        hop_s: seconds between two windows, for the cost of a second of audio.
    """
    summed = len(network.layers) > MOST
    layers = by_kind(network) if summed else network.layers
    name = f"{prefix}network"
    shows = _shows(network, hop_s)
    height = 26 + ROW * len(layers)
    with drawing(WIDTH, height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        _heading(axes)
        most = max(1, *(layer.macs for layer in layers))
        for at, layer in enumerate(layers):
            _box(axes, at, layer, layer.macs / most, network.macs)
        if not summed:
            _edges(axes, layers)
        svg = to_svg(figure, name, shows)
    rows = tuple(
        (
            f"{at}",
            f"{layer.kind} {layer.detail}".strip(),
            ", ".join(map(str, layer.inputs)),
            dimensions(layer.shape),
            f"{layer.parameters:,}",
            f"{layer.macs:,}",
        )
        for at, layer in enumerate(layers)
    )
    total = ("total", "", "", "", f"{network.parameters:,}", f"{network.macs:,}")
    columns = ("no.", "layer", "takes", "gives", "parameters", "multiply-accumulates")
    how = (
        f"It has {count(len(network.layers), 'layer')}, too many to draw: each row sums up one kind. "
        if summed
        else "Sound goes in at the top, probabilities come out at the bottom; a line at the left is a "
        "shortcut or a branch. At the right of each layer stands the shape of what it gives: frames, bands "
        "and channels, unless axes are swapped. "
    )
    return Picture(
        name,
        "Layers and what they cost",
        shows,
        f"{how}The fuller a box, the more multiplications the layer takes. Read from {network.source}.",
        svg,
        table=Table("Layers", columns, (*rows, total)),
    )


def by_kind(network: Network) -> tuple[Layer, ...]:
    """One layer for each kind, with the sums of all of its kind."""
    numbers = Counter(layer.kind for layer in network.layers)
    found = []
    for kind, number in numbers.items():
        those = [layer for layer in network.layers if layer.kind == kind]
        parameters, macs = sum(x.parameters for x in those), sum(x.macs for x in those)
        found.append(Layer(kind, f"{number:,} times", (), those[-1].shape, parameters, macs))
    return tuple(found)


def _top(at: int) -> float:
    return 24 + ROW * at


def _heading(axes: Any) -> None:
    for x, text in ((LEFT, "layer"), (RIGHT + 10, "shape; parameters, MACs")):
        axes.text(x, 11, text, fontsize=8.5, color=MUTED, va="center_baseline")


def _box(axes: Any, at: int, layer: Layer, filled: float, total: int) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    top = _top(at)
    share = f", {percent(layer.macs / total)} of all multiplications" if total and layer.macs else ""
    said = f"{layer.kind} {layer.detail}: {layer.parameters:,} parameters, {layer.macs:,} MACs{share}"
    frame = FancyBboxPatch(
        (LEFT, top),
        RIGHT - LEFT,
        BOX,
        boxstyle="round,pad=0,rounding_size=4",
        facecolor=CARD,
        edgecolor=MUTED,
        linewidth=0.8,
        gid=tip(said),
    )
    axes.add_patch(frame)
    inside = Rectangle((LEFT, top), (RIGHT - LEFT) * filled, BOX, facecolor=BLUE, alpha=0.22, linewidth=0)
    axes.add_patch(inside)
    inside.set_clip_path(frame)
    if layer.detail:
        axes.text(LEFT + 9, top + 11, layer.kind, weight="bold", fontsize=10, va="center_baseline")
        axes.text(LEFT + 9, top + 24, layer.detail, fontsize=8.5, color=INK, va="center_baseline")
    else:
        axes.text(LEFT + 9, top + BOX / 2, layer.kind, weight="bold", fontsize=10, va="center_baseline")
    axes.text(RIGHT + 10, top + 10, dimensions(layer.shape), fontsize=9.5, va="center_baseline")
    if layer.parameters or layer.macs:
        cost = f"{_short(layer.parameters)}, {_short(layer.macs)}"
        axes.text(WIDTH - 6, top + 25, cost, fontsize=9, color=MUTED, ha="right", va="center_baseline")


def _edges(axes: Any, layers: tuple[Layer, ...]) -> None:
    """Short arrows between neighbours; lines at the left from afar, the short ones inside."""
    far = []
    for at, layer in enumerate(layers):
        for source in layer.inputs:
            if source == at - 1:
                _arrow(
                    axes, [((LEFT + RIGHT) / 2, _top(source) + BOX), ((LEFT + RIGHT) / 2, _top(at))], MUTED
                )
            else:
                far.append((source, at))
    lanes: list[list[tuple[int, int]]] = []
    for edge in sorted(far, key=lambda edge: (edge[1] - edge[0], edge)):
        fitting = [lane for lane in lanes if all(edge[1] <= a or edge[0] >= b for a, b in lane)]
        lane = fitting[0] if fitting else []
        if not fitting:
            lanes.append(lane)
        lane.append(edge)
    step = min(10.0, (LEFT - 8) / max(1, len(lanes)))
    for number, lane in enumerate(lanes):
        x = LEFT - 12 - step * number
        for source, at in lane:
            # It leaves a box in its lower half and enters the next one in its upper half.
            begin, end = _top(source) + 0.7 * BOX, _top(at) + 0.3 * BOX
            _arrow(axes, [(LEFT, begin), (x, begin), (x, end), (LEFT, end)], ORANGE)


def _arrow(axes: Any, points: list[tuple[float, float]], colour: str) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    axes.add_patch(
        FancyArrowPatch(
            path=Path(points),
            arrowstyle="-|>,head_length=3.2,head_width=1.8",
            color=colour,
            linewidth=1.2,
            fill=True,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _short(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return (
                f"{number / size:.3g} {letter}" if number < 999.5 * size else f"{number / size:.0f} {letter}"
            )
    return str(number)


def _shows(network: Network, hop_s: float) -> str:
    most = max(network.layers, key=lambda layer: layer.macs)
    text = (
        f"{big(network.parameters).capitalize()} parameters; {big(network.macs)} multiply-accumulates (MACs) "
        f"a window, which is {big(network.macs / hop_s)} a second of audio at a window every {hop_s:g} s."
    )
    if not most.macs:
        return text
    return text + f" The most costly layer takes {percent(most.macs / network.macs, 0)} of them."
