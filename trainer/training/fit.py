"""Train the network of a recipe within its fixed budget."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

from streamer.errors import ModelError
from streamer.native import quiet_native_code
from streamer.tables import TableError, from_table, to_table
from trainer.datasets import DatasetError
from trainer.examples.inputs import Batch, for_keras
from trainer.examples.load import Examples, Sources, load_examples, read_material
from trainer.networks import build_network
from trainer.recipe import Recipe, RecipeError
from trainer.training.checkpoint import Checkpoints, write_text
from trainer.training.losses import loss_of, top_is_there
from trainer.training.optimizers import build_optimizer, rate_after
from trainer.training.progress import EpochResult, Progress
from trainer.training.protocol import Exam
from trainer.training.teacher import Teachers
from trainer.training.transfer import Embedded, begin, runner

CURVE = ("epoch", "loss", "accuracy", "validation_accuracy", "rate", "seconds", "data_rate", "network_rate")


class Prepared:
    """Batches made in a thread of their own while the network computes."""

    def __init__(self, batches: Iterator[Batch], ahead: int = 4) -> None:
        self._ready: Queue[Batch | BaseException | None] = Queue(maxsize=ahead)
        self.making_s = 0.0
        """Processor time that went into making them."""

        self.waiting_s = 0.0
        """Time that the network waited for them."""

        threading.Thread(target=self._produce, args=(batches,), daemon=True).start()

    def _produce(self, batches: Iterator[Batch]) -> None:
        try:
            for batch in batches:
                self.making_s = time.thread_time()
                self._ready.put(batch)
            self._ready.put(None)
        except BaseException as error:
            self._ready.put(error)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            item = self._ready.get()
            self.waiting_s += time.perf_counter() - began
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers under a Keras dtype policy."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fit(recipe: Recipe, sources: Sources, out: Path, teachers: Sequence[Path] = ()) -> None:
    """Train and leave ``network.keras``, ``training.json`` and ``curve.csv`` in `out`.

    A run that was stopped continues from its last checkpoint when it is started again with the same
    recipe and folder; one that is finished is left alone.

    Args:
        teachers: finished runs whose answers are learnt as well, as far as the recipe says.

    Raises:
        RecipeError: the folder holds a run of another recipe, the recipe does not fit the data, or a
            teacher does not fit the recipe.
        DatasetError: a folder is not the dataset, or no clip of a class can be read.
        NetworkError: there is no such network.
        OSError: the folder cannot be written to.
    """
    if bool(teachers) != (recipe.schedule.teacher_share > 0):
        raise RecipeError(
            "a teacher without schedule.teacher_share above 0 teaches nothing"
            if teachers
            else "schedule.teacher_share is above 0: name a finished run with --teacher"
        )
    if teachers and recipe.transfer:
        raise RecipeError("a recipe with transfer learns only a head, which no teacher can be asked about")
    out.mkdir(parents=True, exist_ok=True)
    refuse_another_recipe(out, recipe)
    if (out / "network.keras").is_file():
        print(f"{out} holds the finished training", flush=True)
        return
    material = read_material(recipe, sources)
    examples = load_examples(recipe, material, sources)
    # With one label every segment would be right.
    watched = material.validation if len(material.labels) > 1 else ()
    validation = Exam(watched, examples, recipe, sources.cache) if watched else None
    unreadable = examples.unreadable + (validation.unreadable if validation else ())
    for path in unreadable:
        print(f"skipped, unreadable: {path}")
    print(
        f"{len(examples.clips)} clips, {len(examples.labels)} labels; {len(unreadable)} skipped, "
        f"{material.dropped} left out because their recording is held out",
        flush=True,
    )
    unheard = sorted(set(examples.labels) - {clip.label for clip in examples.clips})
    if unheard:
        raise DatasetError(f"no clip of {unheard[0]!r} to learn from can be read")
    with quiet_native_code():
        import keras  # not before the data is known to be there, and read by forked processes

    plan = recipe.schedule
    taught_by = Teachers(teachers, recipe, examples) if teachers else None
    keras.utils.set_random_seed(plan.seed)
    with precision(plan.precision):
        network = build_network(
            recipe.network, recipe.input_shapes, len(examples.labels), recipe.outputs, recipe.options
        )
    learner = network
    if recipe.transfer:
        trunk, learner = begin(network, recipe, recipe.transfer, examples.labels, sources.published)
        examples = Embedded(examples, runner(trunk), recipe.transfer.draws, plan.batch, plan.seed)
    steps = -(-examples.examples_per_epoch // plan.batch)
    learner.compile(
        build_optimizer(plan, steps),
        loss_of(recipe.outputs),
        metrics=[top_is_there],
        jit_compile=keras.backend.backend() == "jax",  # which is slow without; the others are not
    )
    print(
        f"{network.name}: {network.count_params():,} parameters; "
        f"{examples.examples_per_epoch:,} examples an epoch",
        flush=True,
    )
    checkpoints = Checkpoints(out)
    first = checkpoints.restore(learner)
    if first:
        print(f"continued after epoch {first}", flush=True)
    write_training(out, recipe, examples, taught_by.names if taught_by else ())
    # What a stopped run noted after its last checkpoint is dropped.
    curve = [row for row in read_curve(out / "curve.csv") if int(row["epoch"]) <= first]
    scores = [float(row["validation_accuracy"]) for row in curve if row["validation_accuracy"]]
    with Progress(recipe.name, plan.epochs, first) as progress:
        for epoch in range(first, plan.epochs):
            if plan.rate == "plateau":
                rate = float(learner.optimizer.learning_rate)
                learner.optimizer.learning_rate = rate_after(rate, scores)
            result = train_epoch(learner, examples, epoch, progress, taught_by)
            if validation:
                heard = validation.score(network).segment_accuracy
                result = dataclasses.replace(result, validation_accuracy=heard)
            if result.validation_accuracy is not None:
                scores.append(result.validation_accuracy)
            progress.epoch(result)
            curve.append(row_of(result))
            if problem := write_curve(out / "curve.csv", curve):
                progress.note(problem)
            if problem := checkpoints.after_epoch(learner, epoch + 1):
                progress.note(problem)
    checkpoints.finish(network)


def train_epoch(
    network: Any,
    examples: Examples,
    epoch: int,
    progress: Progress,
    teachers: Teachers | None = None,
) -> EpochResult:
    """Learn from every batch of an epoch once."""
    began = time.perf_counter()
    prepared = Prepared(examples.epoch(epoch))
    learnt = 0
    loss = right = 0.0
    for inputs, targets in prepared:
        if teachers:
            targets = teachers.soften(inputs, targets)
        network.reset_metrics()  # older versions of Keras go on averaging
        of_batch = network.train_on_batch(for_keras(inputs), targets)
        loss += float(of_batch[0]) * len(targets)
        right += float(of_batch[1]) * len(targets)
        learnt += len(targets)
        progress.batch(epoch, min(1.0, learnt / examples.examples_per_epoch))
    network_s = time.perf_counter() - began - prepared.waiting_s
    return EpochResult(
        epoch=epoch + 1,
        loss=loss / max(1, learnt),
        accuracy=right / max(1, learnt),
        validation_accuracy=None,
        rate=float(network.optimizer.learning_rate),
        seconds=time.perf_counter() - began,
        data_rate=learnt / max(1e-9, prepared.making_s),
        network_rate=learnt / max(1e-9, network_s),
        one_label=len(examples.labels) == 1,
    )


def refuse_another_recipe(out: Path, recipe: Recipe) -> None:
    """A run is continued only with the recipe that it began with.

    Raises:
        RecipeError: the folder holds a run of another recipe.
    """
    notes = out / "training.json"
    if not notes.is_file():
        return
    try:
        began_with = from_table(Recipe, json.loads(notes.read_text(encoding="utf-8"))["recipe"])
    except (TableError, ModelError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{notes} is damaged ({error}); choose another --out or remove it") from error
    if began_with != recipe:
        raise RecipeError(f"{out} holds a run of another recipe; choose another --out or remove it")


def write_training(out: Path, recipe: Recipe, examples: Examples, teachers: Sequence[str] = ()) -> None:
    """Note what the export must know: the recipe, the labels, the normalisation and the teachers."""
    table = {
        "recipe": to_table(recipe),
        "labels": list(examples.labels),
        "mean": [round(float(v), 4) for v in examples.normalisation.mean],
        "std": [round(float(v), 4) for v in examples.normalisation.std],
        "teachers": list(teachers),
        "clips": len(examples.clips),
        "skipped": len(examples.unreadable),
    }
    write_text(out / "training.json", json.dumps(table, indent=1))


def read_curve(path: Path) -> list[dict[str, str]]:
    """The learning curve so far, one row an epoch."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def row_of(result: EpochResult) -> dict[str, str]:
    """One row of the learning curve."""
    heard = "" if result.validation_accuracy is None else f"{result.validation_accuracy:.4f}"
    values = (
        f"{result.epoch}",
        f"{result.loss:.4f}",
        f"{result.accuracy:.4f}",
        heard,
        f"{result.rate:.3g}",
        f"{result.seconds:.1f}",
        f"{result.data_rate:.0f}",
        f"{result.network_rate:.0f}",
    )
    return dict(zip(CURVE, values, strict=True))


def write_curve(path: Path, rows: list[dict[str, str]]) -> str:
    """Write the whole learning curve. Gives a line for people when that fails: the training goes on."""
    table = io.StringIO()
    writer = csv.DictWriter(table, CURVE, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        write_text(path, table.getvalue())
    except OSError as error:
        return f"the learning curve is not written: {error.strerror or error}"
    return ""
