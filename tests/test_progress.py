"""How a training shows its progress: a bar in a terminal as narrow as 80 columns, lines elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from trainer.training.progress import EpochResult, Progress

THREE_EPOCHS = """\
import time
from trainer.training.progress import EpochResult, Progress

with Progress("multibranch-slim", 160, 0) as shown:
    for epoch in range(3):
        for batch in range(1, 5):
            time.sleep(0.05)
            shown.batch(epoch, batch / 4)
        shown.epoch(EpochResult(epoch + 1, 0.5 / (epoch + 1), 0.8, 0.75, 1e-3, 0.2, 9000, 800))
    shown.note("no checkpoint after epoch 3: No space left on device")
"""


def in_a_terminal(columns: int, code: str = THREE_EPOCHS) -> str:
    """What a terminal shows of a program that trains three epochs, without its control codes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # the other side is gone
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


@pytest.mark.parametrize("columns", [80, 130])
def test_a_terminal_shows_epoch_loss_accuracy_and_the_time_left(columns: int) -> None:
    shown = in_a_terminal(columns)
    last = [line for line in re.split(r"[\r\n]+", shown) if "left" in line][-1]
    assert re.search(r"epoch 3/160 loss 0\.167, accuracy 80\.0 % left 0:00:\d\d", last), last
    assert "no checkpoint after epoch 3: No space left on device" in shown
    assert "multi" in last


RESULT = EpochResult(
    epoch=2,
    loss=0.51234,
    accuracy=0.8125,
    validation_accuracy=None,
    rate=1e-3,
    seconds=7.04,
    data_rate=1234.4,
    network_rate=321.2,
)


def test_elsewhere_there_is_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("base", 40, 1) as shown:
        shown.batch(1, 0.5)
        shown.epoch(RESULT)
        shown.note("the disk is full")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "epoch 2/40: loss 0.512, accuracy 81.2 %; 7.0 s; data 1234, network 321 examples/s",
        "the disk is full",
    ]
    assert printed.err == ""


def test_the_validation_folds_are_shown_where_there_are_some() -> None:
    heard = EpochResult(1, 0.5, 0.8, 0.6666, 1e-3, 1.0, 10.0, 1.0)
    assert "accuracy 80.0 %, validation 66.7 %;" in heard.line(4)


def test_several_trainings_at_once_show_no_bars() -> None:
    shown = in_a_terminal(80, "from trainer.training import progress; progress.BARS = False\n" + THREE_EPOCHS)
    assert [line.split(":")[0] for line in shown.splitlines() if line.startswith("epoch")] == [
        "epoch 1/160",
        "epoch 2/160",
        "epoch 3/160",
    ]
