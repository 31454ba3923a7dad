#!/usr/bin/env python3
"""How the cost grows with the work: longer sound, shorter hops, more classes, many hops.

    python benchmarks/growth.py [--hops 100000]

CPU time, one thread; every line prints both sides and the ratio of the cost per unit of work, which is
1 where the cost is linear. The last line is the memory that the hot path has gained over so many hops.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np

from streamer import EventSettings, load_model
from streamer.demo import scene
from streamer.listen import Listener
from streamer.manifest import ClassRule
from streamer.smoothing import Smoother
from streamer.tracker import Tracker, TrackerTimes
from streamer.types import Block, FloatArray, Window

MODEL = load_model()
RATE_HZ = MODEL.manifest.front_end.sample_rate_hz


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def listening_s(seconds: float, hop_s: float | None = None) -> float:
    """CPU seconds for so much sound, in blocks of 0.1 s as from a microphone."""
    listener = Listener(MODEL, EventSettings(hop_s=hop_s))
    samples, size = scene(RATE_HZ), RATE_HZ // 10

    def work() -> None:
        for start in range(0, round(seconds * RATE_HZ), size):
            at = start % (len(samples) - size)
            listener.push(Block(start, samples[at : at + size]))

    return cpu_s(work)


def tracking_s(classes: int, windows: int) -> float:
    """CPU seconds of smoothing and tracking so many classes, one in ten of them sounding."""
    rules = tuple(ClassRule(f"class {n}", 0.8, 0.5) for n in range(classes))
    tracker = Tracker(rules, TrackerTimes(RATE_HZ, 0.5, 0.2, 0.5, 0.5, 60.0))
    smoother = Smoother(0.5)
    random = np.random.default_rng(0)
    loud: FloatArray = (random.random((windows, classes)) < 0.1).astype(np.float32)

    def work() -> None:
        for n, raw in enumerate(loud):
            start, end = n * RATE_HZ // 2, n * RATE_HZ // 2 + 2 * RATE_HZ
            window = Window(start, end, raw, start, end)
            tracker.push(window, raw, smoother.push(raw, end / RATE_HZ))

    return cpu_s(work)


def gained_bytes(hops: int) -> tuple[int, int]:
    """Memory held after a tenth of the hops, and what has been gained at the end."""
    listener = Listener(MODEL)
    samples, hop = scene(RATE_HZ), RATE_HZ // 2
    held = 0
    tracemalloc.start()
    for n in range(hops):
        at = (n * hop) % (len(samples) - hop)
        listener.push(Block(n * hop, samples[at : at + hop]))
        if n == hops // 10:
            held = tracemalloc.get_traced_memory()[0]
    gained = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    return held, gained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hops", type=int, default=100_000)
    options = parser.parse_args()
    listening_s(60)  # warm up

    minute, hour = listening_s(60), listening_s(3600)
    print(f"1 min of sound {minute:8.3f} s   1 h {hour:8.3f} s   cost a second {hour / minute / 60:5.2f} x")
    long, short = listening_s(300, 1.0), listening_s(300, 0.1)
    print(f"hop 1 s        {long:8.3f} s   0.1 s {short:6.3f} s   cost a window {short / long / 10:5.2f} x")
    few, many = tracking_s(10, 20_000), tracking_s(200, 20_000)
    print(f"10 classes     {few:8.3f} s   200 {many:8.3f} s   cost a class  {many / few / 20:5.2f} x")
    held, gained = gained_bytes(options.hops)
    print(f"{options.hops} hops: {held / 1e3:.0f} kB held after a tenth, {gained / 1e3:+.1f} kB since")


if __name__ == "__main__":
    main()
