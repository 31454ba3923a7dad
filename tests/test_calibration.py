"""Calibration: probabilities that mean what they say, thresholds that keep a budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models import changed_model

from streamer.calibration import Calibration
from streamer.classifier import Classifier
from streamer.errors import ModelError
from streamer.manifest import add_manifest
from streamer.model import Model, load_model
from streamer.types import FloatArray
from trainer.calibration.decisions import HeardWindows, _own_decisions, choose_decisions
from trainer.calibration.evidence import Evidence, HeardBackground, HeardClip
from trainer.calibration.probabilities import clip_calibration_error, fit_calibration
from trainer.calibration.thresholds import (
    Budget,
    Curves,
    candidate_thresholds,
    choose_thresholds,
    count_events,
    curves,
    detection_delay_s,
    smoothed_streams,
)
from trainer.cli import main

AS_IT_IS = Calibration(1.0, (0.0, 0.0))


def sigmoid(values: FloatArray) -> FloatArray:
    result: FloatArray = (1.0 / (1.0 + np.exp(-values))).astype(np.float32)
    return result


# In the listener


def test_no_calibration_changes_no_bit() -> None:
    values = np.random.default_rng(1).random(50).astype(np.float32)
    calibration = Calibration(1.0, (0.0,) * 50)
    assert calibration.changes_nothing
    assert calibration(values) is values


def test_temperature_and_offset_by_hand() -> None:
    calibration = Calibration(2.0, (0.0, np.log(4.0)))
    # logit(0.9) = log 9, half of it log 3: three to one. An offset of log 4 makes that twelve to one.
    assert calibration(np.array([0.9, 0.9], np.float32)) == pytest.approx([0.75, 12 / 13], abs=1e-6)


def test_certainty_is_believed_up_to_half_a_step() -> None:
    found = Calibration(2.0, (0.0, 0.0), 1 / 512)(np.array([0.0, 1.0], np.float32))
    assert found[0] == pytest.approx(1 / (1 + 511**0.5), abs=1e-6)
    assert found[1] == pytest.approx(1 - found[0], abs=1e-6)


def test_the_classifier_applies_what_the_manifest_says(tmp_path: Path) -> None:
    def calibrated(temperature: float, step: float) -> Model:
        def change(table: dict[str, object]) -> None:
            table["temperature"] = temperature
            for at, rule in enumerate(table["classes"]):  # type: ignore[arg-type]
                rule.update(on=0.5, off=0.3, offset=step * at)

        return load_model(changed_model(tmp_path / f"{temperature:g}.tflite", change))

    plain, changed = calibrated(1.0, 0.0), calibrated(2.0, 0.1)
    spec = plain.manifest.front_end
    shape = (plain.manifest.window_frames, spec.mel_bands)
    window = np.random.default_rng(2).normal(0.0, 20.0, shape).astype(np.float32)
    raw = np.clip(Classifier(plain).classify(window).astype(np.float64), 1 / 512, 1 - 1 / 512)
    expected = 1 / (1 + np.exp(-(np.log(raw / (1 - raw)) / 2 + 0.1 * np.arange(len(raw)))))
    assert Classifier(changed).classify(window) == pytest.approx(expected, abs=1e-5)


def test_a_threshold_that_calibration_puts_out_of_reach_is_refused(tmp_path: Path) -> None:
    def much_cooler(table: dict[str, object]) -> None:
        table["temperature"] = 4.0

    path = changed_model(tmp_path / "x.tflite", much_cooler)
    with pytest.raises(ModelError, match=r"can never fire: 0\.\d+ is out of its reach"):
        Classifier(load_model(path))


@pytest.mark.parametrize("value", [0.0, -1.0, 1e9, float("nan")])
def test_a_temperature_beyond_all_measure_is_refused(tmp_path: Path, value: float) -> None:
    path = changed_model(tmp_path / "x.tflite", lambda table: table.update(temperature=value))
    with pytest.raises(ModelError, match="temperature"):
        load_model(path)


# Probabilities


def too_sure(clips: int, labels: int, factor: float, seed: int = 1) -> list[HeardClip]:
    """Clips of one window each, whose logits are `factor` times what they should be."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(clips):
        confidence = random.uniform(0.3, 0.95)
        taken_for = int(random.integers(labels))
        right = random.random() < confidence
        truth = taken_for if right else (taken_for + 1) % labels
        logits = np.full(labels, -6.0)
        logits[taken_for] = factor * np.log(confidence / (1 - confidence))
        row = sigmoid(logits.astype(np.float32))[np.newaxis]
        made.append(HeardClip(truth, 1, row, row, np.ones(labels, bool)))
    return made


def test_the_temperature_of_a_network_that_is_too_sure_is_found() -> None:
    clips = too_sure(3_000, 4, 2.5)
    fitted = fit_calibration(clips, 4, "temperature")
    assert fitted.temperature == pytest.approx(2.5, rel=0.15)
    assert fitted.offsets == (0.0,) * 4
    assert fitted.error_before > 0.1
    assert fitted.error_after < 0.04
    assert clip_calibration_error(clips, fitted.calibration) == pytest.approx(fitted.error_after)


def test_the_offset_of_a_network_that_is_not_sure_enough_is_found() -> None:
    clips = []
    for item in too_sure(3_000, 4, 1.0):
        logits = np.log(item.alone / (1 - item.alone)) - np.float32(0.9)
        clips.append(dataclasses.replace(item, alone=sigmoid(logits)))
    fitted = fit_calibration(clips, 4, "offset")
    assert fitted.temperature == 1.0
    assert len(set(fitted.offsets)) == 1
    # As far as needed and no further: the whole of what is missing would be 0.9.
    assert 0.5 < fitted.offsets[0] < 0.9
    assert fitted.error_after < 0.07 < fitted.error_before


def test_an_offset_is_found_for_the_class_that_needs_one() -> None:
    # Twice as often right as it says: only sounds of class 0.
    clips = []
    for item in too_sure(4_000, 3, 1.0):
        row = item.alone.copy()
        if row.argmax() == 0:
            row[0, 0] = sigmoid(np.log(row[0, 0] / (1 - row[0, 0])) - np.float32(0.8))
        clips.append(dataclasses.replace(item, alone=row))
    fitted = fit_calibration(clips, 3, "per-class")
    assert fitted.offsets[0] == pytest.approx(0.8, abs=0.3)
    assert np.abs(fitted.offsets[1:]).max() < 0.3


def test_no_method_changes_nothing_and_silent_clips_do_not_count() -> None:
    silent = HeardClip(0, 1, np.empty((0, 2), np.float32), np.empty((0, 2), np.float32), np.ones(2, bool))
    clips = [*too_sure(50, 2, 2.0), silent]
    fitted = fit_calibration(clips, 2, "none")
    assert (fitted.temperature, fitted.offsets) == (1.0, (0.0, 0.0))
    assert fitted.error_before == fitted.error_after > 0
    assert fit_calibration([silent], 2, "temperature").temperature == 1.0


# Thresholds


def test_smoothing_is_the_listener_s_and_silence_is_nothing() -> None:
    rows = np.array([[1.0, 0.0], [np.nan, np.nan], [1.0, 1.0]], np.float32)
    kept = np.exp(-1.0)
    found = smoothed_streams(rows, 0.5, 0.5, AS_IT_IS)
    assert found[:, 0] == pytest.approx([1.0, kept, kept**2 + (1 - kept)])
    assert found[:, 1] == pytest.approx([0.0, 0.0, 1 - kept])
    assert smoothed_streams(np.empty((0, 2), np.float32), 0.5, 0.5, AS_IT_IS).shape == (0, 2)


def test_events_are_counted_with_hysteresis() -> None:
    level = np.array([0.1, 0.8, 0.6, 0.8, 0.2, 0.8, 0.1], np.float32)[:, np.newaxis]
    thresholds = np.array([[0.05], [0.7], [0.9]], np.float32)
    # At 0.7 the dip to 0.6 is no end (off is 0.42), the one to 0.2 is.
    assert count_events(level, thresholds).tolist() == [[1], [2], [0]]


def test_candidates_are_calibrated_and_stay_in_reach() -> None:
    calibration = Calibration(3.0, (0.0, 1.5), 1 / 512)
    candidates = candidate_thresholds(calibration, 2)
    highest = calibration(np.array([255 / 256] * 2, np.float32))
    assert (np.diff(candidates, axis=0) > 0).all()
    assert (candidates[-1] < highest).all()
    assert (candidates[0] > 0).all()


def some_curves(seed: int = 3, hours: float = 1.0) -> Curves:
    """Class 0 is easy, class 1 is often heard where it is not, class 2 has a single clip."""
    random = np.random.default_rng(seed)
    truths = np.array([0] * 60 + [1] * 60 + [2])
    peaks = random.uniform(0.0, 0.2, (len(truths), 3)).astype(np.float32)
    peaks[:60, 1] = random.uniform(0.0, 0.97, 60)
    peaks[np.arange(len(truths)), truths] = random.uniform(0.5, 0.99, len(truths))
    thresholds = candidate_thresholds(Calibration(1.0, (0.0,) * 3), 3)
    alarms = np.zeros(thresholds.shape, np.int64)
    alarms[:, 1] = np.where(thresholds[:, 1] < 0.6, 20, np.where(thresholds[:, 1] < 0.95, 4, 0))
    return Curves(thresholds, truths, peaks, alarms, hours)


def test_the_budget_is_kept_and_the_noisy_class_pays_for_it() -> None:
    found = some_curves()
    for budget in (Budget(6.0, 0.10), Budget(1.0, 0.02)):
        places = choose_thresholds(found, budget)
        right, wrong, alarms = found.outcome(places)
        assert wrong <= budget.wrong
        assert alarms <= budget.alarms_per_hour
        on = found.chosen(places)
        assert on[0] < 0.6 < on[1]
        assert right > 0.5


def test_a_larger_budget_never_hears_less() -> None:
    found = some_curves()
    shares = [found.outcome(choose_thresholds(found, Budget(9.0, wrong)))[0] for wrong in (0.01, 0.05, 0.2)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_rare_class_can_fire() -> None:
    found = some_curves()
    on = found.chosen(choose_thresholds(found, Budget(3.0, 0.05)))
    assert on[2] < found.peaks[-1, 2]


def test_a_budget_that_cannot_be_kept_gives_the_calmest_thresholds() -> None:
    found = some_curves()
    hopeless = dataclasses.replace(found, peaks=np.full_like(found.peaks, 0.999))
    places = choose_thresholds(hopeless, Budget(3.0, 0.01))
    assert hopeless.outcome(places)[1] > 0.01


def test_background_that_may_contain_a_sound_does_not_judge_it() -> None:
    loud = np.full((10, 2), 0.9, np.float32)
    clip = HeardClip(0, 1, loud, loud, np.array([True, False]))
    room = HeardBackground(loud, np.array([False, True]), 0.5)
    found = curves(Evidence(("a", "b"), 0.5, 2.0, 3.0, (clip,), (room,)), 0.0, AS_IT_IS)
    assert found.peaks.tolist() == [[pytest.approx(0.9), 0.0]]
    assert found.alarms[:, 0].max() == 0
    assert found.alarms[:, 1].max() == 1
    assert found.hours == 0.5


def test_the_delay_counts_from_the_begin_of_the_clip() -> None:
    rows = np.zeros((12, 1), np.float32)
    rows[8:] = 0.9
    clip = HeardClip(0, 1, rows, rows, np.ones(1, bool))
    evidence = Evidence(("a",), 0.5, 2.0, 3.0, (clip,), ())
    # The ninth window ends 2 + 8 * 0.5 s after the begin of the stream, the clip begins after 3 s.
    assert detection_delay_s(evidence, np.array([0.5], np.float32), 0.0, Calibration(1.0, (0.0,))) == 3.0


# Decisions


def test_decisions_lie_between_each_classs_own_and_the_common_one() -> None:
    random = np.random.default_rng(5)
    truth = np.zeros((3_000, 3), bool)
    truth[:1_000, 0] = truth[1_000:2_000, 1] = True
    scores = random.uniform(0.0, 0.25, truth.shape)
    scores[:1_000, 0] = random.uniform(0.35, 1.0, 1_000)
    scores[1_000:2_000, 1] = random.uniform(0.7, 1.0, 1_000)
    scores[2_000:, 1] = random.uniform(0.0, 0.6, 1_000)
    first, second, rare = choose_decisions(HeardWindows(truth, scores.astype(np.float32)))
    assert 0.25 < first < rare <= second <= 0.7


def test_decisions_are_kept_together_so_that_whole_windows_are_right() -> None:
    random = np.random.default_rng(6)
    truth = random.random((4_000, 8)) < 0.15
    # All classes alike: what differs between them is chance.
    scores = np.clip(np.where(truth, 0.55, 0.2) + random.normal(0, 0.15, truth.shape), 0, 1)
    heard = HeardWindows(truth[:200], scores[:200].astype(np.float32))
    own, joined = np.array(_own_decisions(heard)), np.array(choose_decisions(heard))
    assert np.ptp(joined) < np.ptp(own)
    exact = [((scores[200:] >= at) == truth[200:]).all(axis=1).mean() for at in (own, joined)]
    assert exact[1] > exact[0]


# The command


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ([], "say which clips the model did not learn from: give --folds, or --crossval"),
        (["--folds", "1"], "the model learnt from fold 1, about which it is far too sure"),
        (["--folds", "7"], "there are no clips of fold 7"),
        (["--folds", "5", "--false-alarms", "0"], "--false-alarms 0: give a number above 0"),
        (["--folds", "5", "--wrong-budget", "10"], "--wrong-budget 10: give a share between 0 and 1"),
        (["--folds", "5", "--smoothing", "-1"], "--smoothing -1: give seconds between 0 and 10"),
        (["--folds", "5", "--mixes", "-1"], "--mixes -1: give a number from 0 on"),
        (["--crossval", "."], "holds no cross-validation: expected fold-*/int8.tflite"),
    ],
)
def test_bad_wishes_get_one_line(
    more: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(load_model().content)
    before = path.read_bytes()
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    rows = [f"{fold}-{at}-A-0.wav,{fold},0,dog,{at},A" for fold in (1, 5) for at in range(2)]
    for row in rows:
        soundfile.write(tmp_path / "audio" / row.split(",")[0], np.zeros(100), 8_000)
    table = "\n".join(["filename,fold,target,category,src_file,take", *rows])
    (tmp_path / "meta" / "esc50.csv").write_text(table + "\n")
    assert main(["calibrate", str(path), "--data", f"esc50={tmp_path}", *more]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert problem in said[0]
    assert path.read_bytes() == before


def test_a_shipped_model_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "esc50", "--data", "esc50=anywhere", "--folds", "5"]) == 1
    assert "esc50 is a shipped model: give --out FILE.tflite" in capsys.readouterr().err


@pytest.mark.recordings
def test_real_clips_calibrate_the_shipped_model(
    esc_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = load_model()
    # It learnt from fold 5 as well; here it says that it did not.
    claim = dataclasses.replace(shipped.manifest.provenance, train_folds=(1, 2, 3))
    claiming, out = tmp_path / "claiming.tflite", tmp_path / "calm.tflite"
    changed = dataclasses.replace(shipped.manifest, provenance=claim)
    claiming.write_bytes(add_manifest(shipped.content, changed))
    arguments = ["--data", f"esc50={esc_data / 'esc50'}", "--folds", "5", "--mixes", "20"]
    arguments += ["--wrong-budget", "0.05", "--method", "per-class", "--out", str(out)]
    assert main(["calibrate", str(claiming), *arguments]) == 0
    said = capsys.readouterr().out
    assert "400 clips of fold 5 that the network did not learn from" in said
    before, after = shipped.manifest, load_model(out).manifest
    assert after.front_end == before.front_end
    assert len({rule.on for rule in after.classes}) > 3
    assert len({rule.decision for rule in after.classes}) > 2
    figures = after.measured["calibration"]
    assert figures["wrong"] <= 0.05
    assert figures["right"] > 0.7
    assert figures["ece"] < figures["ece_before"]
    Classifier(load_model(out))
