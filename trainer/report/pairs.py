"""Two sounds at once: which pair is taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.model import Model
from trainer.datasets.mix import Made, read_mixes
from trainer.judging.mixes import Judged, figures, score_mixes
from trainer.report.colours import BLUE, CARD, INK, LINE, MUTED, ORANGE
from trainer.report.confusion import STRONG, Layout
from trainer.report.picture import Picture, Table, drawing, tip, to_svg
from trainer.report.predictions import trials_of
from trainer.report.runs import System
from trainer.words import count, folds, percent, plain

MOST_PAIRS = 60
"""A matrix of more rows cannot be read."""

MOST = 30
"""Confusions that are listed."""

Pair = frozenset[str]

OTHERS = ("another pair", "only one of the two", "only a wrong one", "three or more", "nothing")
"""What a pair may be taken for, apart from the pairs of the rows."""


@dataclass(frozen=True)
class Heard:
    """Mixes: the sounds that are in each, and those that it is taken to hold."""

    truths: tuple[Pair, ...]
    taken: tuple[Pair, ...]
    figures: dict[str, Any]
    """As `trainer.judging.mixes.figures` gives them."""

    made: Made
    folds: tuple[int, ...]
    trained_on: tuple[int, ...]
    """Folds among them that the model has learnt from."""


def hear_mixes(
    system: System, folder: Path, asked: Sequence[int] = (), tell: Callable[[str], None] = print
) -> Heard | str:
    """Score mixes with the models of a system, those of a fold with the model that was tested on it.

    A mix is taken to hold the sounds whose mean probability reaches the decision threshold of the class.

    Args:
        folder: what ``esc-train mix`` wrote.
        asked: for a single model: the folds to hear.

    Returns:
        What was heard, or a sentence that says why there is nothing.

    Raises:
        DatasetError: the folder holds no mixes.
    """
    found = read_mixes(folder)
    trials = trials_of(system, found.made.dataset, found.made.folds)
    if not trials:
        return "There is no int8 model yet that could hear mixes."
    judged: list[Judged] = []
    truths: list[Pair] = []
    taken: list[Pair] = []
    used: set[int] = set()
    trained_on: set[int] = set()
    labels = trials[0].model.labels
    thresholds = _thresholds(trials[0].model)
    for trial in trials:
        model, chosen = trial.model, trial.on(found.made.folds, asked)
        mixes = [
            mix
            for mix in found.mixes
            if all(source.label in model.labels for source in mix.sources) and mix.fold in chosen
        ]
        for mix, item in zip(mixes, score_mixes(mixes, folder, model.path), strict=True):
            if item is None:
                continue
            judged.append(item)
            used.add(mix.fold)
            if trial.role(mix.fold) == "training":
                trained_on.add(mix.fold)
            truth, mean = _sets(item, len(labels))
            truths.append(frozenset(labels[at] for at in np.flatnonzero(truth)))
            taken.append(frozenset(labels[at] for at in np.flatnonzero(mean >= _thresholds(model))))
        tell(f"{system.name}: scored {len(mixes)} mixes")
    if not judged:
        return "No mix is of a fold that it is tested on and holds only sounds that it knows."
    return Heard(
        tuple(truths),
        tuple(taken),
        figures(judged, labels, thresholds),
        found.made,
        tuple(sorted(used)),
        tuple(sorted(trained_on)),
    )


def _thresholds(model: Model) -> Any:
    return np.array([rule.decision for rule in model.manifest.classes], np.float32)


def _sets(item: Judged, labels: int) -> tuple[Any, Any]:
    """Labels that are true of some window, and mean probabilities."""
    if not len(item.truth):
        return np.zeros(labels, bool), np.zeros(labels, np.float32)
    return item.truth.any(axis=0), item.probabilities.mean(axis=0)


def column_of(truth: Pair, taken: Pair, pairs: Sequence[Pair]) -> str | Pair:
    """What a pair was taken for: one of the pairs of the rows, or one of `OTHERS`."""
    if not taken:
        return "nothing"
    if len(taken) == 1:
        return "only one of the two" if taken <= truth else "only a wrong one"
    if len(taken) > 2:
        return "three or more"
    return taken if taken in pairs else "another pair"


def pairs_of(heard: Heard) -> list[Pair]:
    """The pairs that occur, by name."""
    return sorted({pair for pair in heard.truths if len(pair) == 2}, key=sorted)


def named(sounds: Pair) -> str:
    """``dog + rain``."""
    return " + ".join(map(plain, sorted(sounds))) or "nothing"


def pairs_picture(heard: Heard, prefix: str = "") -> Picture | str:
    """The matrix, or a sentence when there are no pairs or too many of them."""
    pairs = pairs_of(heard)
    if not pairs:
        return "No mix holds exactly two sounds, so there is no matrix of pairs."
    if len(pairs) > MOST_PAIRS:
        return (
            f"There are {len(pairs):,} different pairs; a matrix of more than {MOST_PAIRS} cannot be read, "
            "so that the most frequent confusions are listed instead."
        )
    counted = Counter(
        (truth, column_of(truth, taken, pairs))
        for truth, taken in zip(heard.truths, heard.taken, strict=True)
        if len(truth) == 2
    )
    used = {column for _, column in counted}
    columns: list[str | Pair] = [*pairs, *(other for other in OTHERS if other in used)]
    titles = [column if isinstance(column, str) else named(column) for column in columns]
    name = f"{prefix}pairs"
    layout = Layout.of(titles, rows=len(pairs))
    shows = _shows(heard, pairs)
    with drawing(layout.width, layout.height) as figure:
        axes = layout.axes(figure)
        _cells(axes, counted, pairs, columns, titles, layout.letters)
        svg = to_svg(figure, name, shows)
    return Picture(
        name,
        "Which pair is taken for which",
        shows,
        "A row is the pair of sounds that is really in a mix, a column the sounds that it is taken to hold. "
        "Blue is exactly right; orange is something else, with the last columns for sets that are no "
        "pair. The percentage at the right is how many of the row are exactly right.",
        svg,
        wide=layout.wide,
        least_px=layout.least_px,
        table=pairs_table(heard),
    )


def pairs_table(heard: Heard) -> Table:
    """The most frequent confusions of pairs."""
    totals = Counter(truth for truth in heard.truths if len(truth) == 2)
    wrong = Counter(
        (truth, taken)
        for truth, taken in zip(heard.truths, heard.taken, strict=True)
        if len(truth) == 2 and truth != taken
    )
    order = sorted(
        wrong, key=lambda key: (-wrong[key] / totals[key[0]], -wrong[key], sorted(key[0]), sorted(key[1]))
    )
    rows = tuple(
        (named(truth), named(taken), str(wrong[truth, taken]), str(totals[truth]))
        for truth, taken in order[:MOST]
    )
    return Table("The most frequent confusions of pairs", ("pair", "taken for", "mixes", "of"), rows)


def figures_table(heard: Heard) -> Table:
    """The headline figures of several sounds at once."""
    known = heard.figures

    def share(key: str) -> str:
        return "" if known[key] is None else percent(known[key])

    def number(key: str) -> str:
        return "" if known[key] is None else f"{known[key]:.3f}"

    rows = (
        ("mixes whose sounds are exactly right", share("clip_exact_match")),
        ("mixes of two where both are the most probable", share("both_in_top")),
        ("windows exactly right", share("exact_match")),
        ("windows with at least one sound right", share("at_least_one")),
        ("F1, mean of the sounds (macro)", number("macro_f1")),
        ("F1, all decisions (micro)", number("micro_f1")),
        ("average precision, mean of the sounds", number("macro_map")),
    )
    made = heard.made
    title = (
        f"{count(known['clips'], 'mix', 'mixes')} in the style {made.style} of {made.dataset}, "
        f"{folds(heard.folds)}; {count(known['windows'], 'window')}"
    )
    return Table(title, ("figure", "value"), rows, folded=False)


def _cells(
    axes: Any,
    counted: Counter[tuple[Pair, str | Pair]],
    pairs: list[Pair],
    columns: list[str | Pair],
    titles: list[str],
    letters: float,
) -> None:
    from matplotlib.patches import Rectangle

    for y, truth in enumerate(pairs):
        total = sum(counted[truth, column] for column in columns)
        for x, column in enumerate(columns):
            mixes = counted[truth, column]
            if not mixes:
                continue
            share = mixes / total
            axes.add_patch(
                Rectangle(
                    (x - 0.5, y - 0.5),
                    1,
                    1,
                    facecolor=BLUE if column == truth else ORANGE,
                    alpha=0.15 + 0.85 * share,
                    linewidth=0,
                    gid=tip(f"{named(truth)} taken for {titles[x]}: {mixes} of {total}"),
                )
            )
            colour = CARD if share > STRONG else INK
            axes.text(x, y, str(mixes), ha="center", va="center_baseline", fontsize=letters, color=colour)
        right = percent(counted[truth, truth] / total, 0)
        axes.text(len(columns) - 0.3, y, right, va="center_baseline", fontsize=letters, color=MUTED)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), titles, rotation=90, fontsize=letters)
    axes.set_yticks(range(len(pairs)), map(named, pairs), fontsize=letters)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(color=LINE, linewidth=0.5)
    if len(columns) > len(pairs):
        axes.axvline(len(pairs) - 0.5, color=MUTED, linewidth=1)


def _shows(heard: Heard, pairs: list[Pair]) -> str:
    two = [(truth, taken) for truth, taken in zip(heard.truths, heard.taken, strict=True) if len(truth) == 2]
    exact = sum(truth == taken for truth, taken in two)
    one = sum(truth != taken and bool(truth & taken) for truth, taken in two)
    text = (
        f"{percent(exact / len(two))} of {count(len(two), 'mix', 'mixes')} of {count(len(pairs), 'pair')} "
        f"are exactly right; in another {percent(one / len(two))} at least one of the two sounds is found."
    )
    rates = {
        pair: sum(taken == pair for truth, taken in two if truth == pair)
        / sum(truth == pair for truth, _ in two)
        for pair in pairs
    }
    worst = min(pairs, key=lambda pair: (rates[pair], sorted(pair)))
    return f"{text} Hardest: {named(worst)} ({percent(rates[worst], 0)})."
