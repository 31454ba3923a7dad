"""Standard output and error of a command: what could not be printed is told once, in one line."""

from __future__ import annotations

import errno
import functools
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from streamer.errors import EscListenError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

STDOUT, STDERR = 1, 2


class OutputError(EscListenError):
    """Standard output does not take what is printed: a full disk, or nobody who reads it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot write to standard output: {reason}")
        self.strerror: str | None = reason


class ReaderGoneError(OutputError, BrokenPipeError):
    """Whoever read the output has seen enough, as `head` and `grep -q` do."""


class _Output(io.FileIO):
    """Standard output, whose failures cannot be taken for those of another file."""

    discards = False
    """True when its failure has been told: whatever still waits in the buffer goes nowhere."""

    def write(self, data: Buffer) -> int:
        if self.discards:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderGoneError(str(error.strerror)) from error
        except OSError as error:
            closed = error.errno == errno.EBADF
            raise OutputError("it is closed" if closed else str(error.strerror)) from error


class _Complaints(io.FileIO):
    """Standard error; hearing goes on where nobody can be told anything."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def checked(program: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a `main` answer for its output: what cannot be written is one line and status 1.

    A reader who has gone is none of its business and changes nothing. Nothing is left to be flushed
    when the interpreter ends, which would complain in its own words (status 120).
    """

    def decorate(main: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(main)
        def run(arguments: list[str] | None = None) -> int:
            before = sys.stdout, sys.stderr
            if before != (sys.__stdout__, sys.__stderr__):
                return main(arguments)  # somebody else collects what is printed
            for number in (STDOUT, STDERR):
                _occupy(number)
            output = _Output(STDOUT, "w", closefd=False)
            sys.stdout = _text(output, before[0])
            sys.stderr = _text(_Complaints(STDERR, "w", closefd=False), before[1])
            status = 0
            try:
                try:
                    status = main(arguments)
                finally:
                    if not output.discards:
                        sys.stdout.flush()
            except ReaderGoneError:
                discard_output()
            except OutputError as error:
                discard_output()
                print(f"{program}: {error}", file=sys.stderr)
                status = 1
            finally:
                sys.stdout, sys.stderr = before
            return status

        return run

    return decorate


def discard_output() -> None:
    """From now on standard output goes nowhere, because it has been told that it takes nothing.

    It is not waited for either: a reader who does not read may hold up a thread that writes for ever.
    """
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Output):
        raw.discards = True


def _occupy(number: int) -> None:
    """Keep the descriptor of a closed stream from being given to a log, which would then get the output.

    Nothing can be written to what takes its place: it is as good as closed.
    """
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)


def _text(raw: io.FileIO, like: TextIO | None) -> TextIO:
    """Text to a descriptor; at once where a person may be watching."""
    by_line = not isinstance(like, io.TextIOWrapper) or like.line_buffering or like.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors=like.errors if like else "backslashreplace",
        line_buffering=by_line,
    )
