"""Times of a model: how long a sound may go unheard, and where sounds begin and end.

Onset and offset are found with clips that are laid over real background at a known place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamer.classifier import Classifier
from streamer.frontend import FrontEndSpec
from streamer.manifest import Manifest
from streamer.model import load_model
from streamer.scorer import Scorer
from streamer.types import Block, FloatArray
from trainer.datasets import Clip
from trainer.soundscapes.streams import lay_over_background

FINE_HOP_S = 0.1
BACKGROUND_BELOW_DB = 20.0
FEWEST_CLIPS = 5
"""With fewer clips that are heard the times stay as they are."""


def longest_unheard_s(spec: FrontEndSpec, window_frames: int) -> float:
    """How long a sound may go unheard without ending, in seconds: as long as a window.

    Until then every window overlaps the last one that held the sound, and a miss may be a moment of doubt;
    ending there cuts what people hear as one sound into several.
    """
    return round(spec.duration_s(window_frames), 2)


def onset_delays(
    clips: Sequence[Clip], background: FloatArray, model_path: Path, visible: float
) -> tuple[float, float]:
    """How much of a sound a window must hold before it is told, and still holds when it is lost.

    Each clip is laid over background that leads in and out; the network looks every 0.1 s.

    Returns:
        Medians in seconds: visible onset, visible offset (see `Manifest`).
    """
    model = load_model(model_path)
    classifier = Classifier(model)
    spec = model.manifest.front_end
    random = np.random.default_rng(0)
    onsets, offsets = [], []
    for clip in clips:
        stream = lay_over_background(clip, background, spec, BACKGROUND_BELOW_DB, random)
        if stream is None:
            continue
        label = model.labels.index(clip.label)
        heard = [
            score.window
            for score in Scorer(classifier, FINE_HOP_S).push(Block(0, stream.samples))[1]
            if score.probabilities is not None
            and score.probabilities[label] >= visible
            # What is still heard after the sound has left the window is a mistake, not a time.
            and score.window.start_sample < stream.end_s * spec.sample_rate_hz
        ]
        if not heard or heard[0].end_sample / spec.sample_rate_hz < stream.begin_s:
            continue
        onsets.append(heard[0].end_sample / spec.sample_rate_hz - stream.begin_s - FINE_HOP_S / 2)
        offsets.append(stream.end_s - heard[-1].start_sample / spec.sample_rate_hz - FINE_HOP_S / 2)
    if len(onsets) < FEWEST_CLIPS:
        return model.manifest.visible_onset_s, model.manifest.visible_offset_s
    return max(0.0, float(np.median(onsets))), max(0.0, float(np.median(offsets)))


def chosen_times(
    manifest: Manifest, model_path: Path, training: Sequence[Clip], background: FloatArray
) -> Manifest:
    """The manifest with the times by which onsets and offsets are placed (see `onset_delays`)."""
    onset_s, offset_s = onset_delays(training, background, model_path, manifest.visible)
    return dataclasses.replace(
        manifest, visible_onset_s=round(onset_s, 2), visible_offset_s=round(offset_s, 2)
    )
