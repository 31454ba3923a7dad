"""Clips as the network gets them: waveform, log-mel and MFCC, the original beside a changed copy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import SourceError
from streamer.frontend import FrontEndSpec, MelStream, decibels_of, log_mel, mfcc
from streamer.types import FloatArray
from trainer.datasets import Clip, read_background
from trainer.examples.augment import ExampleMaker, mask
from trainer.examples.cache import ArrayCache
from trainer.examples.segments import prepared_samples
from trainer.examples.spectrograms import Spectrogram, read_mono, spectrogram_of
from trainer.examples.waveforms import copies_of
from trainer.recipe import Recipe
from trainer.report.colours import BLUE
from trainer.report.picture import WIDTH, Picture, drawing, to_svg
from trainer.words import percent, plain, slug

COEFFICIENTS = 13
"""MFCC that are shown when the front end computes none itself."""

BLANK = "#8d95a3"
"""A grey that the colours of the spectrogram do not contain."""

BACKGROUNDS = 3
"""Recordings that may lie under an example."""


@dataclass(frozen=True)
class View:
    """One recording in three ways; what is not known is None."""

    title: str
    samples: FloatArray | None
    """Shape (n,)."""

    level: FloatArray
    """Log-mel in dB, shape (frames, bands); not a number where it is blanked."""

    cepstrum: FloatArray
    """MFCC, shape (frames, coefficients)."""

    rate_hz: int
    seconds: float


def chosen(clips: Sequence[Clip], count: int, seed: int) -> list[Clip]:
    """A few clips of different classes, the same ones for the same seed."""
    random = np.random.default_rng(seed)
    labels = sorted({clip.label for clip in clips})
    picked = [labels[at] for at in sorted(random.permutation(len(labels))[:count])]
    found = []
    for label in picked:
        those = sorted((clip for clip in clips if clip.label == label), key=lambda clip: clip.path.name)
        found.append(those[int(random.integers(len(those)))])
    return found


def sounds(
    clips: Sequence[Clip], recipe: Recipe, background: Path | None, prefix: str = ""
) -> tuple[str, list[Picture]]:
    """How to read the pictures, and one for each clip that can be read.

    Args:
        clips: training clips; nothing else is ever changed.
        background: folder of background that examples may be laid over.
    """
    pictures = []
    for clip in clips:
        try:
            original = original_of(clip, recipe)
        except SourceError:
            continue
        changed, how = changed_of(clip, recipe, background)
        name = f"{prefix}sound-{slug(clip.label)}"
        pictures.append(_picture(name, clip, [original, *([changed] if changed else [])], how))
    mfcc = (
        ""
        if recipe.front_end.mfcc
        else f" The network gets no MFCC; {COEFFICIENTS} are computed for the pictures."
    )
    return (
        "From above: the waveform; the log-mel spectrogram, low tones below, 60 dB from bright to dark, "
        "grey where it is blanked; the MFCC without the first one, which is the mean level, blue below "
        f"zero and red above.{mfcc} {_said_once(recipe)}".strip(),
        pictures,
    )


def view(title: str, samples: FloatArray, spec: FrontEndSpec) -> View:
    """A recording through the front end."""
    padded = np.pad(samples, (0, max(0, spec.fft_samples - len(samples)))).astype(np.float32)
    return _view(title, samples, MelStream(spec).push(padded), spec)


def _view(title: str, samples: FloatArray | None, power: FloatArray, spec: FrontEndSpec) -> View:
    level = log_mel(power, spec)
    cepstrum = mfcc(level, spec.mfcc or min(COEFFICIENTS, spec.mel_bands))
    level = decibels_of(level, spec)
    return View(title, samples, level, cepstrum, spec.sample_rate_hz, spec.duration_s(len(level)))


def original_of(clip: Clip, recipe: Recipe) -> View:
    """A clip as it is.

    Raises:
        SourceError: it cannot be read.
    """
    samples = read_mono(clip.path, recipe.front_end.sample_rate_hz)
    if recipe.examples == "segments":
        samples = prepared_samples(samples, recipe)
    return view("original", samples, recipe.front_end)


def changed_of(clip: Clip, recipe: Recipe, background: Path | None) -> tuple[View | None, str]:
    """A clip as the recipe changes it for training, and in words what was done."""
    if recipe.examples == "segments":
        return _copied(clip, recipe, background)
    return _cropped(clip, recipe, background), ""


def _copied(clip: Clip, recipe: Recipe, background: Path | None) -> tuple[View | None, str]:
    """The first of the copies that the recipe makes of a clip."""
    rate_hz, seed = recipe.front_end.sample_rate_hz, recipe.schedule.seed
    fitting = [copy for copy in recipe.copies if not copy.labels or clip.label in copy.labels]
    if not fitting:
        return None, "The recipe makes no changed copies of this class."
    if any(copy.background_snr_db for copy in recipe.copies) and background is None:
        return None, "Its copies need background: give --background to see one."
    under = _backgrounds(background, rate_hz) if background else []
    samples = read_mono(clip.path, rate_hz)
    copies = copies_of(samples, rate_hz, clip.label, recipe.copies, seed, clip.path.stem, under)
    done = [
        _range(field.name, *getattr(fitting[0], field.name))
        for field in dataclasses.fields(fitting[0])
        if field.name not in ("labels", "repeat", "noise_slope_db_per_octave")
        and getattr(fitting[0], field.name) is not None
    ]
    how = f"One of its {len(copies)} changed copies, drawn from: {', '.join(done)}."
    return view("changed copy", prepared_samples(copies[0], recipe), recipe.front_end), how


def _range(name: str, low: float, high: float) -> str:
    """``delay_s`` and its limits as ``delay 0 to 1 s``."""
    for ending, unit in (("_s", " s"), ("_db", " dB"), ("_semitones", " semitones")):
        if name.endswith(ending):
            return f"{plain(name.removesuffix(ending))} {low:g} to {high:g}{unit}"
    return f"{plain(name)} {low:g} to {high:g}"


def _cropped(clip: Clip, recipe: Recipe, background: Path | None) -> View:
    """One example as `trainer.examples.crops` draws it; it has no samples, since it is made of mel power."""
    spec = recipe.front_end
    how = dataclasses.replace(recipe.augmentation, negative_share=0.0, mix_probability=0.0)
    sound = spectrogram_of(clip.path, spec, how.speeds, ArrayCache(None))
    assert sound is not None  # the original could be read
    under = [
        (Spectrogram({1.0: MelStream(spec).push(samples)}), np.zeros(1, np.float32))
        for samples in (_backgrounds(background, spec.sample_rate_hz) if background else [])
    ]
    maker = ExampleMaker(
        [sound], [0], 1, under, how, recipe.window_frames, spec.floor, spec.sample_rate_hz / spec.hop_samples
    )
    random = np.random.default_rng((recipe.schedule.seed, *clip.path.stem.encode()))
    power, _ = maker.example(0, random)
    shown = _view("training example", None, power, spec)
    kept = np.ones_like(shown.level)
    mask(kept, how, random)
    return dataclasses.replace(shown, level=np.where(kept > 0, shown.level, np.nan))


def _said_once(recipe: Recipe) -> str:
    """What is true of the changes of every clip."""
    if recipe.examples == "segments":
        peak = recipe.segments.peak_normalise
        return "Each clip is scaled to a peak of 1 first, as this recipe wants it." if peak else ""
    how, spec = recipe.augmentation, recipe.front_end
    done = [f"a window of {spec.duration_s(recipe.window_frames):.2f} s"]
    speeds = sorted(how.speeds)
    if len(speeds) > 1:
        done.append(f"played {speeds[0]:g} to {speeds[-1]:g} times as fast")
    done.append(f"a gain of {how.gain_db[0]:g} to {how.gain_db[1]:g} dB")
    if how.equaliser_db:
        done.append(f"an equaliser of up to {how.equaliser_db:g} dB")
    if how.background_probability:
        done.append(f"background in {percent(how.background_probability, 0)}")
    if how.noise_probability:
        done.append(f"noise in {percent(how.noise_probability, 0)}")
    if how.masks:
        done.append("blanked bands and frames")
    mixed = percent(how.mix_probability, 0)
    other = (
        f"; in {mixed} of them another sound is added, which is left out here" if how.mix_probability else ""
    )
    return (
        f"Training examples are drawn anew each time: {', '.join(done)}{other}. They are made from the "
        "power of the mel bands, so they have no waveform."
    )


def _backgrounds(folder: Path, rate_hz: int) -> list[FloatArray]:
    found = []
    for item in list(read_background(folder, "train"))[:BACKGROUNDS]:
        try:
            found.append(read_mono(item.path, rate_hz))
        except SourceError:
            continue
    return found


def _picture(name: str, clip: Clip, views: list[View], how: str) -> Picture:
    original = views[0]
    assert original.samples is not None
    seconds = len(original.samples) / original.rate_hz
    shows = f"{clip.path.name}, fold {clip.fold}: {seconds:.1f} s, {_peak(original.samples)}."
    alt = f"{plain(clip.label)}: {' and '.join(item.title for item in views)}. {shows}"
    with drawing(WIDTH, 380) as figure:
        grid = figure.subplots(3, len(views), height_ratios=[1, 2, 1.6], squeeze=False)
        for column, item in enumerate(views):
            _column(grid[:, column], item, original, first=column == 0)
        svg = to_svg(figure, name, alt)
    reads = "Left: the clip as it is; right: as the network learns from it."
    if len(views) == 1:
        reads = "The clip as it is."
    return Picture(name, plain(clip.label).capitalize(), f"{shows} {how}".strip(), reads, svg)


def _peak(samples: FloatArray) -> str:
    peak = float(np.abs(samples).max(initial=0.0))
    if peak <= 0:
        return "digital silence"
    return f"loudest sample {round(20 * np.log10(peak), 1) + 0.0:.1f} dBFS"


def _column(axes: Any, item: View, original: View, first: bool) -> None:
    from matplotlib import colormaps

    wave, bands, cepstrum = axes
    if item.samples is None:
        wave.text(0.5, 0.5, "no waveform", ha="center", va="center", transform=wave.transAxes, fontsize=9.5)
        wave.set_axis_off()
    else:
        low, high = _envelope(item.samples, 400)
        at = np.linspace(0, len(item.samples) / item.rate_hz, len(low))
        wave.fill_between(at, low, high, color=BLUE, linewidth=0.6)
        limit = max(0.05, float(np.abs(item.samples).max(initial=0.0)))
        wave.set_ylim(-1.05 * limit, 1.05 * limit)
        wave.set_xlim(0, item.seconds)
    wave.set_title(item.title)
    loudest = float(np.nanmax(item.level)) if np.isfinite(item.level).any() else 0.0
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    bands.imshow(
        item.level.T,
        extent=(0, item.seconds, 0, item.level.shape[1]),
        vmin=loudest - 60,
        vmax=loudest,
        cmap=colormaps["magma"].with_extremes(bad=BLANK),
        **shown,
    )
    limit = float(np.percentile(np.abs(_without_level(original)), 99)) or 1.0
    coefficients = _without_level(item)
    cepstrum.imshow(
        coefficients.T,
        extent=(0, item.seconds, 0.5, coefficients.shape[1] + 0.5),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        **shown,
    )
    cepstrum.set_yticks([at for at in (1, 4, 8, 12, 16, 20) if at <= coefficients.shape[1]])
    cepstrum.set_xlabel("seconds")
    for panel in (wave, bands, cepstrum):
        panel.grid(visible=False)
        panel.tick_params(labelbottom=panel is cepstrum)
        panel.locator_params(axis="x", nbins=5)
    if first:
        wave.set_ylabel("waveform")
        bands.set_ylabel("mel band")
        cepstrum.set_ylabel("MFCC")
    else:
        for panel in (wave, bands, cepstrum):
            panel.tick_params(labelleft=False)


def _without_level(item: View) -> FloatArray:
    """All coefficients but the first, unless it is the only one."""
    return item.cepstrum[:, 1:] if item.cepstrum.shape[1] > 1 else item.cepstrum


def _envelope(samples: FloatArray, columns: int) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest sample of so many stretches."""
    parts = [part for part in np.array_split(samples, min(columns, max(1, len(samples)))) if len(part)]
    return np.array([part.min() for part in parts]), np.array([part.max() for part in parts])
