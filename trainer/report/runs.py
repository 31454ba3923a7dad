"""What a report is about: folders that ``fit`` or ``crossval`` wrote, and models."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import EscListenError, ModelError
from streamer.model import Model, load_model
from streamer.tables import TableError, from_table
from trainer.recipe import Recipe
from trainer.training.crossval import CrossValidation, FoldResult


class ReportError(EscListenError):
    """A report cannot be written; the message says what is missing."""


@dataclass(frozen=True)
class Epoch:
    """One row of a learning curve; accuracies from 0 to 1."""

    epoch: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    rate: float


@dataclass(frozen=True)
class Run:
    """One training: the folder of ``fit``, or that of one fold."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    clips: int
    """That it learnt from."""

    curve: tuple[Epoch, ...]
    fold: int | None
    """The test fold, where the folder tells."""

    result: FoldResult | None
    """Figures of the fold, once it is scored."""

    model: Path | None
    """The int8 ``.tflite``, once it is exported."""

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return (self.folder / "network.keras").is_file()


@dataclass(frozen=True)
class System:
    """What one report, or one column of a comparison, is about."""

    name: str
    runs: tuple[Run, ...]
    """One, or one for each fold."""

    model: Model | None = None
    """A single model that is judged in the place of those of the runs."""

    @property
    def recipe(self) -> Recipe | None:
        """That of the runs; the test fold apart, they share it."""
        return self.runs[0].recipe if self.runs else None

    @property
    def datasets(self) -> tuple[str, ...]:
        """What it learnt from: its own dataset, whose folds count, then those that were learnt from whole."""
        if self.runs:
            data = self.runs[0].recipe.data
            return (data.dataset, *data.also)
        assert self.model is not None
        return tuple(self.model.manifest.provenance.dataset.split(", "))

    @property
    def dataset(self) -> str:
        """Whose sounds it knows."""
        return self.datasets[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """Its classes."""
        return self.model.labels if self.model is not None else self.runs[0].labels

    @property
    def crossval(self) -> CrossValidation | None:
        """Figures of all folds that are scored."""
        results = tuple(run.result for run in self.runs if run.result is not None)
        if not results:
            return None
        return CrossValidation(self.runs[0].recipe.name, self.dataset, results)


def read_system(folder: Path) -> System:
    """Read the folder of a ``fit`` or of a ``crossval``.

    Raises:
        ReportError: it is neither, or damaged.
    """
    if (folder / "training.json").is_file():
        run = read_run(folder)
        return System(run.recipe.name, (run,))
    if not folder.is_dir():
        raise ReportError(f"there is no folder {folder}; give one that esc-train fit or crossval wrote")
    folds = sorted(folder.glob("fold-*/training.json"), key=lambda notes: _fold_of(notes.parent) or 0)
    if not folds:
        raise ReportError(f"{folder} holds no training; give a folder that esc-train fit or crossval wrote")
    runs = tuple(read_run(notes.parent) for notes in folds)
    for run in runs:
        if (run.recipe.name, run.labels) != (runs[0].recipe.name, runs[0].labels):
            raise ReportError(f"{run.folder} and {runs[0].folder} are runs of different recipes")
    return System(runs[0].recipe.name, runs)


def read_run(folder: Path) -> Run:
    """Read the folder of one training.

    Raises:
        ReportError: a file in it is damaged.
    """
    notes = folder / "training.json"
    try:
        table = json.loads(notes.read_text(encoding="utf-8"))
        recipe = from_table(Recipe, table["recipe"])
        labels, mean, std = (tuple(table[key]) for key in ("labels", "mean", "std"))
        clips = int(table["clips"])
        notes = folder / "curve.csv"
        curve = read_epochs(notes) if notes.is_file() else ()
        notes = folder / "result.json"
        result = None
        if notes.is_file():
            result = from_table(FoldResult, json.loads(notes.read_text(encoding="utf-8")))
    except (TableError, ModelError, KeyError, TypeError, ValueError, csv.Error) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else error
        raise ReportError(f"{notes} is damaged or of another version ({reason}); train again") from error
    model = folder / "int8.tflite"
    return Run(
        folder=folder,
        recipe=recipe,
        labels=labels,
        mean=mean,
        std=std,
        clips=clips,
        curve=curve,
        fold=result.fold if result else _fold_of(folder),
        result=result,
        model=model if model.is_file() else None,
    )


def read_epochs(path: Path) -> tuple[Epoch, ...]:
    """Read ``curve.csv``.

    Raises:
        KeyError, ValueError: a column is missing or holds no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            Epoch(
                int(row["epoch"]),
                float(row["loss"]),
                float(row["accuracy"]),
                float(row["validation_accuracy"]) if row["validation_accuracy"] else None,
                float(row["rate"]),
            )
            for row in csv.DictReader(file)
        )


def read_systems(folders: Sequence[Path], model: str | None) -> list[System]:
    """All that a report is about, each under a name of its own.

    Args:
        folders: of runs.
        model: a ``.tflite``, or a shipped model's name, to be judged in the place of the run's own one.

    Raises:
        ReportError: there is nothing to report on, or a model and several runs.
        ModelError: the model cannot be used.
    """
    systems = [read_system(folder) for folder in folders]
    if model is not None:
        judged = load_model(model)
        if not systems:
            return [System(judged.name, (), judged)]
        if len(systems) > 1 or len(systems[0].runs) > 1:
            raise ReportError("--model goes with the folder of one training; leave it away or give one RUN")
        if systems[0].labels != judged.labels:
            raise ReportError(f"the model {judged.name} has other classes than {folders[0]}")
        return [System(systems[0].name, systems[0].runs, judged)]
    if not systems:
        raise ReportError("nothing to report on: give a RUN, or --model FILE.tflite")
    names = [system.name for system in systems]
    clear = []
    for system, folder in zip(systems, folders, strict=True):
        twice = names.count(system.name) > 1
        clear.append(System(folder.resolve().name if twice else system.name, system.runs))
    for at, system in enumerate(clear):
        if system.name in [other.name for other in clear[:at]]:
            raise ReportError(f"{folders[at]} is given twice, or is called as another RUN; rename the folder")
    return clear


def _fold_of(folder: Path) -> int | None:
    found = re.fullmatch(r"fold-(\d+)", folder.name)
    return int(found[1]) if found else None
