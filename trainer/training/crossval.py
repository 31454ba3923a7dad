"""Cross-validation over official folds: each fold is the test of a network that never saw it.

Every fold is trained with the fixed budget of the recipe in a folder of its own, exported to int8 and
scored twice: in floating point by the recipe's own protocol, and as int8 through the streaming code.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import signal
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from streamer.model import load_model
from streamer.tables import TableError, from_table, to_table
from trainer.caveats import caveats
from trainer.datasets import read_dataset
from trainer.examples.load import Sources, load_examples, read_material
from trainer.exporting.export import ExportOptions, described_background, export, read_trained
from trainer.judging.clips import evaluate
from trainer.recipe import Recipe, RecipeError
from trainer.training import progress
from trainer.training.checkpoint import write_text
from trainer.training.fit import fit, refuse_another_recipe
from trainer.training.protocol import Exam


@dataclass(frozen=True)
class FoldResult:
    """What one test fold came to; accuracies from 0 to 1."""

    fold: int
    clips: int
    segment: float
    majority: float
    probability: float
    """Float, whole recordings, the recipe's own segments: segments, and clips by both votes."""

    int8_window: float
    int8_majority: float
    int8_probability: float
    """Int8, through the streaming code: windows, and clips by both votes."""

    float_probability: float
    """Float, through the streaming code: clips by mean probability, beside `int8_probability`."""

    int8_bytes: int
    parameters: int
    epochs: int
    examples_per_epoch: int
    train_s: float
    skipped: int = 0
    """Test clips that could not be read."""


FIGURES = (
    ("segment", "segments"),
    ("majority", "majority"),
    ("probability", "probability"),
    ("int8_window", "windows"),
    ("int8_majority", "majority"),
    ("int8_probability", "probability"),
)


@dataclass(frozen=True)
class CrossValidation:
    """All folds of one recipe."""

    recipe: str
    dataset: str
    folds: tuple[FoldResult, ...]
    caveats: tuple[str, ...] = ()
    """What limits the figures (see `trainer.caveats`)."""

    labels: tuple[str, ...] = ()

    def values(self, figure: str) -> list[float]:
        """One figure of every fold."""
        return [getattr(fold, figure) for fold in self.folds]

    def mean(self, figure: str) -> float:
        """Mean over folds."""
        return statistics.fmean(self.values(figure))

    def deviation(self, figure: str) -> float:
        """Standard deviation over folds (of the sample), 0 for a single one."""
        return statistics.stdev(self.values(figure)) if len(self.folds) > 1 else 0.0


def without_fold(recipe: Recipe, fold: int, folds: Sequence[int]) -> Recipe:
    """The recipe whose test fold is `fold`: it learns from the others, less its validation folds.

    Raises:
        RecipeError: nothing would be left to learn from.
    """
    validation = tuple(v for v in recipe.data.validation_folds if v != fold)
    train = tuple(f for f in folds if f != fold and f not in validation)
    if not train:
        raise RecipeError(f"with fold {fold} as the test nothing is left to learn from: give more --folds")
    data = dataclasses.replace(recipe.data, train_folds=train, validation_folds=validation)
    return dataclasses.replace(recipe, data=data)


def run_fold(
    recipe: Recipe, fold: int, sources: Sources, out: Path, teachers: Sequence[Path] = ()
) -> FoldResult:
    """Train, export and score one fold; what is already there is not done again."""
    # TensorFlow warns that several networks are scored in one process.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    refuse_another_recipe(out, recipe)
    notes = out / "result.json"
    try:
        return from_table(FoldResult, json.loads(notes.read_text(encoding="utf-8")))
    except (FileNotFoundError, TableError, ValueError):
        pass  # it is not there, damaged, or of an older version: scoring again takes no training
    if not (out / "network.keras").is_file():
        fit(recipe, sources, out, teachers)
    trained = read_trained(out)
    material = read_material(recipe, sources)
    examples = load_examples(recipe, material, sources)
    everything = read_dataset(recipe.data.dataset, sources.folder(recipe.data.dataset))
    clips = [clip for clip in everything if clip.fold == fold]
    exam = Exam(clips, examples, recipe, sources.cache)
    for path in exam.unreadable:
        print(f"skipped, unreadable: {path}")
    whole = exam.score(trained.load())
    background = described_background(examples.backgrounds, recipe.front_end.sample_rate_hz)
    scored = {}
    for kind in (recipe.kind, "float32"):
        path = out / f"{kind}.tflite"
        export(trained, examples, path, ExportOptions(kind, background))
        scored[kind] = evaluate(load_model(path), clips)
    result = FoldResult(
        fold=fold,
        clips=whole.clips,
        segment=round(whole.segment_accuracy, 5),
        majority=round(whole.majority, 5),
        probability=round(whole.probability, 5),
        int8_window=round(scored[recipe.kind].window_accuracy, 5),
        int8_majority=round(scored[recipe.kind].majority_accuracy, 5),
        int8_probability=round(scored[recipe.kind].clip_accuracy, 5),
        float_probability=round(scored["float32"].clip_accuracy, 5),
        int8_bytes=(out / f"{recipe.kind}.tflite").stat().st_size,
        parameters=trained.load().count_params(),
        epochs=recipe.schedule.epochs,
        examples_per_epoch=examples.examples_per_epoch,
        train_s=round(trained.seconds(), 1),
        skipped=len(exam.unreadable),
    )
    write_text(notes, json.dumps(to_table(result), indent=1))
    return result


def local_processes(jobs: int) -> Executor:
    """Processes of this machine, started afresh: a forked TensorFlow hangs."""
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_process,
        initargs=(jobs == 1,),
    )


def _begin_process(alone: bool) -> None:
    # Standard output is for the result.
    sys.stdout = sys.stderr
    progress.BARS = alone
    # Ctrl-C ends a process at once instead of beginning its next fold; checkpoints make that safe.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def crossval(
    recipe: Recipe,
    folds: Sequence[int],
    sources: Sources,
    out: Path,
    executor: Executor,
    test: Sequence[int] = (),
    teachers: Sequence[Path] = (),
) -> CrossValidation:
    """Train and score a recipe on every fold.

    Args:
        folds: each is the test fold once; the others are learnt from.
        out: gets a folder for every fold; finished folds are not repeated.
        executor: where the folds run, anything with the interface of `concurrent.futures`.
        test: the folds to test on, when not all of them.
        teachers: folders of other cross-validations; each fold is taught by their networks that were kept
            from it as well.
    """
    tested = tuple(test) or tuple(folds)
    recipes = [without_fold(recipe, fold, folds) for fold in tested]
    running = [
        executor.submit(
            run_fold,
            item,
            fold,
            sources,
            out / f"fold-{fold}",
            [folder / f"fold-{fold}" for folder in teachers],
        )
        for item, fold in zip(recipes, tested, strict=True)
    ]
    try:
        results = [future.result() for future in running]
    finally:
        for future in running:
            future.cancel()
    material = read_material(recipes[0], sources)
    # Nothing here counts false alarms; that the networks learnt from background is all there is to know.
    background = bool(material.background or material.background_held_out)
    limits = caveats(material.labels, background, background)
    result = CrossValidation(recipe.name, recipe.data.dataset, tuple(results), limits, material.labels)
    write_text(out / "crossval.json", json.dumps(to_table(result), indent=1))
    return result


def readable(result: CrossValidation) -> str:
    """A table for people: every fold, then mean and standard deviation."""
    lines = (
        [f"{result.recipe} on {result.dataset}: no accuracy, {result.labels[0]} is the only label"]
        if len(result.labels) == 1
        else _accuracies(result)
    )
    first = result.folds[0]
    lines.append(
        f"budget: {first.epochs} epochs of {first.examples_per_epoch:,} examples, "
        f"{statistics.fmean(result.values('train_s')) / 60:.1f} minutes a fold; "
        f"{first.parameters:,} parameters, int8 file {first.int8_bytes / 1000:.0f} kB"
    )
    if skipped := sum(fold.skipped for fold in result.folds):
        lines.append(f"{skipped} test clips could not be read and are left out")
    return "\n".join(lines)


def _accuracies(result: CrossValidation) -> list[str]:
    titles = [" ".join(f"{name:>11}" for _, name in part) for part in (FIGURES[:3], FIGURES[3:])]
    lines = [
        f"{result.recipe} on {result.dataset}, accuracy in %",
        f"{'':>8}   {'float, whole recordings':^31}   {'int8, streamed':^31}",
        f"{'fold':>8}   {titles[0]}   {titles[1]}",
    ]

    def row(name: str, values: Sequence[float]) -> str:
        texts = [f"{100 * value:11.1f}" for value in values]
        return f"{name:>8}   " + " ".join(texts[:3]) + "   " + " ".join(texts[3:])

    keys = [key for key, _ in FIGURES]
    lines += [row(str(fold.fold), [getattr(fold, key) for key in keys]) for fold in result.folds]
    lines.append(row("mean", [result.mean(key) for key in keys]))
    lines.append(row("+-", [result.deviation(key) for key in keys]))
    return lines
