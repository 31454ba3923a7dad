"""What networks say about sounds that they did not learn from: what every calibration is made of.

Three kinds of sound: clips as they are, the same clips in the middle of real background, and real
background alone, in which nothing should be reported. All are heard through the streaming code; the
probabilities are those of the network, before any calibration.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from streamer.classifier import Classifier
from streamer.errors import SourceError
from streamer.model import load_model
from streamer.scorer import Scorer
from streamer.types import Block, BoolArray, FloatArray
from trainer.datasets import Background, Clip
from trainer.examples.spectrograms import read_mono
from trainer.judging.clip_events import AROUND_S, surrounded

SEED = 7
CHUNK = 32


@dataclass(frozen=True)
class Examiner:
    """A model, and the sounds that it did not learn from."""

    model: Path
    clips: tuple[Clip, ...]
    backgrounds: tuple[Background, ...] = ()


@dataclass(frozen=True)
class HeardClip:
    """What a network said about one clip."""

    truth: int
    """Index of the clip's label."""

    fold: int

    alone: FloatArray
    """Probabilities of its audible windows, shape (windows, labels)."""

    surrounded: FloatArray
    """The same with background before and after it; rows of NaN where nothing was audible."""

    judged: BoolArray
    """Shape (labels,): false for other labels that the background may contain."""


@dataclass(frozen=True)
class HeardBackground:
    """What a network said about one background recording."""

    probabilities: FloatArray
    """Shape (windows, labels); rows of NaN where nothing was audible."""

    judged: BoolArray
    hours: float


@dataclass(frozen=True)
class Evidence:
    """All that is known about a network from sounds that it did not learn from."""

    labels: tuple[str, ...]
    hop_s: float
    window_s: float
    lead_s: float
    """Background before a clip that is surrounded."""

    clips: tuple[HeardClip, ...]
    backgrounds: tuple[HeardBackground, ...]

    @property
    def hours(self) -> float:
        """Hours of background."""
        return sum(item.hours for item in self.backgrounds)

    def of_folds(self, folds: Sequence[int]) -> Evidence:
        """The same with clips of some folds only."""
        return dataclasses.replace(self, clips=tuple(clip for clip in self.clips if clip.fold in folds))


def gather(examiners: Sequence[Examiner]) -> Evidence:
    """Let models hear clips and background on all cores. Files that cannot be read are left out.

    All models must have the labels and the hop of the first. The hours of a background count once for each
    model that hears it.
    """
    first = load_model(examiners[0].model).manifest
    heard: list[HeardClip] = []
    backgrounds: list[HeardBackground] = []
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for examiner in examiners:
            known = [clip for clip in examiner.clips if clip.label in first.labels]
            chunks = [known[at : at + CHUNK] for at in range(0, len(known), CHUNK)]
            work = partial(_hear_clips, examiner=examiner)
            for part in pool.map(work, chunks, range(len(chunks))):
                heard += part
            hear = partial(_hear_background, model=examiner.model)
            backgrounds += [item for item in pool.map(hear, examiner.backgrounds) if item is not None]
    window_s = first.front_end.samples_of(first.window_frames) / first.front_end.sample_rate_hz
    lead_s = AROUND_S if any(examiner.backgrounds for examiner in examiners) else 0.0
    return Evidence(first.labels, first.hop_s, window_s, lead_s, tuple(heard), tuple(backgrounds))


def _hear_clips(clips: Sequence[Clip], chunk: int, examiner: Examiner) -> list[HeardClip]:
    classifier = Classifier(load_model(examiner.model))
    labels = classifier.model.labels
    rate_hz = classifier.model.manifest.front_end.sample_rate_hz
    recordings: list[tuple[Background, FloatArray]] = []
    for item in examiner.backgrounds:
        with suppress(SourceError):
            recordings.append((item, read_mono(item.path, rate_hz)))
    random = np.random.default_rng((SEED, chunk))
    heard = []
    for clip in clips:
        try:
            samples = read_mono(clip.path, rate_hz)
        except SourceError:
            continue
        alone = probabilities(samples, classifier)
        between, may_contain = alone, frozenset[str]()
        if recordings:
            stream, under = surrounded(samples, recordings, rate_hz, random)
            between, may_contain = probabilities(stream, classifier), under.may_contain - {clip.label}
        judged = np.array([label not in may_contain for label in labels])
        audible = alone[~np.isnan(alone[:, 0])]
        heard.append(HeardClip(labels.index(clip.label), clip.fold, audible, between, judged))
    return heard


def _hear_background(item: Background, model: Path) -> HeardBackground | None:
    classifier = Classifier(load_model(model))
    rate_hz = classifier.model.manifest.front_end.sample_rate_hz
    try:
        samples = read_mono(item.path, rate_hz)
    except SourceError:
        return None
    judged = np.array([label not in item.may_contain for label in classifier.model.labels])
    return HeardBackground(probabilities(samples, classifier), judged, len(samples) / rate_hz / 3600)


def probabilities(samples: FloatArray, classifier: Classifier) -> FloatArray:
    """Probabilities of every window of a recording, shape (windows, labels); NaN where nothing is audible."""
    scorer = Scorer(classifier)
    scores = scorer.push(Block(0, samples))[1] + scorer.finish()[1]
    nothing = np.full(len(classifier.model.labels), np.nan, np.float32)
    rows = [nothing if item.probabilities is None else item.probabilities for item in scores]
    return np.stack(rows) if rows else np.empty((0, len(nothing)), np.float32)
