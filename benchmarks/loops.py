#!/usr/bin/env python3
"""The whole pipeline against the loops that people write today, side by side in one run.

    python benchmarks/loops.py --yamnet yamnet.tflite [--mediapipe yamnet.tflite] [--acdnet acdnet.tflite]

Ours: a 22.05 kHz WAV file on disk to events, default model, a look every 0.5 s. The usual loop: 16 kHz
samples already in memory, every 0.5 s the last window to the interpreter (set, invoke, get), or to
MediaPipe's AudioClassifier. Every network is opened beforehand. One thread, CPU time; every round measures
each in turn, ratios are formed within a round, medians are printed. The audio is the demo scene.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter

from streamer import listen, load_model
from streamer.classifier import Classifier
from streamer.demo import scene
from streamer.sources.recording import RecordingSource
from streamer.types import FloatArray

SECONDS = 40.0
HOP_S = 0.5
Work = Callable[[], object]


def ours(folder: Path) -> Work:
    """esc-listen from the file to the events."""
    path = folder / "scene.wav"
    soundfile.write(path, np.resize(scene(22_050), round(SECONDS * 22_050)), 22_050)
    model = load_model()
    classifier = Classifier(model)
    return lambda: list(listen(RecordingSource(str(path), 22_050), model, classifier=classifier))


def usual_loop(model: Path, rate_hz: int, samples: FloatArray) -> Work:
    """The last window every 0.5 s: set, invoke, get."""
    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    take, give = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    window, hop = int(np.prod(take["shape"])), round(HOP_S * rate_hz)
    scale, zero_point = take["quantization"]

    def work() -> object:
        heard = []
        for end in range(window, len(samples) + 1, hop):
            values = samples[end - window : end]
            if take["dtype"] is np.int8:
                values = np.clip(np.rint(values / scale + zero_point), -128, 127).astype(np.int8)
            interpreter.set_tensor(take["index"], values.reshape(take["shape"]))
            interpreter.invoke()
            heard.append(interpreter.get_tensor(give["index"]))
        return heard

    return work


def mediapipe_classifier(model: Path, samples: FloatArray) -> Work:
    """MediaPipe's AudioClassifier over the same samples, every 0.5 s the last 0.975 s."""
    from mediapipe.tasks.python import BaseOptions, audio
    from mediapipe.tasks.python.components.containers import AudioData, AudioDataFormat

    options = audio.AudioClassifierOptions(base_options=BaseOptions(model_asset_path=str(model)))
    classifier = audio.AudioClassifier.create_from_options(options)
    kind = AudioDataFormat(num_channels=1, sample_rate=16_000)
    window, hop = 15_600, 8_000

    def work() -> object:
        heard = []
        for end in range(window, len(samples) + 1, hop):
            data = AudioData(buffer_length=window, audio_format=kind)
            data.load_from_array(samples[end - window : end])
            heard.append(classifier.classify(data))
        return heard

    return work


def cpu_s(work: Work) -> float:
    """CPU seconds of a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yamnet", type=Path, help="YAMNet as a .tflite")
    parser.add_argument(
        "--mediapipe", type=Path, help="YAMNet with the metadata that MediaPipe wants; needs mediapipe"
    )
    parser.add_argument("--acdnet", type=Path, help="ACDNet as an int8 .tflite")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    def audio_at(rate_hz: int) -> FloatArray:
        return np.resize(scene(rate_hz), round(SECONDS * rate_hz))

    peers: dict[str, Work] = {}
    if options.yamnet:
        peers["YAMNet in LiteRT, the usual loop"] = usual_loop(options.yamnet, 16_000, audio_at(16_000))
    if options.mediapipe:
        peers["YAMNet in MediaPipe"] = mediapipe_classifier(options.mediapipe, audio_at(16_000))
    if options.acdnet:
        peers["ACDNet-20 int8 in LiteRT, the usual loop"] = usual_loop(
            options.acdnet, 20_000, audio_at(20_000)
        )
    with tempfile.TemporaryDirectory() as folder:
        own = ours(Path(folder))
        works = {"esc-listen": own, **peers}
        for work in works.values():
            work()  # warm up
        rounds = [{name: cpu_s(work) for name, work in works.items()} for _ in range(options.rounds)]
    results = {
        name: {
            "ms_per_audio_s": 1000 * statistics.median(r[name] for r in rounds) / SECONDS,
            "ours_to_this": statistics.median(r["esc-listen"] / r[name] for r in rounds),
        }
        for name in works
    }
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'CPU for a second of sound, a look every 0.5 s':48} {'':>9} {'ours to this':>14}")
    for name, row in results.items():
        print(f"{name:48} {row['ms_per_audio_s']:6.2f} ms {row['ours_to_this']:12.2f} x")


if __name__ == "__main__":
    main()
