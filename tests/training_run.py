"""Trainings in processes of their own, which save a checkpoint after every epoch.

python training_run.py fit FOLDER
python training_run.py whole RECIPE.toml DATA BACKGROUND RUN MODEL [KEY=VALUE ...]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trainer.training.checkpoint
from streamer.tables import from_table, to_table
from trainer.cli import main
from trainer.examples.cache import ArrayCache
from trainer.examples.load import Sources
from trainer.recipe import Recipe
from trainer.training.fit import fit

PATIENCE_S = 900.0
"""For a machine that has better things to do."""
STOPPED = "--- stopped ---"
RESUMED = "--- resumed ---"


@contextmanager
def started(
    folder: Path, recipe: Recipe, sources: Sources, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a training that leaves its results in ``folder/run``.

    The process is gone at the end, whatever happens.
    """
    described = {
        "recipe": to_table(recipe),
        "datasets": {name: str(path) for name, path in sources.datasets.items()},
        "background": str(sources.background) if sources.background else "",
    }
    (folder / "training.json").write_text(json.dumps(described), encoding="utf-8")
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, "fit", str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def wait_for_checkpoint(run: Path) -> None:
    """Until a training has saved one."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not list(run.glob("checkpoint-*.keras")):
        assert time.monotonic() < deadline_s, "still no checkpoint"
        time.sleep(0.005)


def fit_described(folder: Path) -> int:
    """What `started` starts."""
    described = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    datasets = {name: Path(path) for name, path in described["datasets"].items()}
    background = Path(described["background"]) if described["background"] else None
    wanted = from_table(Recipe, described["recipe"])
    fit(wanted, Sources(datasets, background, ArrayCache(None)), folder / "run")
    return 0


def whole_training(recipe: str, data: str, background: str, run: str, model: str, *changes: str) -> int:
    """Fit, press Ctrl-C on the way, fit again, export; TensorFlow is loaded only once.

    Gives the exit status of the first command that fails, or 0.
    """
    inputs = [f"--data=esc50={data}", f"--background={background}", "--no-cache"]
    arguments = ["fit", recipe, *inputs, f"--out={run}", *(f"--set={change}" for change in changes)]

    def press_ctrl_c() -> None:
        wait_for_checkpoint(Path(run))
        os.kill(os.getpid(), signal.SIGINT)

    # What is started in the background of a shell would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press_ctrl_c, daemon=True).start()
    if main(arguments) != 1 or (Path(run) / "network.keras").exists():
        return 1  # it was to be stopped
    print(STOPPED, flush=True)
    status = main(arguments)
    print(RESUMED, flush=True)
    return status or main(["export", run, *inputs, f"--out={model}"])


if __name__ == "__main__":
    trainer.training.checkpoint.EVERY_S = 0.0
    what, *rest = sys.argv[1:]
    sys.exit(fit_described(Path(rest[0])) if what == "fit" else whole_training(*rest))
