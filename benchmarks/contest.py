"""Contestants measured in turn, each in a process of its own.

In one process they would share the memory that one of them has asked the system for, which hides what each
costs by itself. Every round measures each contestant once, so that a busy moment of the machine hits all.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Work = Callable[[], object]


def contest(prepare: Mapping[str, Callable[[], Work]], rounds: int) -> list[dict[str, float]]:
    """CPU seconds of each contestant in each round, on one thread.

    Args:
        prepare: by name, what makes the work in the contestant's process; it must be picklable.
    """
    for name in THREAD_SETTINGS:  # before a contestant loads what asks for them
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, make in prepare.items():
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=_contestant, args=(make, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        _measured(pipes[name], name)  # ready, and warm
    taken = [{name: _measured(pipe, name) for name, pipe in pipes.items()} for _ in range(rounds)]
    for pipe in pipes.values():
        pipe.close()
    for process in processes:
        process.join()
    return taken


def _measured(pipe: Connection, name: str) -> float:
    try:
        pipe.send(None)
        seconds: float = pipe.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise SystemExit(f"{name} failed; its complaint stands above") from None
    return seconds


def _contestant(make: Callable[[], Work], pipe: Connection) -> None:
    work = make()
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        began = time.process_time()
        work()
        pipe.send(time.process_time() - began)
