"""Train the network of a recipe within its fixed budget."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

from streamer.tables import to_table
from streamer.types import FloatArray
from trainer.examples import TrainingData, epoch_batches, load_training_data
from trainer.networks import NETWORKS
from trainer.recipe import Recipe, RecipeError

Batch = tuple[FloatArray, FloatArray]


def known_crossentropy(targets: Any, probabilities: Any) -> Any:
    """Binary cross-entropy summed over the labels about which something is known (target >= 0)."""
    from keras import ops

    known = ops.cast(targets >= 0.0, "float32")
    p = ops.clip(probabilities, 1e-6, 1.0 - 1e-6)
    loss = -(targets * ops.log(p) + (1.0 - targets) * ops.log(1.0 - p))
    return ops.sum(loss * known, axis=-1)


def prepared(batches: Iterator[Batch], ahead: int = 4) -> Iterator[Batch]:
    """The same batches, made in a thread of their own while the network computes."""
    ready: Queue[Batch | BaseException | None] = Queue(maxsize=ahead)

    def produce() -> None:
        try:
            for batch in batches:
                ready.put(batch)
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    threading.Thread(target=produce, daemon=True).start()
    while (item := ready.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def fit(recipe: Recipe, data_folder: Path, background: Path | None, out: Path) -> None:
    """Train and leave ``network.keras`` and ``training.json`` in `out`.

    A run that was stopped continues from its last finished epoch when it is started again with the
    same recipe and folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = load_training_data(recipe, data_folder, background)
    for path in data.unreadable:
        print(f"skipped, unreadable: {path}")
    print(f"{len(data.clips)} clips, {len(data.labels)} labels; {len(data.unreadable)} skipped", flush=True)

    import keras  # not before the data is known to be there, and read by forked processes

    plan = recipe.schedule
    keras.utils.set_random_seed(plan.seed)
    steps = plan.examples_per_epoch // plan.batch
    network = NETWORKS[recipe.network](
        recipe.window_frames, recipe.front_end.frame_columns, len(data.labels), **recipe.options
    )
    warmup = int(plan.warmup_epochs * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5,
        max(1, plan.epochs * steps - warmup),
        alpha=0.0,
        warmup_target=plan.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(optimizer, known_crossentropy, jit_compile=False)
    print(f"{network.name}: {network.count_params():,} parameters", flush=True)

    checkpoint = out / "checkpoint.keras"
    progress = out / "progress.json"
    first = 0
    if checkpoint.is_file() and progress.is_file():
        refuse_another_recipe(out, recipe)
        first = int(json.loads(progress.read_text())["epochs"])
        continue_from(checkpoint, network)
        print(f"continued after epoch {first}", flush=True)
    write_training(out, recipe, data)
    keep_epochs(out / "curve.csv", first)
    for epoch in range(first, plan.epochs):
        began = time.monotonic()
        network.reset_metrics()
        losses = [
            float(network.train_on_batch(inputs, targets))
            for inputs, targets in prepared(epoch_batches(data, recipe, epoch))
        ]
        seconds = time.monotonic() - began
        print(f"epoch {epoch + 1}/{plan.epochs}: loss {losses[-1]:.3f}, {seconds:.1f} s", flush=True)
        log_epoch(out / "curve.csv", epoch + 1, losses[-1], seconds)
        if (epoch + 1) % 5 == 0 or epoch + 1 == plan.epochs:
            save(network, checkpoint)
            progress.write_text(json.dumps({"epochs": epoch + 1}))
    save(network, out / "network.keras")


def refuse_another_recipe(out: Path, recipe: Recipe) -> None:
    """A run is continued only with the recipe that it began with.

    Raises:
        RecipeError: the folder holds a run of another recipe.
    """
    began_with = json.loads((out / "training.json").read_text())["recipe"]
    if began_with != json.loads(json.dumps(to_table(recipe))):
        raise RecipeError(f"{out} holds a run of another recipe; choose another --out or remove it")


def continue_from(checkpoint: Path, network: Any) -> None:
    """Take over weights and the state of the optimizer.

    A loaded network would have forgotten which variables are spared from weight decay.
    """
    import keras

    saved = keras.models.load_model(checkpoint, custom_objects={"known_crossentropy": known_crossentropy})
    network.set_weights(saved.get_weights())
    network.optimizer.build(network.trainable_variables)
    for variable, value in zip(network.optimizer.variables, saved.optimizer.variables, strict=True):
        variable.assign(value)


def save(network: Any, path: Path) -> None:
    """Write beside, then rename: a full disk or a kill leaves the file before untouched."""
    beside = path.with_name(f"new-{path.name}")
    network.save(beside)
    beside.replace(path)


def write_training(out: Path, recipe: Recipe, data: TrainingData) -> None:
    """Note what the export must know: the recipe, the labels and the normalisation."""
    table = {
        "recipe": to_table(recipe),
        "labels": list(data.labels),
        "mean": [round(float(v), 4) for v in data.normalisation.mean],
        "std": [round(float(v), 4) for v in data.normalisation.std],
        "clips": len(data.clips),
        "skipped": len(data.unreadable),
    }
    (out / "training.json").write_text(json.dumps(table, indent=1))


def keep_epochs(path: Path, epochs: int) -> None:
    """Drop what a stopped run noted after its last checkpoint."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: 1 + epochs]), encoding="utf-8")


def log_epoch(path: Path, epoch: int, loss: float, seconds: float) -> None:
    """Append one line of the learning curve."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["epoch", "loss", "seconds"])
        writer.writerow([epoch, f"{loss:.4f}", f"{seconds:.1f}"])
