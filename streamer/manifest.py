"""What a model says about itself: the manifest that travels inside its ``.tflite`` file.

The file is an ordinary TFLite flatbuffer with a zip archive appended, as TFLite's own metadata
convention has it for associated files; the archive holds ``manifest.json``. So a model stays a single
file that can be copied, any TFLite runtime still opens it, and ``unzip -p model.tflite manifest.json``
shows the manifest.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.errors import ModelError
from streamer.frontend.spec import Feature, FrontEndSpec
from streamer.tables import TableError, from_table, to_table

FORMAT = 1
MEMBER = "manifest.json"

LARGEST_BYTES = 1_000_000
"""Of a manifest, unpacked; that of fifty classes has 10 000."""


@dataclass(frozen=True)
class ModelInput:
    """What one input tensor of the network expects."""

    tensor: str
    """Name of the tensor in the file."""

    features: tuple[Feature, ...]
    """Features of the front end. Several of the same width become channels, in this order."""

    mean: tuple[float, ...]
    """Subtracted from each column of those features, in the same order."""

    std: tuple[float, ...]
    """Each column is then divided by this."""


@dataclass(frozen=True)
class ClassRule:
    """How one class becomes events."""

    label: str

    on: float
    """An event begins when the smoothed probability reaches this."""

    off: float
    """It ends when the smoothed probability has fallen under this for `hangover_s`."""

    decision: float = 0.5
    """Probability at which a single window counts as containing the sound."""

    min_duration_s: float = 0.0
    """An event is announced when it has gone on for so long."""

    hangover_s: float = 0.5

    offset: float = 0.0
    """Added to the logit of the network's probability (see `streamer.calibration`)."""


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from."""

    recipe: str
    dataset: str
    licence: str
    """Of the training data, which binds what the model may be used for."""

    train_folds: tuple[int, ...] = ()
    validation_folds: tuple[int, ...] = ()
    background: str = ""
    teachers: tuple[str, ...] = ()
    """Recipes of the networks whose answers were learnt as well as the labels."""

    seed: int = 0
    epochs: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Manifest:
    """All that the listener must know about a model."""

    format: int
    name: str
    description: str
    front_end: FrontEndSpec
    window_frames: int
    inputs: tuple[ModelInput, ...]
    classes: tuple[ClassRule, ...]
    """In the order of the output."""

    provenance: Provenance
    hop_s: float = 0.5
    """Distance between two windows."""

    temperature: float = 1.0
    """The logit of every probability is divided by this (see `streamer.calibration`). All thresholds
    are about calibrated probabilities."""

    smoothing_s: float = 0.5
    """Time constant of the probability smoothing."""

    visible: float = 0.2
    """Probability, not smoothed, from which on a sound counts as being somewhere in the window."""

    visible_onset_s: float = 0.4
    """How much of a sound a window must hold at its end before it is visible."""

    visible_offset_s: float = 0.4
    """How much of a sound that is over a window still holds at its start when it is not any more."""

    measured: dict[str, Any] = field(default_factory=dict)
    """Figures of this very file, by name, with what they were measured on."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the output."""
        return tuple(rule.label for rule in self.classes)

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ModelError(f"manifest: {problem}")

        if self.format != FORMAT:
            refuse(f"its format is {self.format}; this version reads format {FORMAT}")
        if self.window_frames < 1:
            refuse("window_frames must be at least 1")
        if not self.classes:
            refuse("it lists no classes")
        if len(set(self.labels)) != len(self.labels):
            refuse("a label occurs twice")
        if not self.inputs:
            refuse("it lists no inputs")
        for item in self.inputs:
            columns = sum(self.front_end.width(name) for name in item.features)
            if not len(item.mean) == len(item.std) == columns:
                refuse(f"input {item.tensor!r} needs {columns} values of mean and of std")
            if not all(1e-9 < value < 1e9 for value in item.std):
                refuse(f"input {item.tensor!r} has a std that is not above 0, or beyond all measure")
            if not all(abs(value) < 1e9 for value in item.mean):
                refuse(f"input {item.tensor!r} has a mean that is beyond all measure")
        for rule in self.classes:
            if not 0 < rule.off <= rule.on <= 1:
                refuse(f"class {rule.label!r} can never fire: it needs 0 < off <= on <= 1")
            if rule.min_duration_s < 0 or rule.hangover_s < 0:
                refuse(f"class {rule.label!r} has a negative duration")
            if not 0 < rule.decision <= 1:
                refuse(f"class {rule.label!r} has a decision threshold outside 0 to 1")
            if not abs(rule.offset) < 100:
                refuse(f"class {rule.label!r} has an offset beyond all measure")
        if not 0.01 < self.temperature < 100:
            refuse("temperature must lie between 0.01 and 100")
        if not 0 < self.visible <= 1 or self.visible_onset_s < 0 or self.visible_offset_s < 0:
            refuse("visible must lie above 0 and at most at 1, its times not below 0")
        if self.hop_s <= 0 or self.smoothing_s < 0:
            refuse("hop_s must be above 0 and smoothing_s not below")


def read_manifest(content: bytes) -> Manifest:
    """Read the manifest of a model file's content.

    Raises:
        ModelError: there is none, or it does not fit.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.getinfo(MEMBER).file_size > LARGEST_BYTES:
                raise ModelError(
                    f"its manifest is larger than {LARGEST_BYTES / 1e6:g} MB; that cannot be right"
                )
            text = archive.read(MEMBER)
    except (zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"its manifest is damaged ({error}); copy the file again") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(
            "it has no manifest, so its labels and features are unknown; "
            "export it with esc-train, which adds one"
        ) from error
    try:
        table = json.loads(text)
        # First, since a newer format has keys that this version takes for mistakes.
        written_in = table.get("format") if isinstance(table, dict) else None
        if isinstance(written_in, int) and written_in > FORMAT:
            raise ModelError(f"its format is {written_in}: it needs a newer esc-listen; update the program")
        return from_table(Manifest, table)
    except (TableError, ValueError, RecursionError) as error:
        raise ModelError(f"its manifest does not fit: {error}") from error


def add_manifest(network: bytes, manifest: Manifest) -> bytes:
    """Content of a model file: the flatbuffer and its manifest."""
    text = json.dumps(to_table(manifest), indent=1)
    out = io.BytesIO()
    out.write(strip_manifest(network))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date, so that the same model gives the same file.
        archive.writestr(zipfile.ZipInfo(MEMBER, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def strip_manifest(content: bytes) -> bytes:
    """The flatbuffer alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content[: min((i.header_offset for i in archive.infolist()), default=archive.start_dir)]
    except zipfile.BadZipFile:
        return content


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Give the model file at `path` another manifest."""
    content = add_manifest(path.read_bytes(), manifest)
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
