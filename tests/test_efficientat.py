"""EfficientAT's network: its published weights, read without PyTorch and without trusting their file."""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import skip_or_fail
from test_frontend import EAR
from toys import training_is_possible

from streamer.frontend import features_of
from streamer.types import FloatArray
from trainer.exporting.quantise import convert
from trainer.networks import InputShape, NetworkError, build_network
from trainer.networks.efficientat import PUBLISHED_BIAS, rounded
from trainer.networks.efficientat_weights import _shared_scores, load_published
from trainer.networks.torch_file import read_tensors

WINDOW = InputShape(200, 128)
LABELS = 527

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    training_is_possible()


def network_of(labels: int = LABELS, **options: Any) -> Any:
    return build_network("efficientat", (WINDOW,), labels, "sigmoid", options)


# A file as PyTorch writes it, without PyTorch


class Named:
    """Something that a pickle calls by its name, whether that can be imported or not."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """A call of something named."""

    def __init__(self, what: Named, *arguments: Any) -> None:
        self.what, self.arguments = what, arguments


class Reference:
    """A persistent reference, as PyTorch refers to storages."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


class Writer:
    """Writes the pickles of such a file, and ones that want more."""

    def __init__(self) -> None:
        self.out = io.BytesIO(b"")
        self.out.write(b"\x80\x02")

    def write(self, value: Any) -> None:
        if isinstance(value, Named):
            self.out.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.write(value.what)
            self.write(value.arguments)
            self.out.write(b"R")
        elif isinstance(value, Reference):
            self.write(value.parts)
            self.out.write(b"Q")
        elif isinstance(value, tuple):
            self.out.write(b"(")
            for item in value:
                self.write(item)
            self.out.write(b"t")
        elif isinstance(value, dict):
            self.out.write(b"}(")
            for key, item in value.items():
                self.write(key)
                self.write(item)
            self.out.write(b"u")
        else:
            # Plain values, without their protocol and their end.
            self.out.write(pickle.dumps(value, 2)[2:-1])

    def done(self, value: Any) -> bytes:
        self.write(value)
        return self.out.getvalue() + b"."


def tensor_of(key: str, values: np.ndarray, **other: Any) -> Call:
    """How a tensor is written: a call that puts a storage into shape."""
    steps = tuple(math.prod(values.shape[at + 1 :]) for at in range(values.ndim))
    kind = Named("torch", "LongStorage" if values.dtype == np.int64 else "FloatStorage")
    reference = Reference("storage", kind, key, "cpu", other.get("count", values.size))
    return Call(
        Named("torch._utils", "_rebuild_tensor_v2"),
        reference,
        other.get("offset", 0),
        other.get("size", values.shape),
        other.get("stride", steps),
        False,
        Call(Named("collections", "OrderedDict")),
    )


def torch_file(
    path: Path, tensors: dict[str, np.ndarray], content: Any = None, compression: int = zipfile.ZIP_STORED
) -> Path:
    """Write tensors as PyTorch does; with `content`, a pickle that says something else."""
    written = {name: tensor_of(str(at), values) for at, (name, values) in enumerate(tensors.items())}
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", Writer().done(written if content is None else content))
        for at, values in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{at}", values.tobytes())
        archive.writestr("archive/version", b"3\n")
    return path


SOME = {
    "kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "batches": np.array(7, np.int64),
    "column": np.arange(5, dtype=np.float32).reshape(5, 1),
}


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    tensors = read_tensors(torch_file(tmp_path / "some.pt", SOME))
    assert list(tensors) == list(SOME)
    for name, values in SOME.items():
        assert tensors[name].dtype == values.dtype
        np.testing.assert_array_equal(tensors[name], values)


class RunsSomething:
    """What a pickle can do by itself: call anything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_something_is_refused(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    evil = pickle.dumps({"kernel": RunsSomething(trap)}, protocol)
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("archive/data.pkl", evil)
    with pytest.raises(NetworkError, match=rf"evil\.pt is not to be trusted: it asks for {os.name}\.mkdir$"):
        read_tensors(tmp_path / "evil.pt")
    assert not trap.exists()
    # It is a real trap.
    pickle.loads(evil)
    assert trap.is_dir()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.update"),
        ("numpy", "frombuffer"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("trainer.networks.torch_file", "read_tensors"),
    ],
)
def test_whatever_else_a_pickle_names_is_refused(tmp_path: Path, module: str, name: str) -> None:
    path = torch_file(tmp_path / "evil.pt", {}, {"kernel": Call(Named(module, name), "1")})
    with pytest.raises(NetworkError, match="not to be trusted"):
        read_tensors(path)


@pytest.mark.parametrize(
    "other",
    [
        {"count": 25},
        {"count": 23},
        {"offset": 1},
        {"offset": -1},
        {"size": (2, 3, 5), "stride": (15, 5, 1)},
        {"size": (-2, -3, 4)},
        {"size": (1 << 40, 3, 4), "stride": (12, 4, 1)},
        {"size": (1 << 40, 3, 4), "stride": (0, 0, 0)},
        {"stride": (1, 2, 6)},
        {"stride": (1,)},
        {"size": ("two", 3, 4)},
    ],
    ids=str,
)
def test_a_tensor_that_does_not_fit_its_numbers_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    kernel = SOME["kernel"]
    path = torch_file(tmp_path / "odd.pt", {"kernel": kernel}, {"kernel": tensor_of("0", kernel, **other)})
    with pytest.raises(NetworkError, match=r"odd\.pt is damaged or no file of PyTorch weights"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kernel": 3}, "something else than tensors"),
        ({3: tensor_of("0", SOME["kernel"])}, "something else than tensors"),
        ("kernel", "something else than tensors"),
        ({"kernel": Reference("module", "x", "0", "cpu", 1)}, "it refers to something else than numbers"),
        ({"kernel": tensor_of("../version", SOME["kernel"])}, "damaged"),
        ({"kernel": Call(Named("torch", "FloatStorage"))}, "damaged"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = torch_file(tmp_path / "odd.pt", {"kernel": SOME["kernel"]}, content)
    with pytest.raises(NetworkError, match=message) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(NetworkError) as caught:
            read_tensors(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "No such file" in refusal(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("come back later")
    assert "damaged or no file of PyTorch weights" in refusal(tmp_path / "text.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("archive/other.txt", b"")
    assert "holds no data.pkl" in refusal(tmp_path / "other.pt")
    packed = torch_file(tmp_path / "packed.pt", SOME, compression=zipfile.ZIP_DEFLATED)
    assert "it is compressed" in refusal(packed)
    whole = torch_file(tmp_path / "whole.pt", SOME).read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        refusal(tmp_path / "cut.pt")


# The network


def published_by(network: Any) -> dict[str, np.ndarray]:
    """Random weights in the layout of the published ones, for a network with batch normalisation."""
    random = np.random.default_rng(11)
    tensors: dict[str, np.ndarray] = {}
    for layer in network.layers:
        if not layer.weights:
            continue
        name = "classifier_5" if layer.name == "scores" else layer.name
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if type(layer).__name__ == "BatchNormalization":
            for what in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{name}_{what}"] = random.uniform(0.5, 1.5, shapes[0]).astype(np.float32)
            continue
        shape = shapes[0]
        if len(shape) == 4:
            times, bands, inputs, outputs = shape
            shape = (
                (inputs, 1, bands, times) if "Depthwise" in str(layer) else (outputs, inputs, bands, times)
            )
            shape = shape[:2] if "_fc" in name else shape
        else:
            shape = shape[::-1]
        spread = 1.0 / math.sqrt(math.prod(shape[1:]))
        tensors[f"{name}_weight"] = random.normal(0.0, spread, shape).astype(np.float32)
        if len(shapes) == 2:
            tensors[f"{name}_bias"] = random.normal(0.0, 0.1, shapes[1]).astype(np.float32)
    return tensors


def some_log_mel(count: int = 2) -> FloatArray:
    random = np.random.default_rng(3)
    return random.normal(size=(count, *WINDOW.dimensions)).astype(np.float32)


def answers(network: Any, inputs: FloatArray) -> dict[str, FloatArray]:
    """What the layers that others build on give."""
    import keras

    names = ("features", "hidden", "scores")
    cut = keras.Model(network.input, [network.get_layer(name).output for name in names])
    return dict(zip(names, (np.asarray(values) for values in cut(inputs)), strict=True))


def test_channels_are_rounded_as_published() -> None:
    wanted = {6.4: 8, 25.6: 24, 44.8: 48, 73.6: 72, 268.8: 272, 68.0: 72, 12.0: 16, 2.0: 8}
    assert {channels: rounded(channels) for channels in wanted} == wanted


def test_it_has_as_many_weights_as_were_published() -> None:
    network = network_of()
    assert sum(math.prod(weight.shape) for weight in network.trainable_weights) == 983_599
    shapes = {name: values.shape for name, values in answers(network, some_log_mel()).items()}
    assert shapes == {"features": (2, 384), "hidden": (2, 512), "scores": (2, LABELS)}
    blocks = [network.get_layer(f"features_{at}").output.shape[1:] for at in range(17)]
    assert blocks[0] == (100, 64, 8)
    assert blocks[12] == (13, 8, 48)
    assert blocks[16] == (7, 4, 384)


def test_folded_normalisation_gives_the_same(tmp_path: Path) -> None:
    network, folded = network_of(), network_of(normalised=False)
    path = torch_file(tmp_path / "published.pt", published_by(network))
    load_published(network, path)
    load_published(folded, path)
    assert not [layer for layer in folded.layers if type(layer).__name__ == "BatchNormalization"]
    ours, theirs = answers(network, some_log_mel()), answers(folded, some_log_mel())
    for name, values in ours.items():
        assert np.abs(values).max() > 0.01
        np.testing.assert_allclose(theirs[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


def test_another_number_of_labels_keeps_its_own_scores(tmp_path: Path) -> None:
    published = network_of()
    path = torch_file(tmp_path / "published.pt", published_by(published))
    load_published(published, path)
    network = network_of(50)
    before = network.get_layer("scores").get_weights()
    load_published(network, path)
    for old, new in zip(before, network.get_layer("scores").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    ours, theirs = answers(network, some_log_mel()), answers(published, some_log_mel())
    np.testing.assert_array_equal(ours["hidden"], theirs["hidden"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network = network_of()
    tensors = published_by(network)
    path = torch_file(tmp_path / "published.pt", tensors)
    with pytest.raises(NetworkError, match=r"published\.pt does not fit: its features_0_0 has the shapes"):
        load_published(network_of(width=1.0), path)
    del tensors["features_5_block_2_conc_se_layers_0_fc1_bias"]
    torch_file(path, tensors)
    with pytest.raises(NetworkError, match="holds no features_5_block_2_conc_se_layers_0_fc1_bias"):
        load_published(network, path)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(NetworkError, match="'gelu' is not one of hard_swish, swish"):
        network_of(activation="gelu")


@pytest.mark.parametrize("activation", ["hard_swish", "swish"])
def test_it_is_converted_without_waste(activation: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    network = network_of(50, activation=activation)
    window = some_log_mel(1)
    content = convert(network, "float32", [(window[0],)]).content
    interpreter = Interpreter(model_content=content, num_threads=1)
    found = {details["op_name"] for details in interpreter._get_ops_details()} - {"DELEGATE"}
    needed = {"PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "LOGISTIC", "MUL", "FULLY_CONNECTED"}
    assert found == needed | ({"HARD_SWISH"} if activation == "hard_swish" else set())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window)
    interpreter.invoke()
    given = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(given, np.asarray(network(window)), rtol=0, atol=1e-4)


# The published file


@pytest.fixture(scope="module")
def peers(esc_data: Path) -> Path:
    """Folder of the published file and of what the published network answers."""
    folder = esc_data.parent / "peers"
    if not (folder / "mn04_as_mAP_432.pt").is_file():
        skip_or_fail(f"there is no published network in {folder}")
    return folder


@pytest.mark.recordings
def test_the_front_end_gives_what_the_published_one_does(peers: Path) -> None:
    reference = np.load(peers / "mn04_reference.npz")
    for samples, log_mel in zip(reference["samples"], reference["log_mel"], strict=True):
        # Theirs are centred: 512 samples earlier, the same frames are ours.
        before = np.concatenate([np.zeros(512, np.float32), samples.astype(np.float32)])
        ours = (features_of(before, EAR).values + 4.5) / 5.0
        # Two frames at each end see the edge, which theirs mirrors.
        inner = slice(2, -2)
        np.testing.assert_allclose(ours[inner], log_mel.T[: len(ours)][inner], rtol=0, atol=1e-4)


@pytest.mark.recordings
@pytest.mark.parametrize("normalised", [True, False], ids=["normalised", "folded"])
def test_the_network_answers_as_the_published_one(peers: Path, normalised: bool) -> None:
    reference = np.load(peers / "mn04_reference.npz")
    network = network_of(normalised=normalised)
    load_published(network, peers / "mn04_as_mAP_432.pt")
    ours = answers(network, reference["log_mel"].transpose(0, 2, 1)[..., np.newaxis].astype(np.float32))
    for name, published in {"features": "features", "hidden": "hidden", "scores": "logits"}.items():
        np.testing.assert_allclose(ours[name], reference[published], rtol=0, atol=1e-3, err_msg=name)


def test_published_scores_have_a_share_in_the_outputs_of_a_head() -> None:
    """Their best counterpart counts; a label without one has the head alone."""
    import keras

    shape = InputShape(64, 128, 1)
    options = {"width": 0.1, "hidden": 16, "head": 8, "published_share": 0.25}
    network = build_network("efficientat", (shape,), 2, "sigmoid", options)
    random = np.random.default_rng(1)
    kernel = random.standard_normal((5, 16)).astype(np.float32)
    bias = random.standard_normal(5).astype(np.float32)
    published = {"classifier_5_weight": kernel, "classifier_5_bias": bias}
    network.get_layer("published").set_weights(_shared_scores(published, 0.25, [[1, 3], []]))
    names = ("hidden", "scores", "probabilities")
    parts = keras.Model(network.input, [network.get_layer(name).output for name in names])
    hidden, scores, probabilities = parts.predict(
        random.standard_normal((3, 64, 128, 1)).astype(np.float32), verbose=0
    )
    heard = hidden @ kernel.T + bias
    expected = 0.75 * scores
    expected[:, 0] += 0.25 * (np.maximum(heard[:, 1], heard[:, 3]) + PUBLISHED_BIAS)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-expected)), atol=1e-5)
