#!/usr/bin/env python3
"""The whole pipeline against the loops that people write today, side by side in one run.

    python benchmarks/loops.py --yamnet yamnet.tflite [--mediapipe] [--acdnet acdnet.tflite]

Ours: a 22.05 kHz WAV file on disk to events, default model, a look every 0.5 s. The usual loop: 16 kHz
samples already in memory, every 0.5 s the last window to the interpreter (set, invoke, get), or to
MediaPipe's AudioClassifier. Every network is opened beforehand. One thread, CPU time, each in a process of
its own; every round measures each in turn, ratios are formed within a round, medians are printed. The audio
is the demo scene.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter
from contest import Work, contest

from streamer import listen, load_model
from streamer.classifier import Classifier
from streamer.demo import scene
from streamer.sources.recording import RecordingSource
from streamer.types import FloatArray

SECONDS = 40.0
HOP_S = 0.5
YAMNET_SCORES = 521


def audio_at(rate_hz: int) -> FloatArray:
    """What all listen to."""
    return np.resize(scene(rate_hz), round(SECONDS * rate_hz))


def ours(folder: Path) -> Work:
    """esc-listen from the file to the events."""
    path = folder / "scene.wav"
    soundfile.write(path, audio_at(22_050), 22_050)
    model = load_model()
    classifier = Classifier(model)
    return lambda: list(listen(RecordingSource(str(path), 22_050), model, classifier=classifier))


def usual_loop(model: Path, rate_hz: int) -> Work:
    """The last window every 0.5 s: set, invoke, get."""
    samples = audio_at(rate_hz)
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


def mediapipe_classifier(model: Path) -> Work:
    """MediaPipe's AudioClassifier over the same samples, every 0.5 s the last 0.975 s."""
    from mediapipe.tasks.python import BaseOptions, audio
    from mediapipe.tasks.python.components.containers import AudioData, AudioDataFormat
    from mediapipe_model import with_metadata

    content = with_metadata(model.read_bytes(), [f"sound {at}" for at in range(YAMNET_SCORES)])
    options = audio.AudioClassifierOptions(base_options=BaseOptions(model_asset_buffer=content))
    classifier = audio.AudioClassifier.create_from_options(options)
    samples = audio_at(16_000)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yamnet", type=Path, help="YAMNet as a .tflite")
    parser.add_argument(
        "--mediapipe", action="store_true", help="YAMNet in MediaPipe as well; needs pip install mediapipe"
    )
    parser.add_argument("--acdnet", type=Path, help="ACDNet as an int8 .tflite")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.mediapipe and not options.yamnet:
        parser.error("--mediapipe needs --yamnet yamnet.tflite")

    peers: dict[str, Callable[[], Work]] = {}
    if options.yamnet:
        peers["YAMNet in LiteRT, the usual loop"] = partial(usual_loop, options.yamnet, 16_000)
    if options.mediapipe:
        peers["YAMNet in MediaPipe"] = partial(mediapipe_classifier, options.yamnet)
    if options.acdnet:
        peers["ACDNet-20 int8 in LiteRT, the usual loop"] = partial(usual_loop, options.acdnet, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        rounds = contest({"esc-listen": partial(ours, Path(folder)), **peers}, options.rounds)
    results = {
        name: {
            "ms_per_audio_s": 1000 * statistics.median(r[name] for r in rounds) / SECONDS,
            "ours_to_this": statistics.median(r["esc-listen"] / r[name] for r in rounds),
        }
        for name in rounds[0]
    }
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'CPU for a second of sound, a look every 0.5 s':48} {'':>9} {'ours to this':>14}")
    for name, row in results.items():
        print(f"{name:48} {row['ms_per_audio_s']:6.2f} ms {row['ours_to_this']:12.2f} x")


if __name__ == "__main__":
    main()
