"""How far a training is: a bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

BARS = True
"""Whether a terminal shows a bar. Several trainings at once would overwrite each other's."""


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to."""

    epoch: int
    loss: float
    accuracy: float
    """Share of training examples whose most probable sound is really there."""

    validation_accuracy: float | None
    """Share of the segments of the validation folds, never of a test fold."""

    rate: float
    """Learning rate at its end."""

    seconds: float
    data_rate: float
    """Examples that the data pipeline can make in a second."""

    network_rate: float
    """Examples that the network can learn from in a second."""

    one_label: bool = False
    """Accuracy has no meaning then, and is not printed."""

    @property
    def figures(self) -> str:
        """What a person should watch."""
        loss = f"loss {self.loss:.3f}"
        return loss if self.one_label else f"{loss}, accuracy {100 * self.accuracy:.1f} %"

    def line(self, epochs: int) -> str:
        """As it is printed."""
        heard = ""
        if self.validation_accuracy is not None:
            heard = f", validation {100 * self.validation_accuracy:.1f} %"
        return (
            f"epoch {self.epoch}/{epochs}: "
            f"{self.figures}{heard}; "
            f"{self.seconds:.1f} s; data {self.data_rate:.0f}, network {self.network_rate:.0f} examples/s"
        )


class Progress:
    """Shows epochs as they pass, with the time that is left."""

    def __init__(self, name: str, epochs: int, done: int) -> None:
        self._epochs = epochs
        self._bar: Any = None
        if BARS and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar
            from rich.table import Column

            # In a narrow window the name and the bar give way, never a figure.
            self._bar = Bar(
                TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
                BarColumn(None, table_column=Column(ratio=1)),
                TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[figures]}"),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                expand=True,
            )
            self._task = self._bar.add_task(name, total=epochs, completed=done, figures="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def batch(self, epoch: int, share: float) -> None:
        """A part of an epoch has passed."""
        if self._bar:
            self._bar.update(self._task, completed=epoch + share)

    def epoch(self, result: EpochResult) -> None:
        """An epoch is over."""
        if self._bar is None:
            print(result.line(self._epochs), flush=True)
            return
        self._bar.update(self._task, completed=result.epoch, figures=result.figures)

    def note(self, text: str) -> None:
        """Something that a person should read."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.console.print(text)
