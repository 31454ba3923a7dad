"""Every model that is shipped: small, with weights of 8 bits, described, and exact in any chunking."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter
from signals import blocks_of, scene
from toys import training_is_possible

from streamer import demo, listen
from streamer.classifier import Classifier
from streamer.model import DEFAULT_MODEL, load_model, shipped_models
from streamer.scorer import Scorer
from streamer.sources.samples import SamplesSource
from streamer.types import Block

MOST_BYTES = {"esc50": 1_000_000, "esc50-tiny": 100_000, "multibranch": 2_000_000, "urban": 1_000_000}
"""What each model may take, with its manifest."""

MODELS = shipped_models()
ROOT = Path(__file__).resolve().parent.parent
CREDITS = ROOT / "exported" / "CREDITS.md"
each = pytest.mark.parametrize("path", MODELS, ids=[path.stem for path in MODELS])


def test_all_models_are_there() -> None:
    assert sorted(path.stem for path in MODELS) == sorted(MOST_BYTES)
    assert DEFAULT_MODEL in MOST_BYTES


@each
def test_it_is_small_and_computes_as_it_says(path: Path) -> None:
    assert path.stat().st_size <= MOST_BYTES[path.stem]
    arithmetic = Classifier(load_model(path)).arithmetic
    interpreter = Interpreter(str(path), num_threads=1)
    ends = {
        t["dtype"].__name__ for t in (*interpreter.get_input_details(), *interpreter.get_output_details())
    }
    # Only what is as short as a list of shapes stays as it is.
    large = [t for t in interpreter.get_tensor_details() if t["shape"].size and t["shape"].prod() > 64]
    if arithmetic == "int8":
        assert ends == {"int8"}
        assert {t["dtype"].__name__ for t in large} <= {"int8", "int32"}
    else:
        assert arithmetic == load_model(path).manifest.arithmetic == "dynamic"
        assert ends == {"float32"}


@each
def test_a_sound_may_go_unheard_for_as_long_as_a_window(path: Path) -> None:
    manifest = load_model(path).manifest
    window_s = manifest.front_end.duration_s(manifest.window_frames)
    assert {rule.hangover_s for rule in manifest.classes} == {round(window_s, 2)}


@each
def test_it_says_where_it_comes_from(path: Path) -> None:
    manifest = load_model(path).manifest
    assert manifest.name == path.stem
    provenance = manifest.provenance
    assert provenance.recipe == path.stem
    assert provenance.licence
    assert provenance.background
    assert provenance.train_folds
    assert not provenance.validation_folds
    assert manifest.measured["calibration"]["clips"] >= 400
    assert f"## {path.stem}" in CREDITS.read_text(encoding="utf-8")


@each
def test_it_says_the_same_in_any_chunking(path: Path) -> None:
    model = load_model(path)
    signal = scene(model.manifest.front_end.sample_rate_hz)

    def said(sizes: list[int] | None) -> list[bytes | None]:
        scorer = Scorer(Classifier(model))
        blocks = blocks_of(signal, sizes) if sizes else [Block(0, signal)]
        scores = [score for block in blocks for score in scorer.push(block)[1]] + scorer.finish()[1]
        return [None if s.probabilities is None else s.probabilities.tobytes() for s in scores]

    whole = said(None)
    assert sum(item is not None for item in whole) > 5
    assert said([37]) == said([2_205]) == whole


@each
def test_it_hears_the_siren_of_the_demo_while_it_wails(path: Path) -> None:
    model = load_model(path)
    rate_hz = model.manifest.front_end.sample_rate_hz
    wails = next(part for part in demo.SCENE if part.sound is demo.siren)
    events = listen(SamplesSource(demo.scene(rate_hz), rate_hz), model)
    heard = [event for event in events if event.label == "siren"]
    assert len(heard) == 1
    assert heard[0].start_s == pytest.approx(wails.start_s, abs=0.5)
    assert heard[0].end_s == pytest.approx(wails.start_s + wails.duration_s, abs=1.0)


def test_the_credits_name_every_clip_that_was_learnt_from(esc_data: Path) -> None:
    training_is_possible()
    command = [sys.executable, "scripts/write-credits", "esc50", "--esc50", str(esc_data / "esc50")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == (ROOT / "exported" / "credits.csv").read_text(encoding="utf-8")
    assert len(ran.stdout.splitlines()) > 1_000
