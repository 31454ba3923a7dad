"""Several systems side by side: a table, and accuracy over what a network costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import Any

from trainer.report.colours import INK, SERIES
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.words import big, count, percent, spread


@dataclass(frozen=True)
class Standing:
    """What is known of one system; what is not known is None."""

    name: str
    data: str
    accuracies: tuple[float, ...] = ()
    """Share of clips that are right as int8, streamed, of each fold, from 0 to 1."""

    float_accuracies: tuple[float, ...] = ()
    """The same network in floating point, streamed."""

    parameters: int | None = None
    int8_bytes: int | None = None
    macs: int | None = None
    """Multiply-accumulates of a window."""

    budget: str = ""

    @property
    def accuracy(self) -> float:
        """Mean over folds."""
        return sum(self.accuracies) / len(self.accuracies)


def table_of(standings: list[Standing]) -> Table:
    """A row for each system."""
    scores = ("int8, streamed", "float, streamed")
    columns = ("system", "data", *scores, "parameters", "int8 file", "MACs a window", "budget")
    rows = tuple(
        (
            item.name,
            item.data,
            spread(item.accuracies) if item.accuracies else "not scored",
            spread(item.float_accuracies) if item.float_accuracies else "",
            f"{item.parameters:,}" if item.parameters else "",
            f"{item.int8_bytes / 1000:,.0f} kB" if item.int8_bytes else "",
            big(item.macs) if item.macs else "",
            item.budget,
        )
        for item in standings
    )
    return Table(
        "Clips that are right by mean probability; mean and deviation over the folds",
        columns,
        rows,
        folded=False,
    )


def side_by_side(standings: list[Standing]) -> Picture | str:
    """Accuracy over parameters, or a sentence when fewer than two systems have both."""
    known = [item for item in standings if item.accuracies and item.parameters]
    if len(known) < 2:
        return "A chart needs at least two systems that are scored."
    shows = _shows(known)
    name = "systems"
    with drawing(1.2 * WIDTH, 340) as figure:
        axes = figure.subplots()
        parameters = [item.parameters or 1 for item in known]
        axes.set_xscale("log")
        axes.set_xlim(min(parameters) / 3, max(parameters) * 3)
        _limit(axes, known)
        middle = (min(parameters) * max(parameters)) ** 0.5
        for at, item in enumerate(known):
            _draw(axes, item, SERIES[at % len(SERIES)])
            _name(axes, item, (item.parameters or 1) <= middle, _lift(known, item, axes.get_ylim()))
        axes.xaxis.set_major_formatter(lambda number, _: big(number))
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda share, _: percent(share, 0))
        axes.set_xlabel("parameters; each step is ten times as many")
        axes.set_title("clips that are right (int8, streamed)")
        svg = to_svg(figure, name, shows)
    return Picture(
        name,
        "Accuracy against size",
        shows,
        "Each point is a system: the higher, the more often right; the farther left, the smaller. Its "
        "line reaches one standard deviation over the folds up and down. Only systems on the same data "
        "and with comparable budgets may be held against each other.",
        svg,
    )


def _draw(axes: Any, item: Standing, colour: str) -> None:
    from statistics import stdev

    deviation = stdev(item.accuracies) if len(item.accuracies) > 1 else 0.0
    size = f", {item.int8_bytes / 1000:,.0f} kB" if item.int8_bytes else ""
    said = f"{item.name} on {item.data}: {spread(item.accuracies)}, {item.parameters:,} parameters{size}"
    low, high = item.accuracy - deviation, item.accuracy + deviation
    parameters = item.parameters or 1
    axes.plot([parameters] * 2, [low, high], color=colour, linewidth=1.5)
    axes.plot(parameters, item.accuracy, "o", color=colour, markersize=8, gid=tip(said))


def _name(axes: Any, item: Standing, right: bool, lift: float) -> None:
    """The name beside its point, on the side where there is room."""
    axes.annotate(
        item.name,
        (item.parameters or 1, item.accuracy),
        xytext=(8 if right else -8, lift),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center_baseline",
        color=INK,
        fontsize=9.5,
    )


def _lift(known: list[Standing], item: Standing, limits: tuple[float, float]) -> float:
    """How far a name goes up so that it does not cover that of a system hardly worse and as large."""
    row = 13 * (limits[1] - limits[0]) / 280
    near = [x for x in known if abs(log10((x.parameters or 1) / (item.parameters or 1))) < 1]
    others = sorted(near, key=lambda x: (x.accuracy, x.name))
    at = None
    for other in others:
        at = other.accuracy if at is None else max(other.accuracy, at + row)
        if other is item:
            break
    return ((at or item.accuracy) - item.accuracy) / row * 13


def _limit(axes: Any, known: list[Standing]) -> None:
    """The range of all points and their lines, with a margin, within 0 and 100 %."""
    ends = [value for item in known for value in item.accuracies]
    margin = max(0.01, 0.15 * (max(ends) - min(ends)))
    axes.set_ylim(max(0.0, min(ends) - margin), min(1.005, max(ends) + margin))


def _shows(known: list[Standing]) -> str:
    best = max(known, key=lambda item: (item.accuracy, -(item.parameters or 0)))
    small = min(known, key=lambda item: item.parameters or 0)
    text = f"Most often right is {best.name} with {spread(best.accuracies)}"
    if small is best:
        text += ", and it is the smallest as well"
    else:
        share = (small.parameters or 0) / (best.parameters or 1)
        text += (
            f"; the smallest is {small.name} with {spread(small.accuracies)} and "
            f"{percent(share, 0 if share > 0.1 else 1)} of its parameters"
        )
    if len({item.data for item in known}) > 1:
        text += ". They were not measured on the same data"
    folds = {len(item.accuracies) for item in known}
    return text + (f"; mean of {count(folds.pop(), 'fold')}." if len(folds) == 1 else ".")
