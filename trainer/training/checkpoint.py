"""Checkpoints of a training: the epoch is in the name of the file, so that both change at once.

Nothing is ever written in place: a full disk or a kill leaves what was there before.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

EVERY_S = 30.0
"""Time between two checkpoints, at least: those of large networks are hundreds of megabytes."""


class Checkpoints:
    """The checkpoint of a run; the one before is removed only when the next is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saved = time.monotonic()

    def restore(self, network: Any) -> int:
        """Take over weights and optimizer of the last checkpoint; give the epochs that it has had.

        Raises:
            OSError: it cannot be read.
        """
        for unfinished in self._folder.glob("new-*.keras"):
            unfinished.unlink()
        there = sorted(self._folder.glob("checkpoint-*.keras"))
        if not there:
            return 0
        import keras

        # Not the saved network itself, which would have forgotten which variables are spared from weight
        # decay, and cannot be made where its backend is missing.
        network.optimizer.build(network.trainable_variables)
        try:
            network.load_weights(there[-1])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise OSError(f"{there[-1]} is damaged; remove it to begin anew") from error
        # The state of dropout is not saved; every step advances it by one.
        for variable in network.variables:
            if variable.name == "seed_generator_state":
                seed, _ = keras.ops.convert_to_numpy(variable)
                variable.assign([seed, int(network.optimizer.iterations)])
        return int(there[-1].stem.partition("-")[2])

    def after_epoch(self, network: Any, epochs: int) -> str:
        """Save if it is time. Gives a line for people when that fails: the training goes on."""
        if time.monotonic() - self._saved < EVERY_S:
            return ""
        before = sorted(self._folder.glob("checkpoint-*.keras"))
        try:
            save(network, self._folder / f"checkpoint-{epochs:05d}.keras")
        except OSError as error:
            kept = (
                f"the one after epoch {int(before[-1].stem[-5:])} is kept" if before else "there is none yet"
            )
            return f"no checkpoint after epoch {epochs}: {error.strerror or error}; {kept}"
        self._saved = time.monotonic()
        for old in before:
            if old.stem != f"checkpoint-{epochs:05d}":
                old.unlink()
        return ""

    def finish(self, network: Any) -> None:
        """Leave the finished network in ``network.keras`` and remove the checkpoint.

        Raises:
            OSError: it cannot be written; the checkpoint is kept.
        """
        path = self._folder / "network.keras"
        try:
            save(network, path)
        except OSError as error:
            why = error.strerror or error
            raise OSError(f"{path} cannot be written ({why}); make room and start again") from error
        for checkpoint in self._folder.glob("checkpoint-*.keras"):
            checkpoint.unlink()


def save(network: Any, path: Path) -> None:
    """Write beside, then rename: a full disk or a kill leaves the file before untouched.

    Raises:
        OSError: it cannot be written; nothing is left of the attempt.
    """
    beside = path.with_name(f"new-{path.name}")
    try:
        network.save(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except RuntimeError as error:  # HDF5 says so when a disk is full
        raise OSError(f"cannot write {path}: {error}") from error
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename, as `save` does.

    Raises:
        OSError: it cannot be written; nothing is left of the attempt.
    """
    beside = path.with_name(f"new-{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
