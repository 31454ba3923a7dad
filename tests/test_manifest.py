"""A model says itself what it is; one that does not, or says it wrongly, is refused in one line."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import changed_model, with_archive

from streamer.classifier import Classifier
from streamer.errors import ModelError
from streamer.manifest import (
    MEMBER,
    ClassRule,
    Embedding,
    Manifest,
    ModelInput,
    add_manifest,
    manifest_table,
    read_manifest,
    replace_manifest,
    strip_manifest,
)
from streamer.model import describe_models, load_model, shipped_models
from streamer.tables import from_table, to_table

SHIPPED = load_model()
MANIFEST = SHIPPED.manifest
NETWORK = strip_manifest(SHIPPED.content)


def refusal(path: Path) -> str:
    """The message with which a model file is refused, at the latest when its network is opened."""
    with pytest.raises(ModelError) as caught:
        Classifier(load_model(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message == message.strip()
    assert str(path) in message
    return message


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# A good file


def test_the_shipped_model_names_its_classes_and_where_it_comes_from() -> None:
    assert len(SHIPPED.labels) == len(set(SHIPPED.labels)) == 50
    assert "dog" in SHIPPED.labels
    assert SHIPPED.name == "esc50"
    assert "CC BY" in MANIFEST.provenance.licence
    assert "NC" not in MANIFEST.provenance.licence
    assert MANIFEST.measured


def test_the_shipped_models_are_listed_with_their_licence() -> None:
    lines = describe_models().splitlines()
    assert len(lines) == 1 + len(shipped_models())
    assert any(line.startswith("esc50 ") and "CC BY" in line and "(default)" in line for line in lines)
    assert any(line.startswith("urban ") and "CC BY-NC" in line for line in lines)
    assert all(f" {Classifier(load_model(path)).arithmetic} " in "".join(lines) for path in shipped_models())
    assert lines[0].index("arithmetic") == lines[1].index("int8")


def test_a_manifest_survives_the_file(tmp_path: Path) -> None:
    other = dataclasses.replace(
        MANIFEST,
        name="kitchen",
        description='quotes " and umlauts äöü',
        hop_s=0.3,
        measured={"a": {"b": [1, 2.5, None]}},
    )
    path = written(tmp_path / "kitchen.tflite", add_manifest(NETWORK, other))
    assert load_model(path).manifest == other


def test_a_file_with_a_manifest_still_opens_in_litert() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=add_manifest(NETWORK, MANIFEST), num_threads=1)
    interpreter.allocate_tensors()
    assert interpreter.get_output_details()[0]["shape"].tolist() == [1, 50]


def test_any_zip_tool_can_read_the_manifest() -> None:
    with zipfile.ZipFile(io.BytesIO(SHIPPED.content)) as archive:
        assert archive.namelist() == [MEMBER]
        assert archive.testzip() is None


def test_the_same_model_gives_the_same_file() -> None:
    assert add_manifest(NETWORK, MANIFEST) == add_manifest(NETWORK, MANIFEST)


def test_a_second_manifest_takes_the_place_of_the_first() -> None:
    other = dataclasses.replace(MANIFEST, name="other")
    twice = add_manifest(add_manifest(NETWORK, MANIFEST), other)
    assert twice == add_manifest(NETWORK, other)
    assert read_manifest(twice).name == "other"
    assert strip_manifest(twice) == NETWORK


def test_replacing_a_manifest_leaves_the_network_and_no_other_file(tmp_path: Path) -> None:
    path = written(tmp_path / "m.tflite", SHIPPED.content)
    replace_manifest(path, dataclasses.replace(MANIFEST, name="new"))
    replace_manifest(path, dataclasses.replace(MANIFEST, name="newer"))
    assert load_model(path).name == "newer"
    assert strip_manifest(path.read_bytes()) == NETWORK
    assert list(tmp_path.iterdir()) == [path]


def test_stripping_what_has_no_manifest_changes_nothing() -> None:
    assert strip_manifest(NETWORK) == NETWORK


def test_a_table_and_back() -> None:
    assert from_table(Manifest, to_table(MANIFEST)) == MANIFEST


# Formats


def text_of(content: bytes) -> str:
    """The manifest as it stands in a model file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(MEMBER).decode()


@pytest.mark.parametrize("path", shipped_models(), ids=lambda path: path.stem)
def test_a_manifest_of_format_1_is_written_as_it_always_was(path: Path) -> None:
    model = load_model(path)
    shipped = text_of(model.content)
    assert shipped.startswith('{\n "format": 1,\n')
    assert model.manifest.format == 1
    assert text_of(add_manifest(NETWORK, model.manifest)) == shipped


NEW: dict[str, dict[str, Any]] = {
    "embedding": {"embedding": Embedding("embedding", 128)},
    "scores": {"scores_tensor": "StatefulPartitionedCall_1:0"},
    "groups": {"groups": {"pets": ("dog", "cat"), "cat": ("cat",)}},
    "arithmetic": {"arithmetic": "int8"},
}
NEW_FRONT_ENDS: dict[str, dict[str, Any]] = {
    "window": {"window": "hann_symmetric"},
    "shorter window": {"window_samples": 800},
    "pre-emphasis": {"window_samples": 800, "pre_emphasis": 0.97},
    "logarithm": {"log": "ln_offset"},
    "triangles": {"mel_scale": "kaldi"},
}


@pytest.mark.parametrize(
    ("manifest", "front_end"),
    [*((new, {}) for new in NEW.values()), *(({}, new) for new in NEW_FRONT_ENDS.values())],
    ids=[*NEW, *NEW_FRONT_ENDS],
)
def test_what_format_1_cannot_say_is_written_as_format_2(
    manifest: dict[str, Any], front_end: dict[str, Any]
) -> None:
    spec = dataclasses.replace(MANIFEST.front_end, **front_end)
    newer = dataclasses.replace(MANIFEST, front_end=spec, **manifest)
    content = add_manifest(NETWORK, newer)
    assert text_of(content).startswith('{\n "format": 2,\n')
    assert read_manifest(content) == newer


def test_a_format_that_makes_no_sense_is_not_read() -> None:
    for written_in in (0, -1, True, 1.0, "1", None):
        table = manifest_table(MANIFEST) | {"format": written_in}
        content = with_archive(NETWORK, {MEMBER: json.dumps(table).encode()})
        with pytest.raises(ModelError, match="format: expected 1 or a higher whole number"):
            read_manifest(content)


# Files that are refused


def test_a_name_that_no_model_has() -> None:
    with pytest.raises(ModelError, match=r"^no model is called 'nope'; shipped are: .*esc50"):
        load_model("nope")


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone.tflite")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").mkdir()
    assert "cannot read" in refusal(tmp_path / "m.tflite")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"hello, I am a text file", b"\x00" * 1_000])
def test_not_tflite(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "m.tflite", content)
    assert refusal(path) == f"{path} is not a TensorFlow Lite model"


def test_no_manifest(tmp_path: Path) -> None:
    message = refusal(written(tmp_path / "m.tflite", NETWORK))
    assert "it has no manifest" in message
    assert "esc-train" in message


@pytest.mark.parametrize("members", [{}, {"labels.txt": b"dog\ncat\n"}], ids=["empty", "labels only"])
def test_an_archive_without_a_manifest(tmp_path: Path, members: dict[str, bytes]) -> None:
    content = with_archive(NETWORK, members)
    assert "it has no manifest" in refusal(written(tmp_path / "m.tflite", content))


def test_a_manifest_can_take_the_place_of_an_empty_archive() -> None:
    assert read_manifest(add_manifest(with_archive(NETWORK, {}), MANIFEST)) == MANIFEST


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"format": 1}', b"null", b"[" * 100_000]
)
def test_a_manifest_that_is_not_json_or_not_a_manifest(tmp_path: Path, text: bytes) -> None:
    content = with_archive(NETWORK, {MEMBER: text})
    assert "its manifest does not fit" in refusal(written(tmp_path / "m.tflite", content))


def test_a_manifest_whose_bytes_are_damaged(tmp_path: Path) -> None:
    content = bytearray(SHIPPED.content)
    packed_text = len(NETWORK) + 200
    content[packed_text : packed_text + 50] = bytes(50)
    assert "manifest" in refusal(written(tmp_path / "m.tflite", bytes(content)))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (lambda m: m.update(colour="blue"), "colour: unknown key"),
    "missing key": (lambda m: m.pop("window_frames"), "window_frames: missing"),
    "wrong type": (
        lambda m: m.update(window_frames="96"),
        'window_frames: expected a whole number, found "96"',
    ),
    "wrong type deep inside": (
        lambda m: m["classes"][3].update(on="high"),
        'classes[3].on: expected a number, found "high"',
    ),
    "format of the future": (
        lambda m: m.update(format=3, knobs={}),
        "its format is 3: it needs a newer esc-listen",
    ),
    "an empty group": (lambda m: m.update(format=2, groups={"pets": []}), "the group 'pets' is empty"),
    "a group of others": (
        lambda m: m.update(format=2, groups={"pets": ["dog", "newt"]}),
        "the group 'pets' holds 'newt', which is not one of its labels",
    ),
    "an embedding of nothing": (
        lambda m: m.update(format=2, embedding={"tensor": "e", "size": 0}),
        "the embedding needs at least 1 value",
    ),
    "one output for two things": (
        lambda m: m.update(format=2, scores_tensor="e", embedding={"tensor": "e", "size": 3}),
        "scores and embedding cannot be the same output, 'e'",
    ),
    "another arithmetic than there is": (
        lambda m: m.update(format=2, arithmetic="int16"),
        "arithmetic: expected one of '', 'int8', 'dynamic', 'float32', found \"int16\"",
    ),
    "no classes": (lambda m: m.update(classes=[]), "lists no classes"),
    "a label twice": (lambda m: m["classes"][1].update(label="airplane"), "a label occurs twice"),
    "no inputs": (lambda m: m.update(inputs=[]), "lists no inputs"),
    "too few means": (lambda m: m["inputs"][0]["mean"].pop(), "needs 64 values of mean"),
    "a std of 0": (lambda m: m["inputs"][0]["std"].__setitem__(5, 0.0), "std that is not above 0"),
    "off above on": (lambda m: m["classes"][0].update(on=0.3, off=0.4), "'airplane' can never fire"),
    "on above 1": (lambda m: m["classes"][0].update(on=1.01), "'airplane' can never fire"),
    "on that 8 bits never reach": (lambda m: m["classes"][0].update(on=1.0), "'airplane' can never fire"),
    "off of 0": (lambda m: m["classes"][0].update(off=0.0), "'airplane' can never fire"),
    "on that is no number": (
        lambda m: m["classes"][0].update(on=float("nan")),
        "classes[0].on: expected a finite number, found nan",
    ),
    "negative hang-over": (lambda m: m["classes"][0].update(hangover_s=-1), "negative duration"),
    "a hop of 0": (lambda m: m.update(hop_s=0), "hop_s must be above 0"),
    "a hop that is no number": (
        lambda m: m.update(hop_s=float("nan")),
        "hop_s: expected a finite number, found nan",
    ),
    "a front end that makes no sense": (
        lambda m: m["front_end"].update(fmax_hz=20_000),
        "the mel range 50 to 20000 Hz does not fit",
    ),
    "an unknown feature": (
        lambda m: m["front_end"].update(features=["chroma"]),
        "front_end.features[0]: expected one of 'log_mel'",
    ),
    "a feature that is not computed": (
        lambda m: m["inputs"][0].update(features=["mfcc"]),
        "manifest",
    ),
    # From here on the manifest is sound in itself, but does not fit the network.
    "too few labels": (lambda m: m["classes"].pop(), "the network gives (1, 50), not one row of 49 labels"),
    "too many labels": (
        lambda m: m["classes"].append({"label": "x", "on": 0.5, "off": 0.3}),
        "the network gives (1, 50), not one row of 51 labels",
    ),
    "a shorter window": (lambda m: m.update(window_frames=95), "has the shape (1, 96, 64, 1)"),
    "another number of bands": (
        lambda m: (
            m["front_end"].update(mel_bands=32),
            m["inputs"][0].update(mean=[0.0] * 32, std=[1.0] * 32),
        ),
        "has the shape (1, 96, 64, 1)",
    ),
    "another tensor": (
        lambda m: m["inputs"][0].update(tensor="spectrogram"),
        "the inputs of the network are serving_default_log_mel:0",
    ),
    "another arithmetic": (
        lambda m: m.update(format=2, arithmetic="dynamic"),
        "its arithmetic is int8, not dynamic",
    ),
    "scores from elsewhere": (
        lambda m: m.update(format=2, scores_tensor="scores"),
        "the outputs of the network are StatefulPartitionedCall_1:0",
    ),
    "an embedding that is not there": (
        lambda m: m.update(format=2, embedding={"tensor": "embedding", "size": 128}),
        "the outputs of the network are StatefulPartitionedCall_1:0",
    ),
    "an embedding instead of scores": (
        lambda m: m.update(format=2, embedding={"tensor": "StatefulPartitionedCall_1:0", "size": 50}),
        "the network gives nothing else",
    ),
    "two inputs": (
        lambda m: m["inputs"].append({**m["inputs"][0], "tensor": "second"}),
        "the inputs of the network are serving_default_log_mel:0",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_manifest_that_does_not_fit(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    assert message in refusal(changed_model(tmp_path / "m.tflite", change))


@pytest.mark.parametrize("share", [0.0002, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_truncated_network_with_a_manifest(tmp_path: Path, share: float) -> None:
    content = add_manifest(NETWORK[: round(share * len(NETWORK))], MANIFEST)
    assert "LiteRT cannot run the model" in refusal(written(tmp_path / "m.tflite", content))


def test_a_download_that_broke_off(tmp_path: Path) -> None:
    content = SHIPPED.content[: len(SHIPPED.content) // 2]
    assert "it has no manifest" in refusal(written(tmp_path / "m.tflite", content))


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_network_does_not_crash_the_interpreter(tmp_path: Path, seed: int) -> None:
    import numpy as np

    random = np.random.default_rng(seed)
    content = np.frombuffer(NETWORK, np.uint8).copy()
    # The structure of a flatbuffer stands at its ends, the weights in between.
    for end in (slice(8, 2_000), slice(-20_000, None)):
        part = content[end]
        part[random.integers(len(part), size=20)] = random.integers(256, size=20)
    path = written(tmp_path / "m.tflite", add_manifest(content.tobytes(), MANIFEST))
    program = (
        "import sys\n"
        "from streamer import ModelError, load_model\n"
        "from streamer.classifier import Classifier\n"
        "try:\n"
        "    Classifier(load_model(sys.argv[1]))\n"
        "except ModelError:\n"
        "    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]


# Manifests made in a program


def test_a_rule_or_an_input_that_makes_no_sense_is_refused_where_it_is_made() -> None:
    with pytest.raises(ModelError, match="can never fire"):
        dataclasses.replace(MANIFEST, classes=(ClassRule("dog", on=0.2, off=0.3),))
    with pytest.raises(ModelError, match="needs 64 values"):
        dataclasses.replace(MANIFEST, inputs=(ModelInput("x", ("log_mel",), (0.0,), (1.0,)),))
