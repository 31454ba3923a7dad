"""A whole training in one process, which loads TensorFlow only once: stopped, resumed, exported.

Run by the tests of the trainer as a program of its own:

    python training_run.py STOP_AFTER_EPOCH RECIPE DATA BACKGROUND RUN MODEL
"""

from __future__ import annotations

import sys
from pathlib import Path

import trainer.fit
from trainer.cli import main

STOPPED = "--- stopped ---"
RESUMED = "--- resumed ---"


def stop_after(last_epoch: int) -> None:
    """From now on a training ends as by Ctrl-C when an epoch is over."""
    log_epoch = trainer.fit.log_epoch

    def log_and_stop(path: Path, epoch: int, loss: float, seconds: float) -> None:
        log_epoch(path, epoch, loss, seconds)
        if epoch == last_epoch:
            trainer.fit.log_epoch = log_epoch
            raise KeyboardInterrupt

    trainer.fit.log_epoch = log_and_stop


def whole_training(stop: int, recipe: str, data: str, background: str, run: str, model: str) -> int:
    """Give the exit status of the first command that fails, or 0."""
    inputs = [f"--data=esc50={data}", f"--background={background}"]
    fit = ["fit", recipe, *inputs, f"--out={run}"]
    stop_after(stop)
    if main(fit) == 0:
        return 1  # it was to be stopped
    if (Path(run) / "network.keras").exists():
        return 1
    print(STOPPED, flush=True)
    status = main(fit)
    print(RESUMED, flush=True)
    return status or main(["export", run, *inputs, f"--out={model}"])


if __name__ == "__main__":
    sys.exit(whole_training(int(sys.argv[1]), *sys.argv[2:]))
