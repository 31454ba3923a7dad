#!/usr/bin/env python3
"""The streaming front end against other people's, side by side in one run.

    python benchmarks/front_ends.py [--json]

Every round measures ours, fed in chunks of 100 ms as from a microphone, and then the peer with the
parameters of the comparison, each on the same samples in memory; ratios are formed within a round and
the median of the rounds is printed. CPU time, one thread, each in a process of its own. Peers that are not
installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from contest import Work, contest

from streamer.demo import scene
from streamer.frontend import FrontEnd, FrontEndSpec
from streamer.types import Block, FloatArray

SECONDS = 40.0
CHUNK_S = 0.1
WINDOW_S, HOP_S = 1.946, 0.5

OURS = FrontEndSpec()
KALDI = FrontEndSpec(sample_rate_hz=16_000, fft_samples=512, hop_samples=160, mel_bands=80, fmax_hz=8_000)
MICRO = FrontEndSpec(sample_rate_hz=16_000, fft_samples=512, hop_samples=160, mel_bands=40, fmax_hz=8_000)


@dataclass(frozen=True)
class Peer:
    """One thing to compare with."""

    name: str
    package: str
    spec: FrontEndSpec
    """Parameters at which ours runs for this comparison."""

    prepare: Callable[[FloatArray], Work]
    """Samples to the work to be measured."""


def heard_at(rate_hz: int) -> FloatArray:
    """What both compute the features of."""
    return np.resize(scene(rate_hz), round(SECONDS * rate_hz))


def theirs(peer: Peer) -> Work:
    """The peer's work."""
    return peer.prepare(heard_at(peer.spec.sample_rate_hz))


def ours(spec: FrontEndSpec) -> Work:
    """Our front end, in chunks."""
    samples = heard_at(spec.sample_rate_hz)
    size = round(CHUNK_S * spec.sample_rate_hz)
    blocks = [Block(at, samples[at : at + size]) for at in range(0, len(samples), size)]

    chunks_a_hop = round(HOP_S / CHUNK_S)

    def work() -> None:
        front_end = FrontEnd(spec)
        for n, block in enumerate(blocks, start=1):
            # As the listener does: frames are wanted when a window is due.
            front_end.push(block, wait=n % chunks_a_hop != 0)

    return work


def librosa_log_mel(samples: FloatArray) -> object:
    """librosa with the parameters of the default model."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=samples,
        sr=OURS.sample_rate_hz,
        n_fft=OURS.fft_samples,
        hop_length=OURS.hop_samples,
        center=False,
        n_mels=OURS.mel_bands,
        fmin=OURS.fmin_hz,
        fmax=OURS.fmax_hz,
        htk=True,
        norm=None,
    )
    return librosa.power_to_db(mel, amin=OURS.floor, top_db=None)


def librosa_whole(samples: FloatArray) -> Work:
    """librosa on the whole file at once: its best terms."""
    return lambda: librosa_log_mel(samples)


def librosa_per_hop(samples: FloatArray) -> Work:
    """librosa on the last window at every hop, as most demonstrations do."""
    window, hop = round(WINDOW_S * OURS.sample_rate_hz), round(HOP_S * OURS.sample_rate_hz)
    starts = range(0, len(samples) - window + 1, hop)
    return lambda: [librosa_log_mel(samples[at : at + window]) for at in starts]


def kaldi_online(samples: FloatArray) -> Work:
    """kaldi-native-fbank, fed in chunks: 25 ms frames every 10 ms, 80 bands."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = 16_000
    options.mel_opts.num_bins = 80
    size = round(CHUNK_S * 16_000)
    parts = [samples[at : at + size].tolist() for at in range(0, len(samples), size)]

    def work() -> object:
        fbank = knf.OnlineFbank(options)
        frames, taken = [], 0
        for part in parts:
            fbank.accept_waveform(16_000, part)
            while taken < fbank.num_frames_ready:
                frames.append(fbank.get_frame(taken))
                taken += 1
        return frames

    return work


def pymicro(samples: FloatArray) -> Work:
    """pymicro-features, fed with 10 ms at a time as it asks for: 40 bands."""
    from pymicro_features import MicroFrontend

    pcm = (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()
    parts = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]

    def work() -> object:
        front_end = MicroFrontend()
        process = getattr(front_end, "process_samples", None) or front_end.ProcessSamples
        return [process(part) for part in parts]

    return work


PEERS = (
    Peer("librosa, whole file", "librosa", OURS, librosa_whole),
    Peer("librosa, last window at every hop", "librosa", OURS, librosa_per_hop),
    Peer("kaldi-native-fbank, online", "kaldi_native_fbank", KALDI, kaldi_online),
    Peer("pymicro-features", "pymicro_features", MICRO, pymicro),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for peer in PEERS:
        if importlib.util.find_spec(peer.package) is None:
            continue
        contestants = {"ours": partial(ours, peer.spec), "peer": partial(theirs, peer)}
        pairs = [(taken["ours"], taken["peer"]) for taken in contest(contestants, options.rounds)]
        results[peer.name] = {
            "ours_ms_per_audio_s": 1000 * statistics.median(a for a, _ in pairs) / SECONDS,
            "peer_ms_per_audio_s": 1000 * statistics.median(b for _, b in pairs) / SECONDS,
            "ours_to_peer": statistics.median(a / b for a, b in pairs),
        }
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'CPU for a second of sound, 100 ms chunks':42} {'ours':>9} {'peer':>9} {'ratio':>8}")
    for name, row in results.items():
        ours_ms, peer_ms = row["ours_ms_per_audio_s"], row["peer_ms_per_audio_s"]
        print(f"{name:42} {ours_ms:6.3f} ms {peer_ms:6.3f} ms {row['ours_to_peer']:6.3f} x")


if __name__ == "__main__":
    main()
