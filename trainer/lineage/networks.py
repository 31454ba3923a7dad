"""The systems of the lineage and ours side by side, each with a stated budget.

The published budgets of the large networks take days on a small computer; these are reduced ones, and
every figure is shown beside its budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from trainer.recipe import read_recipe
from trainer.training.crossval import FIGURES, CrossValidation
from trainer.words import count

ESC10_FOLDS = (1, 2, 3, 5)
URBAN_FOLDS = (1, 2, 3)
ESC10_LABEL = "dog"
"""A class of ESC-10, whose copies are as many as those of the others."""

ONE_COPY = [{"pitch_semitones": [2.0, 2.0]}]


@dataclass(frozen=True)
class Experiment:
    """One recipe, cross-validated on one dataset within one budget."""

    name: str
    recipe: str
    dataset: str
    folds: tuple[int, ...]
    epochs: int
    test: tuple[int, ...] = ()
    """The folds that are tested on; all of them when empty."""

    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def all_changes(self) -> dict[str, Any]:
        """What is changed in the recipe, by dotted key."""
        return {"data.dataset": self.dataset, "schedule.epochs": self.epochs, **self.changes}

    def budget(self, result: CrossValidation) -> str:
        """What a fold was given: epochs, examples, batch, copies, time."""
        recipe = read_recipe(self.recipe, self.all_changes)
        examples = round(fmean(result.values("examples_per_epoch")))
        parts = [
            f"{count(self.epochs, 'epoch')} of {examples:,} {recipe.examples}",
            f"batch {recipe.schedule.batch}",
        ]
        if recipe.examples == "segments":
            label = ESC10_LABEL if self.dataset == "esc10" else ""
            copies = sum(c.repeat for c in recipe.copies if not c.labels or label in c.labels)
            parts.append(f"{copies} copies" if copies != 1 else "1 copy")
        parts.append(f"{fmean(result.values('train_s')) / 60:.1f} minutes")
        return ", ".join(parts)


def _esc10(name: str, recipe: str, epochs: int, **changes: Any) -> Experiment:
    return Experiment(f"esc10-{name}", recipe, "esc10", ESC10_FOLDS, epochs, (), _dotted(changes))


def _urban(name: str, recipe: str, epochs: int, **changes: Any) -> Experiment:
    return Experiment(f"urban-{name}", recipe, "urbansound8k", URBAN_FOLDS, epochs, (), _dotted(changes))


def _esc50(name: str, recipe: str, epochs: int, **changes: Any) -> Experiment:
    return Experiment(f"esc50-{name}", recipe, "esc50", ESC10_FOLDS, epochs, (5,), _dotted(changes))


def _dotted(changes: dict[str, Any]) -> dict[str, Any]:
    """``schedule__batch`` as ``schedule.batch``."""
    return {key.replace("__", "."): value for key, value in changes.items()}


EXPERIMENTS: tuple[Experiment, ...] = (
    _esc10("piczak", "piczak", 15, schedule__batch=200),
    _esc10("base", "base", 30),
    _urban("base", "base", 25),
    _urban("piczak", "piczak", 30, schedule__batch=200, copies=[]),
    _esc10("tiny", "tiny", 20),
    _urban("tiny", "tiny", 20),
    _esc10("recurrent", "recurrent", 10),
    _urban("recurrent", "recurrent", 10, copies=[]),
    _esc10("multibranch-slim", "multibranch-slim", 8),
    _urban("multibranch-slim", "multibranch-slim", 5, copies=[]),
    _esc10("multilabel", "multilabel", 12, schedule__single_epochs=12),
    _urban("multilabel", "multilabel", 10, schedule__single_epochs=10),
    # Two sounds at once, as the work of 2017 tried it: pairs alone, pairs after single sounds, and
    # single-label networks that have or have not met a faint second sound (30 dB below).
    _urban("pairs", "multilabel", 15, schedule__single_epochs=0),
    _urban("pairs-pretrained", "multilabel", 30, schedule__single_epochs=15),
    _urban(
        "piczak-overlays",
        "piczak",
        15,
        schedule__batch=200,
        copies=[],
        mixes__level_db=[-30.0, -30.0],
        mixes__truth="first",
        mixes__with_singles=True,
    ),
    # The comparison on 50 classes: equal copies and equal epochs.
    _esc50("piczak", "piczak", 5, copies=ONE_COPY, schedule__batch=64),
    _esc50("multibranch", "multibranch-full", 5, copies=ONE_COPY, schedule__batch=64),
    _esc50("multibranch-slim", "multibranch-slim", 5, copies=ONE_COPY, schedule__batch=64),
    _esc50("base", "base", 5, schedule__examples_per_epoch=7200),
    _esc10("multibranch", "multibranch-full", 4, copies=[], schedule__batch=64),
    _urban("multibranch", "multibranch-full", 1, copies=[], schedule__batch=64),
    _esc10("piczak-short", "piczak-short", 6, schedule__batch=200, schedule__learning_rate=0.01),
    _urban("piczak-short", "piczak-short", 10, schedule__batch=200, schedule__learning_rate=0.01, copies=[]),
    # The published budget, with a mean and deviation for each feature and a lower floor.
    Experiment(
        "esc10-piczak-published",
        "piczak",
        "esc10",
        ESC10_FOLDS,
        150,
        (1,),
        {"normalise": "feature", "front_end.floor": 1e-8},
    ),
)


def table(results: Mapping[str, CrossValidation]) -> str:
    """All results as a table in Markdown: means and standard deviations over folds, in percent."""
    lines = [
        "| experiment | segments | majority | probability | int8: windows | majority | probability | "
        "float | parameters | int8 kB | budget a fold |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for item in EXPERIMENTS:
        if item.name not in results:
            continue
        result = results[item.name]
        first = result.folds[0]
        cells = [item.name]
        for figure, _ in FIGURES:
            spread = f" +- {100 * result.deviation(figure):.1f}" if len(result.folds) > 1 else ""
            cells.append(f"{100 * result.mean(figure):.1f}{spread}")
        cells.append(f"{100 * result.mean('float_probability'):.1f}")
        cells += [f"{first.parameters:,}", f"{first.int8_bytes / 1000:.0f}", item.budget(result)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
