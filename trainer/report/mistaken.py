"""What the sounds that are recognised least are taken for."""

from __future__ import annotations

from trainer.report.colours import BLUE, INK, MUTED, ORANGE
from trainer.report.confusion import matrix
from trainer.report.picture import WIDTH, Picture, drawing, tip, to_svg
from trainer.report.predictions import Predictions
from trainer.words import count, percent, plain

WORST = 10
MOST = 5
"""Sounds that a class may be taken for, each with a bar of its own; the others share one."""


def taken_for(predictions: Predictions, label: int) -> list[tuple[str, int]]:
    """What the clips of a class are taken for, and how many; itself first, the rest by number."""
    row = matrix(predictions)[label]
    names = [*map(plain, predictions.labels), "(nothing)"]
    others = sorted((at for at in row.nonzero()[0] if at != label), key=lambda at: (-row[at], at))
    found = [(names[label], int(row[label]))] + [(names[at], int(row[at])) for at in others[: MOST - 1]]
    rest = others[MOST - 1 :]
    if len(rest) == 1:
        found.append((names[rest[0]], int(row[rest[0]])))
    elif rest:
        found.append((f"{len(rest)} others", int(row[rest].sum())))
    return found


def mistaken(predictions: Predictions, prefix: str = "") -> Picture | str:
    """Bars for the ten worst classes, or a sentence when nothing is ever mistaken."""
    worst = [label for label in predictions.worst(WORST) if predictions.recall(label) < 1.0]
    if not worst:
        return "No sound is ever taken for another one."
    blocks = [(label, taken_for(predictions, label)) for label in worst]
    lines = sum(1 + len(bars) for _, bars in blocks)
    name = f"{prefix}mistaken"
    shows = _shows(predictions, blocks)
    with drawing(WIDTH, 30 + 18 * lines + 8 * len(blocks)) as figure:
        axes = figure.subplots()
        y = 0.0
        ticks: list[tuple[float, str]] = []
        for label, bars in blocks:
            total = sum(clips for _, clips in bars)
            axes.text(
                0, y, f"{plain(predictions.labels[label])}, {count(total, 'clip')}", weight="bold",
                va="center_baseline", fontsize=10,
            )  # fmt: skip
            for at, (taken, clips) in enumerate(bars):
                y += 1
                share = clips / total
                axes.barh(
                    y,
                    share,
                    0.78,
                    color=BLUE if at == 0 else ORANGE,
                    alpha=0.75,
                    gid=tip(f"{plain(predictions.labels[label])} taken for {taken}: {clips} of {total}"),
                )
                axes.text(share + 0.015, y, f"{clips}", va="center_baseline", fontsize=9.5, color=INK)
                ticks.append((y, taken))
            y += 1.45
        axes.set_yticks([at for at, _ in ticks], [taken for _, taken in ticks])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - 0.8, -0.8)
        axes.set_xlim(0, 1.06)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.xaxis.set_major_formatter(lambda share, _: percent(share, 0))
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_color(MUTED)
        svg = to_svg(figure, name, shows)
    return Picture(
        name,
        "What the least recognised sounds are taken for",
        shows,
        "A block for each of them, the worst first. Blue: taken for what it is; orange: taken for "
        "something else. The numbers count clips.",
        svg,
    )


def _shows(predictions: Predictions, blocks: list[tuple[int, list[tuple[str, int]]]]) -> str:
    label, bars = blocks[0]
    total = sum(clips for _, clips in bars)
    name, right = plain(predictions.labels[label]), bars[0][1]
    text = f"Of {count(total, 'clip')} of {name}, {right} {_are(right)} right"
    if len(bars) > 1:
        taken, clips = bars[1]
        text += f" and {clips} {_are(clips)} taken for {taken}"
    return text + "."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
