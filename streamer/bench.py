"""``esc-listen bench``: what listening costs on this machine, and how far that is from the floor."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.classifier import Classifier
from streamer.demo import scene
from streamer.floor import Floor
from streamer.frontend import FrontEnd
from streamer.listen import Listener, listen
from streamer.model import DEFAULT_MODEL, Model, load_model
from streamer.sources.recording import RecordingSource
from streamer.types import Block, FloatArray

CHUNK_S = 0.1
"""Length of the chunks that the front end is fed with, as from a microphone."""


@dataclass(frozen=True)
class Costs:
    """Medians on one thread. CPU seconds unless the name says otherwise."""

    model: str
    hop_s: float
    front_end_us_per_frame: float
    inference_ms_per_window: float
    pipeline_cpu_s_per_audio_s: float
    pipeline_to_floor: float
    front_end_to_floor: float
    hop_latency_p50_ms: float
    hop_latency_p95_ms: float
    hop_latency_p99_ms: float
    import_s: float
    """Wall clock."""

    first_result_s: float
    """Wall clock from the start of the process to its end, for a file of one window."""

    peak_memory_mb: float
    """Of the command on a file, plain."""


def chunks(samples: FloatArray, size: int) -> list[Block]:
    """Samples of shape (n,) as blocks of `size`."""
    return [Block(at, samples[at : at + size]) for at in range(0, len(samples), size)]


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def front_end_cpu_s(model: Model, blocks: list[Block]) -> float:
    """CPU seconds of the streaming front end, asked for frames once a hop as the listener does."""
    front_end = FrontEnd(model.manifest.front_end)
    chunks_a_hop = round(model.manifest.hop_s / CHUNK_S)

    def work() -> None:
        for n, block in enumerate(blocks, start=1):
            front_end.push(block, wait=n % chunks_a_hop != 0)

    return cpu_s(work)


def pipeline_cpu_s(model: Model, recording: Path) -> float:
    """CPU seconds of everything from the file to the events."""
    rate_hz = model.manifest.front_end.sample_rate_hz
    return cpu_s(lambda: list(listen(RecordingSource(str(recording), rate_hz), model)))


def hop_latencies_ms(model: Model, blocks: list[Block]) -> list[float]:
    """Wall-clock time of each chunk that completes a window, from samples to events."""
    listener = Listener(model)
    hop = round(model.manifest.hop_s / CHUNK_S)
    times = []
    for block in blocks:
        began = time.perf_counter()
        listener.push(block)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times, reverse=True)[: max(1, len(times) // hop)]


def wall_s(command: list[str]) -> float:
    """Wall-clock seconds of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


WATCH = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(os.wait4(process.pid, 0)[2].ru_maxrss)
"""
"""Run by a small process, because a new process counts the memory of the one that starts it."""


def peak_memory_mb(command: list[str]) -> float:
    """Largest resident memory of a command, in 10^6 bytes."""
    done = subprocess.run([sys.executable, "-c", WATCH, *command], check=True, capture_output=True)
    return int(done.stdout) * 1024 / 1e6


def measure(model: Model, seconds: float, repeats: int) -> Costs:
    """Measure everything for a model, on so many seconds of the demo scene."""
    import soundfile

    manifest = model.manifest
    rate_hz = manifest.front_end.sample_rate_hz
    samples = np.resize(scene(rate_hz), round(seconds * rate_hz))
    blocks = chunks(samples, round(CHUNK_S * rate_hz))
    frames = (len(samples) - manifest.front_end.fft_samples) // manifest.front_end.hop_samples + 1
    floor = Floor(model, manifest.hop_s)
    classifier = Classifier(model)
    window = np.zeros((manifest.window_frames, manifest.front_end.frame_columns), np.float32)
    listen_command = [sys.executable, "-m", "streamer.cli", "--plain", "--no-csv", "--model", str(model.path)]

    with tempfile.TemporaryDirectory() as folder:
        recording, short = Path(folder) / "scene.wav", Path(folder) / "window.wav"
        soundfile.write(recording, samples, rate_hz)
        soundfile.write(short, samples[: manifest.front_end.samples_of(manifest.window_frames)], rate_hz)
        front_end, front_end_ratio, inference, pipeline, pipeline_ratio = [], [], [], [], []
        # Side by side in every round, so that a change in the machine's speed hits both.
        for round_number in range(repeats + 1):
            floor_front_end_s = floor.front_end_s(samples)
            front_end_s = front_end_cpu_s(model, blocks)
            floor_s = floor_front_end_s + floor.network_s(seconds)
            pipeline_s = pipeline_cpu_s(model, recording)
            inference_s = cpu_s(lambda: [classifier.classify(window) for _ in range(50)]) / 50
            if round_number == 0:
                continue  # warms up
            front_end.append(front_end_s)
            front_end_ratio.append(front_end_s / floor_front_end_s)
            inference.append(inference_s)
            pipeline.append(pipeline_s)
            pipeline_ratio.append(pipeline_s / floor_s)
        latencies = hop_latencies_ms(model, blocks)
        python = [sys.executable, "-c"]
        imports = [wall_s([*python, "import streamer"]) - wall_s([*python, "pass"]) for _ in range(repeats)]
        first = [wall_s([*listen_command, "--input", str(short)]) for _ in range(repeats)]
        memory_mb = peak_memory_mb([*listen_command, "--input", str(recording)])

    median = statistics.median
    return Costs(
        model=model.name,
        hop_s=manifest.hop_s,
        front_end_us_per_frame=1e6 * median(front_end) / frames,
        inference_ms_per_window=1e3 * median(inference),
        pipeline_cpu_s_per_audio_s=median(pipeline) / seconds,
        pipeline_to_floor=median(pipeline_ratio),
        front_end_to_floor=median(front_end_ratio),
        hop_latency_p50_ms=float(np.percentile(latencies, 50)),
        hop_latency_p95_ms=float(np.percentile(latencies, 95)),
        hop_latency_p99_ms=float(np.percentile(latencies, 99)),
        import_s=median(imports),
        first_result_s=median(first),
        peak_memory_mb=memory_mb,
    )


ROWS: tuple[tuple[str, str, str], ...] = (
    ("front_end_us_per_frame", "front end, a frame", "{:.2f} us"),
    ("inference_ms_per_window", "network, a window", "{:.3f} ms"),
    ("pipeline_cpu_s_per_audio_s", "whole pipeline, CPU for a second of sound", "{:.5f} s"),
    ("front_end_to_floor", "front end, against the floor", "{:.2f} x"),
    ("pipeline_to_floor", "whole pipeline, against the floor", "{:.2f} x"),
    ("hop_latency_p50_ms", "from sound to events, median", "{:.2f} ms"),
    ("hop_latency_p95_ms", "from sound to events, 95 %", "{:.2f} ms"),
    ("hop_latency_p99_ms", "from sound to events, 99 %", "{:.2f} ms"),
    ("import_s", "import of the library", "{:.3f} s"),
    ("first_result_s", "start of the command to the first result", "{:.3f} s"),
    ("peak_memory_mb", "peak memory of the command, plain", "{:.1f} MB"),
)


def table(costs: Costs) -> str:
    """The figures for people."""
    lines = [f"{costs.model}, hop {costs.hop_s:g} s, one thread, medians"]
    lines += [f"  {text:<44} {form.format(getattr(costs, name)):>12}" for name, text, form in ROWS]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The options of ``esc-listen bench``."""
    parser = argparse.ArgumentParser(
        prog="esc-listen bench",
        description="Measure what listening costs on this machine. The floor is the bare arithmetic: "
        "batched Fourier transforms, mel, logarithm, and the network on inputs that are ready.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model or a .tflite file")
    parser.add_argument("--quick", action="store_true", help="less sound, fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--debug", action="store_true", help="show the full traceback when it fails")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run ``esc-listen bench``."""
    seconds, repeats = (20.0, 3) if options.quick else (60.0, 9)
    costs = measure(load_model(options.model), seconds, repeats)
    print(json.dumps(dataclasses.asdict(costs)) if options.json else table(costs))
    return 0
