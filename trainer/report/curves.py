"""Learning curves: what a training came to, epoch by epoch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from trainer.report.colours import BLUE, MUTED, ORANGE
from trainer.report.picture import WIDTH, Picture, Table, drawing, tip, to_svg
from trainer.report.runs import Epoch, Run, System
from trainer.words import count, percent


def curves(system: System, prefix: str = "") -> Picture | str:
    """Loss, accuracies and learning rate of every run, or a sentence when there are none yet."""
    runs = [run for run in system.runs if run.curve]
    if not runs:
        return "There is no learning curve: no epoch is finished, or only a .tflite was given."
    watched = any(epoch.validation_accuracy is not None for run in runs for epoch in run.curve)
    name = f"{prefix}curves"
    with drawing(WIDTH, 480) as figure:
        loss, accuracy, rate = figure.subplots(3, sharex=True, height_ratios=[3, 3, 1.6])
        _overlay(loss, runs, "loss", BLUE)
        loss.set_title("loss")
        loss.set_ylim(bottom=0)
        _overlay(accuracy, runs, "accuracy", BLUE, "training")
        _overlay(accuracy, runs, "validation_accuracy", ORANGE, "validation")
        accuracy.set_title("accuracy")
        accuracy.set_ylim(0, 1.02)
        accuracy.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        if watched:
            accuracy.legend(loc="lower right")
        _overlay(rate, runs, "rate", MUTED)
        rate.set_title("learning rate")
        rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        rate.xaxis.get_major_locator().set_params(integer=True)
        rate.set_ylim(bottom=0)
        rate.set_xlabel("epoch")
        svg = to_svg(figure, name, _shows(runs))
    several = "Each thin line is a fold, the thick one their mean. " if len(runs) > 1 else ""
    return Picture(
        name,
        "Learning curves",
        _shows(runs),
        f"{several}The loss is what training makes small; the accuracy is the share of training examples "
        "whose most probable sound is really there. "
        + _harder(runs[0])
        + (
            "Validation is measured on whole segments of clips that are not learnt from."
            if watched
            else "This recipe watches no validation folds."
        ),
        svg,
        table=_table(runs),
    )


def _overlay(axes: Any, runs: Sequence[Run], figure: str, colour: str, label: str = "") -> None:
    """Every run as a thin line and, of several, their mean as a thick one."""
    drawn = []
    for run in runs:
        points = [(e.epoch, getattr(e, figure)) for e in run.curve if getattr(e, figure) is not None]
        if points:
            drawn.append(points)
            alone = len(runs) == 1
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                alpha=1.0 if alone else 0.4,
                linewidth=1.8 if alone else 0.9,
                label=label if alone else "",
                gid=tip(_name(run)),
            )
    if len(runs) > 1 and drawn:
        # As far as all of them have come: the mean of fewer would jump where one ends.
        common = sorted(set.intersection(*({epoch for epoch, _ in points} for points in drawn)))
        values = [dict(points) for points in drawn]
        means = [statistics.fmean(item[epoch] for item in values) for epoch in common]
        axes.plot(common, means, color=colour, linewidth=2.2, label=label)


def _harder(run: Run) -> str:
    if run.recipe.examples != "crops":
        return ""
    negative = run.recipe.augmentation.negative_share
    alone = (
        f"With background in the training, {percent(negative, 0)} of them hold it alone and never count as "
        "right. "
        if negative
        else ""
    )
    return f"Training examples are changed and mixed, so that they are harder than real clips. {alone}"


def _name(run: Run) -> str:
    return run.folder.name if run.fold is None else f"fold {run.fold}"


def _shows(runs: Sequence[Run]) -> str:
    last = [run.curve[-1] for run in runs]
    first = [run.curve[0] for run in runs]
    planned = runs[0].recipe.schedule.epochs
    text = (
        f"In {count(max(e.epoch for e in last), 'epoch')} the loss went from "
        f"{statistics.fmean(e.loss for e in first):.2f} to {statistics.fmean(e.loss for e in last):.2f}; "
        f"{percent(statistics.fmean(e.accuracy for e in last))} of the training examples are right in the end"
    )
    heard = [e.validation_accuracy for e in last if e.validation_accuracy is not None]
    if heard:
        text += f", and {percent(statistics.fmean(heard))} of the validation segments"
    open_runs = [run for run in runs if run.curve[-1].epoch < planned]
    if open_runs:
        text += (
            f". Not finished: {count(len(open_runs), 'run')} of {len(runs)} "
            f"did not reach the {planned} planned epochs"
        )
    return text + "."


def _table(runs: Sequence[Run]) -> Table:
    """The first epochs, the last one and about ten in between, as a mean over the runs."""
    length = min(len(run.curve) for run in runs)
    step = max(1, length // 10)
    chosen = sorted({*range(0, length, step), length - 1})

    def row(at: int) -> tuple[str, ...]:
        epochs: list[Epoch] = [run.curve[at] for run in runs]
        heard = [e.validation_accuracy for e in epochs if e.validation_accuracy is not None]
        return (
            str(epochs[0].epoch),
            f"{statistics.fmean(e.loss for e in epochs):.3f}",
            percent(statistics.fmean(e.accuracy for e in epochs)),
            percent(statistics.fmean(heard)) if heard else "",
            f"{statistics.fmean(e.rate for e in epochs):.2g}",
        )

    title = "Some epochs" + (", mean of all folds" if len(runs) > 1 else "")
    columns = ("epoch", "loss", "accuracy", "validation", "learning rate")
    return Table(title, columns, tuple(row(at) for at in chosen))
