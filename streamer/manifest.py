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
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from streamer.errors import ModelError
from streamer.frontend.spec import Feature, FrontEndSpec
from streamer.tables import TableError, from_table, to_table

FORMAT = 2
"""Newest format that this version reads. The file says which one it is in under ``format``; it is written in
the oldest that can say what the manifest says, so that earlier versions of the program read it if they can.
"""

FORMAT_1_FRONT_END = (
    "sample_rate_hz",
    "fft_samples",
    "hop_samples",
    "mel_bands",
    "mel_scale",
    "mel_norm",
    "fmin_hz",
    "fmax_hz",
    "floor",
    "mfcc",
    "delta_frames",
    "features",
)
"""Keys of the front end that format 1 has; it also lacks the mel scale ``kaldi``."""

NEW_IN_FORMAT_2 = ("scores_tensor", "embedding", "groups", "arithmetic")

MEMBER = "manifest.json"

Arithmetic = Literal["int8", "dynamic", "float32"]
"""How a network computes: in 8 bits throughout; with weights of 8 bits, but in floating point at least in
parts; in floating point alone."""

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
class Embedding:
    """An output that holds what the network knows about a window before it decides on labels."""

    tensor: str
    """Name of the tensor in the file."""

    size: int
    """Number of values."""


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

    scores_tensor: str = ""
    """Name of the output tensor that holds the probabilities; may be empty when there is only one output
    besides the embedding."""

    embedding: Embedding | None = None
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels by the name of a group that stands for all of them. It may be called like a label."""

    arithmetic: Literal["", Arithmetic] = ""
    """Empty: whatever the tensors of the file show."""

    @property
    def format(self) -> int:
        """Of the file that it is written to."""
        spec, plain = self.front_end, FrontEndSpec()
        newer = [item.name for item in fields(spec) if item.name not in FORMAT_1_FRONT_END]
        in_format_1 = (
            not any(getattr(self, name) for name in NEW_IN_FORMAT_2)
            and all(getattr(spec, name) == getattr(plain, name) for name in newer)
            and spec.mel_scale != "kaldi"
        )
        return 1 if in_format_1 else 2

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the output."""
        return tuple(rule.label for rule in self.classes)

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ModelError(f"manifest: {problem}")

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
        if self.embedding and self.embedding.size < 1:
            refuse("the embedding needs at least 1 value")
        if self.embedding and self.embedding.tensor == self.scores_tensor:
            refuse(f"scores and embedding cannot be the same output, {self.scores_tensor!r}")
        for name, members in self.groups.items():
            if not members:
                refuse(f"the group {name!r} is empty")
            for label in members:
                if label not in self.labels:
                    refuse(f"the group {name!r} holds {label!r}, which is not one of its labels")


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
        return from_manifest_table(json.loads(text))
    except (TableError, ValueError, RecursionError) as error:
        raise ModelError(f"its manifest does not fit: {error}") from error


def manifest_table(manifest: Manifest) -> dict[str, Any]:
    """What is written into the file."""
    table = to_table(manifest)
    if manifest.format == 1:
        table = {key: value for key, value in table.items() if key not in NEW_IN_FORMAT_2}
        table["front_end"] = {key: table["front_end"][key] for key in FORMAT_1_FRONT_END}
    return {"format": manifest.format, **table}


def from_manifest_table(table: object) -> Manifest:
    """The inverse of `manifest_table`.

    Raises:
        ModelError: it is in a newer format, or makes no sense.
        TableError: it is not a manifest.
    """
    if not isinstance(table, dict):
        return from_table(Manifest, table)  # which says so
    # First, since a newer format has keys that this version takes for mistakes.
    written_in = table.get("format", FORMAT)
    if not isinstance(written_in, int) or isinstance(written_in, bool) or written_in < 1:
        raise TableError("format: expected 1 or a higher whole number")
    if written_in > FORMAT:
        raise ModelError(f"its format is {written_in}: it needs a newer esc-listen; update the program")
    manifest = from_table(Manifest, {key: value for key, value in table.items() if key != "format"})
    if "format" not in table:
        raise TableError("format: missing")
    return manifest


def add_manifest(network: bytes, manifest: Manifest) -> bytes:
    """Content of a model file: the flatbuffer and its manifest."""
    text = json.dumps(manifest_table(manifest), indent=1)
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
