"""Runs `esc-listen` as a user does: the installed command, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("esc-listen")
PATIENCE_S = 60.0
"""For a machine that has better things to do."""


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    status: int
    out: str
    err: str

    @property
    def out_lines(self) -> list[str]:
        """Lines of standard output."""
        return self.out.splitlines()

    @property
    def complaints(self) -> list[str]:
        """Lines of standard error that report a failure."""
        return [line for line in self.err.splitlines() if line.startswith("esc-listen: ")]


def esc_listen(
    *arguments: str | Path, cwd: Path, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> Finished:
    """Run the command to its end."""
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        env=os.environ | (environment or {}),
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def assert_refused(done: Finished, *words: str) -> None:
    """Nothing was heard: status 1 and one line, which says all of the words."""
    assert done.status == 1, done
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert_failed(done, *words)


def assert_failed(done: Finished, *words: str) -> None:
    """Something went wrong on the way: status 1 and one complaint, which says all of the words."""
    assert done.status == 1, done
    assert "Traceback" not in done.err
    assert "something unexpected" not in done.err
    assert len(done.complaints) == 1, done.err
    for word in words:
        assert word in done.complaints[0]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process or thread does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"still waiting: {what}"
        time.sleep(0.02)


class Running:
    """A run that goes on; what it prints goes to files, so that it never waits for the test."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def err(self) -> str:
        """What it said on standard error so far."""
        return self._err.read_text()

    def finish(self, number: int | None = None) -> Finished:
        """Send it a signal, if one is given, and wait for its end."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        return Finished(status, self._out.read_text(), self.err)


@contextmanager
def running(*arguments: str | Path, cwd: Path, stdin: int = subprocess.DEVNULL) -> Iterator[Running]:
    """Start the command; it is gone at the end, whatever happens."""
    out, err = cwd / "stdout.txt", cwd / "stderr.txt"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=cwd,
            stdin=stdin,
            stdout=out_file,
            stderr=err_file,
        )
    try:
        yield Running(process, out, err)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
