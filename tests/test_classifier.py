"""LiteRT behind one small class: quantised in, quantised out, nothing kept by accident."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import changed_model

from streamer.classifier import Classifier
from streamer.model import load_model
from streamer.types import FloatArray

SHIPPED = load_model()
# As the network gives them; what calibration does to probabilities is tested in test_calibration.py.
MODEL = dataclasses.replace(
    SHIPPED,
    manifest=dataclasses.replace(
        SHIPPED.manifest,
        temperature=1.0,
        classes=tuple(
            dataclasses.replace(rule, offset=0.0, on=0.5, off=0.3) for rule in SHIPPED.manifest.classes
        ),
    ),
)
FRAMES = MODEL.manifest.window_frames
BANDS = MODEL.manifest.front_end.mel_bands


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(MODEL)


def window(seed: int, level_db: float = 0.0, spread_db: float = 20.0) -> FloatArray:
    """Random log-mel of one window."""
    random = np.random.default_rng(seed)
    values: FloatArray = random.normal(level_db, spread_db, (FRAMES, BANDS)).astype(np.float32)
    return values


def by_hand(values: FloatArray) -> FloatArray:
    """Probabilities by the interpreter itself and the textbook formulas of quantisation."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=MODEL.content, num_threads=1)
    interpreter.allocate_tensors()
    inward: dict[str, Any] = interpreter.get_input_details()[0]
    outward: dict[str, Any] = interpreter.get_output_details()[0]
    mean, std = (np.array(part) for part in (MODEL.manifest.inputs[0].mean, MODEL.manifest.inputs[0].std))
    normalised = (values.astype(np.float64) - mean) / std
    scale, zero_point = inward["quantization"]
    stored = np.clip(np.round(normalised / scale + zero_point), -128, 127).astype(np.int8)
    interpreter.set_tensor(inward["index"], stored.reshape(inward["shape"]))
    interpreter.invoke()
    scale, zero_point = outward["quantization"]
    real: FloatArray = scale * (interpreter.get_tensor(outward["index"])[0].astype(np.float64) - zero_point)
    return real


def test_the_shipped_model_is_int8_at_both_ends() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=MODEL.content, num_threads=1)
    for details in interpreter.get_input_details() + interpreter.get_output_details():
        assert details["dtype"] is np.int8


@pytest.mark.parametrize("seed", range(5))
def test_quantisation_follows_scale_and_zero_point(classifier: Classifier, seed: int) -> None:
    values = window(seed)
    # A feature on the very border between two steps may fall to either side.
    one_step = 1 / 256
    np.testing.assert_allclose(classifier.classify(values), by_hand(values), rtol=0, atol=2 * one_step)


def test_features_in_the_middle_of_a_step_give_exactly_the_same(classifier: Classifier) -> None:
    from ai_edge_litert.interpreter import Interpreter

    inward = Interpreter(model_content=MODEL.content, num_threads=1).get_input_details()[0]
    scale, zero_point = inward["quantization"]
    steps = np.random.default_rng(7).integers(-128, 128, (FRAMES, BANDS))
    mean, std = (np.array(part) for part in (MODEL.manifest.inputs[0].mean, MODEL.manifest.inputs[0].std))
    values = ((steps - zero_point) * scale * std + mean).astype(np.float32)
    np.testing.assert_allclose(classifier.classify(values), by_hand(values), rtol=0, atol=1e-7)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    level_db=st.floats(-200.0, 200.0),
    spread_db=st.sampled_from([0.0, 20.0, 1e4]),
)
def test_probabilities_lie_between_0_and_1(
    classifier: Classifier, seed: int, level_db: float, spread_db: float
) -> None:
    probabilities = classifier.classify(window(seed, level_db, spread_db))
    assert probabilities.shape == (len(MODEL.labels),)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0.0) & (probabilities <= 1.0)).all()


def test_what_exceeds_the_range_of_8_bits_is_clipped(classifier: Classifier) -> None:
    loud, louder = (np.full((FRAMES, BANDS), level_db, np.float32) for level_db in (1e4, 1e30))
    assert classifier.classify(loud).tolist() == classifier.classify(louder).tolist()


def test_the_same_window_gives_the_same_probabilities(classifier: Classifier) -> None:
    values = window(1)
    first = classifier.classify(values)
    classifier.classify(window(2))
    assert classifier.classify(values).tobytes() == first.tobytes()
    assert Classifier(MODEL).classify(values).tobytes() == first.tobytes()


def test_the_number_of_threads_changes_no_bit(classifier: Classifier) -> None:
    values = window(3)
    assert Classifier(MODEL, threads=2).classify(values).tobytes() == classifier.classify(values).tobytes()


def test_a_result_survives_the_next_window(classifier: Classifier) -> None:
    first = classifier.classify(window(1))
    kept = first.copy()
    second = classifier.classify(window(2))
    assert not np.shares_memory(first, second)
    assert first.tobytes() == kept.tobytes() != second.tobytes()


def test_the_window_is_left_as_it_is(classifier: Classifier) -> None:
    values = window(1)
    before = values.copy()
    classifier.classify(values)
    np.testing.assert_array_equal(values, before)


def test_normalisation_is_the_manifests(tmp_path: Path, classifier: Classifier) -> None:
    def shift(manifest: dict[str, Any]) -> None:
        manifest["temperature"] = 1.0
        for rule in manifest["classes"]:
            rule |= {"offset": 0.0, "on": 0.5, "off": 0.3}
        item = manifest["inputs"][0]
        item["mean"] = [2 * value + 30.0 for value in item["mean"]]
        item["std"] = [2 * value for value in item["std"]]

    shifted = Classifier(load_model(changed_model(tmp_path / "m.tflite", shift)))
    values = window(4)
    np.testing.assert_allclose(
        shifted.classify(2 * values + 30), classifier.classify(values), rtol=0, atol=2 / 256
    )
