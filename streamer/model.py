"""A model file: finding it by name or path, reading it, listing the shipped ones."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from streamer.errors import ModelError
from streamer.manifest import Manifest, read_manifest

DEFAULT_MODEL = "esc50"

LARGEST_BYTES = 1_000_000_000
"""No network for sounds is larger."""


@dataclass(frozen=True)
class Model:
    """A network and what it says about itself."""

    path: Path
    content: bytes
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name in the manifest."""
        return self.manifest.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the output."""
        return self.manifest.labels


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """Load a shipped model by its name, or any model from a file.

    Raises:
        ModelError: there is no such model, or the file is not one that can be used.
    """
    path = Path(name_or_path)
    shipped = {item.stem: item for item in shipped_models()}
    if str(name_or_path) in shipped:
        path = shipped[str(name_or_path)]
    elif path.suffix != ".tflite" and path.name == str(name_or_path) and not path.is_file():
        known = ", ".join(shipped) or "none"
        raise ModelError(
            f"no model is called {str(name_or_path)!r}; shipped are: {known}. "
            "For a model of your own give the path of its .tflite file"
        )
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"cannot read the model {path}: it is not an ordinary file")
        if path.stat().st_size > LARGEST_BYTES:
            raise ModelError(f"cannot use the model {path}: it is larger than any network for sounds")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path} is not a TensorFlow Lite model")
    try:
        return Model(path, content, read_manifest(content))
    except ModelError as error:
        raise ModelError(f"cannot use the model {path}: {error}") from error


def shipped_models() -> list[Path]:
    """Files of the models that come with the program, by name."""
    folder = Path(str(resources.files("exported")))
    return sorted(folder.glob("*.tflite"))


def describe_models() -> str:
    """A readable table of the shipped models, for ``--list-models``."""
    from streamer.classifier import Classifier  # which needs models

    head = "what it hears; licence of its training data"
    lines = [f"{'model':<14} {'classes':>7} {'kB':>6}  {'arithmetic':<10}  {head}"]
    for path in shipped_models():
        model = load_model(path)
        about = f"{model.manifest.description}; {model.manifest.provenance.licence}"
        mark = " (default)" if model.name == DEFAULT_MODEL else ""
        size_kb = len(model.content) / 1000
        how = model.manifest.arithmetic or Classifier(model).arithmetic
        lines.append(f"{model.name:<14} {len(model.labels):>7} {size_kb:>6.0f}  {how:<10}  {about}{mark}")
    return "\n".join(lines)
