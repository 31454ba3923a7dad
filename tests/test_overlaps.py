"""``esc-train mix`` and its score: the truth against what is in the audio, and figures worked by hand.

Every class is a tone of its own pitch, so that each source can be found again in a mix.
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.signal import oaconvolve
from signals import noise, silence, tone
from sounds import other_label, shipped_model, siren, siren_label, siren_threshold

from streamer.classifier import Classifier
from streamer.types import FloatArray
from trainer.cli import main
from trainer.datasets import DatasetError, read_dataset
from trainer.datasets.mix import MADE, TRUTH, Made, Mix, Mixes, Source, read_mixes, write_truth
from trainer.judging.mixes import Judged, figures, report, score_mix
from trainer.soundscapes.overlaps import RATE_HZ, Order, Written, write_mixes

PITCH_HZ = {"low": 500.0, "middle": 1_500.0, "high": 3_000.0, "top": 6_000.0}
"""Far enough apart for each to be told from the others within 40 ms."""

FRAME = RATE_HZ // 50
FOLDS = (1, 2)
CLIPS = 3
"""Of each class in each fold."""

# Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def clip(label: str, fold: int, number: int, rate_hz: int) -> FloatArray:
    """Two bursts of a tone with a long pause, in digital silence, never twice the same.

    They begin and end on the frames of 20 ms in which activity is measured.
    """
    random = np.random.default_rng((fold, number, len(label)))
    loudness = float(random.uniform(0.01, 0.4))
    seconds = random.integers((0, 15, 35, 15, 0), (25, 40, 50, 40, 25)) / 50
    return np.concatenate(
        [
            silence(part_s, rate_hz) if at % 2 == 0 else tone(PITCH_HZ[label], part_s, rate_hz, loudness)
            for at, part_s in enumerate(seconds)
        ]
    )


def write_table(folder: Path, rows: list[tuple[str, int, str]]) -> None:
    """ESC-50's table: file, fold and label of each clip."""
    (folder / "meta").mkdir()
    with (folder / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "category", "src_file"])
        writer.writerows((name, fold, label, name) for name, fold, label in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones in two folds; the first fold also holds what can be no source."""
    folder = tmp_path_factory.mktemp("tones")
    (folder / "audio").mkdir()
    rows: list[tuple[str, int, str]] = []
    for fold in FOLDS:
        for number in range(CLIPS):
            for label in PITCH_HZ:
                # One class comes at the rate of the originals.
                rate_hz = 2 * RATE_HZ if label == "middle" else RATE_HZ
                name = f"{fold}-{number}-{label}.wav"
                soundfile.write(folder / "audio" / name, clip(label, fold, number, rate_hz), rate_hz)
                rows.append((name, fold, label))
    for name in ("1-broken.wav", "1-silent.wav", "1-short.wav"):
        rows.append((name, 1, "low"))
    (folder / "audio" / "1-broken.wav").write_text("this is no sound")
    soundfile.write(folder / "audio" / "1-silent.wav", silence(2.0, RATE_HZ), RATE_HZ)
    soundfile.write(folder / "audio" / "1-short.wav", tone(500.0, 0.1, RATE_HZ), RATE_HZ)
    write_table(folder, rows)
    return folder


def mixed(data: Path, out: Path, order: Order, folds: tuple[int, ...] = FOLDS) -> Written:
    """Mix clips of the tones."""
    clips = [item for item in read_dataset("esc50", data) if item.fold in folds]
    return write_mixes(order, "esc50", data, clips, out)


@pytest.fixture(scope="module")
def free(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Mixes:
    """Sixty mixes of one to three sources."""
    out = tmp_path_factory.mktemp("free") / "mixes"
    mixed(data, out, Order("free", count=30))
    return read_mixes(out)


@pytest.fixture(scope="module", params=["50-50", "90-10"])
def pairs(data: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mixes:
    """Every pair of classes, four times."""
    out = tmp_path_factory.mktemp("pairs") / "mixes"
    mixed(data, out, Order(request.param, per_pair=4))
    return read_mixes(out)


def amplitude(samples: FloatArray, hz: float) -> np.ndarray:
    """How loud a tone is around each sample: amplitude over 40 ms, shape (n,)."""
    turned = samples * np.exp(-2j * np.pi * hz * np.arange(len(samples)) / RATE_HZ)
    loud: np.ndarray = 2.0 * np.abs(oaconvolve(turned, np.hanning(2 * FRAME + 1) / FRAME, "same"))
    return loud


def truly_active(source: Source, length: int, around: int) -> np.ndarray:
    """Samples that lie in a span, without those closer to an end of a span than `around`."""
    active = np.zeros(length, bool)
    for begin_s, end_s in source.spans_s:
        active[max(0, round(begin_s * RATE_HZ) + around) : max(0, round(end_s * RATE_HZ) - around)] = True
    return active


def samples_of(mixes: Mixes, mix: Mix) -> FloatArray:
    samples, rate_hz = soundfile.read(mixes.folder / mix.file, dtype="float32")
    assert rate_hz == RATE_HZ
    assert samples.ndim == 1
    return np.asarray(samples, np.float32)


def check_truth(mixes: Mixes) -> None:
    """The spans and levels of all sources are those that the audio has."""
    for mix in mixes.mixes:
        samples = samples_of(mixes, mix)
        for source in mix.sources:
            loud = amplitude(samples, PITCH_HZ[source.label])
            wanted = math.sqrt(2.0) * 10.0 ** (source.level_db / 20.0)
            inside = truly_active(source, len(samples), around=FRAME)
            outside = ~truly_active(source, len(samples), around=-FRAME)
            # The onset of a much louder tone shows a little at every pitch.
            assert (loud[inside] > 0.85 * wanted).all(), (mix.file, source)
            assert (loud[outside] < 0.2 * wanted).all(), (mix.file, source)
            assert np.median(loud[inside]) == pytest.approx(wanted, rel=0.02)


# What is written


def test_free_mixes_hold_what_their_truth_says(free: Mixes) -> None:
    check_truth(free)


def test_pairs_hold_what_their_truth_says(pairs: Mixes) -> None:
    check_truth(pairs)


def test_free_mixes_are_as_ordered(free: Mixes) -> None:
    assert len(free.mixes) == free.made.mixes == 60
    assert Counter(mix.fold for mix in free.mixes) == {1: 30, 2: 30}
    sizes = Counter(len(mix.sources) for mix in free.mixes)
    assert set(sizes) == {1, 2, 3}
    assert min(sizes.values()) >= 8
    levels_db, onsets_s = [], []
    for mix in free.mixes:
        assert len(samples_of(free, mix)) == 5 * RATE_HZ
        assert len({source.label for source in mix.sources}) == len(mix.sources)
        levels_db += [source.level_db - mix.sources[0].level_db for source in mix.sources[1:]]
        onsets_s += [source.spans_s[0][0] for source in mix.sources]
        for source in mix.sources:
            # Begun early enough for all of the first second of its sound, but for one frame.
            assert source.active_s(0.0, 5.0) > 0.58
    assert -6.02 < min(levels_db) < -4.5
    assert 4.5 < max(levels_db) < 6.02
    assert 0.0 <= min(onsets_s) < 0.3
    assert 3.0 < max(onsets_s) < 4.5
    uses = Counter(source.label for mix in free.mixes for source in mix.sources)
    assert max(uses.values()) - min(uses.values()) <= len(FOLDS)


def test_pairs_are_as_published(data: Path, pairs: Mixes) -> None:
    below_db = {"50-50": 0.0, "90-10": -20.0}[pairs.made.style]
    by_classes = Counter((mix.fold, frozenset(s.label for s in mix.sources)) for mix in pairs.mixes)
    wanted = {(fold, frozenset(two)): 4 for fold in FOLDS for two in combinations(PITCH_HZ, 2)}
    assert by_classes == wanted
    for mix in pairs.mixes:
        first, second = mix.sources
        assert second.level_db - first.level_db == pytest.approx(below_db, abs=0.02)
        info = soundfile.info(data / first.file)
        assert len(samples_of(pairs, mix)) == pytest.approx(info.frames * RATE_HZ / info.samplerate, abs=1)


def test_all_sources_of_a_mix_are_clips_of_its_fold(free: Mixes, pairs: Mixes) -> None:
    for mix in (*free.mixes, *pairs.mixes):
        for source in mix.sources:
            assert source.file.startswith(f"audio/{mix.fold}-")
            assert source.file.endswith(f"-{source.label}.wav")


def test_what_can_be_no_source_is_reported_and_not_used(data: Path, tmp_path: Path) -> None:
    written = mixed(data, tmp_path / "mixes", Order("50-50", per_pair=8))
    reasons = {why: [path.name for path in paths] for why, paths in written.not_used.items()}
    assert reasons == {
        "unreadable": ["1-broken.wav"],
        "silent": ["1-silent.wav"],
        "less than 0.25 s of sound": ["1-short.wav"],
    }
    mixes = read_mixes(tmp_path / "mixes")
    assert mixes.made.not_used == {"unreadable": 1, "silent": 1, "less than 0.25 s of sound": 1}
    used = Counter(source.file for mix in mixes.mixes for source in mix.sources)
    assert len(used) == len(FOLDS) * len(PITCH_HZ) * CLIPS
    assert written.seconds == pytest.approx(sum(len(samples_of(mixes, mix)) for mix in mixes.mixes) / RATE_HZ)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    order = Order("free", count=5)
    for name, seed, folds in (
        ("one", 1, FOLDS),
        ("again", 1, FOLDS),
        ("other", 2, FOLDS),
        ("alone", 1, (2,)),
    ):
        mixed(data, tmp_path / name, replace(order, seed=seed), folds)
    one, again, other, alone = (contents(tmp_path / name) for name in ("one", "again", "other", "alone"))
    assert len(one) == 12
    assert one == again
    assert all(one[name] != other[name] for name in one)
    # A fold is mixed alike whatever the other folds.
    assert {name: sound for name, sound in alone.items() if name.startswith("audio/")} == {
        name: sound for name, sound in one.items() if name.startswith("audio/2-")
    }


def test_the_number_of_sources_can_be_given(data: Path, tmp_path: Path) -> None:
    mixed(data, tmp_path / "mixes", Order("free", count=6, sources=(2, 2), seconds=2.5), (2,))
    mixes = read_mixes(tmp_path / "mixes")
    assert {len(mix.sources) for mix in mixes.mixes} == {2}
    assert {len(samples_of(mixes, mix)) for mix in mixes.mixes} == {round(2.5 * RATE_HZ)}
    check_truth(mixes)


def test_the_published_attenuation_can_be_given(data: Path, tmp_path: Path) -> None:
    mixed(data, tmp_path / "mixes", Order("90-10", quieter_db=(20.0, 30.0), per_pair=3), (2,))
    mixes = read_mixes(tmp_path / "mixes")
    assert mixes.made.level_db == (-30.0, -20.0)
    below_db = [mix.sources[0].level_db - mix.sources[1].level_db for mix in mixes.mixes]
    assert 19.9 < min(below_db) < 22.5
    assert 27.5 < max(below_db) < 30.1


def test_how_it_was_made_is_told(free: Mixes, pairs: Mixes) -> None:
    made = free.made
    assert (made.style, made.dataset, made.folds, made.seed) == ("free", "esc50", FOLDS, 1)
    assert (made.count, made.sources, made.seconds, made.per_pair) == (30, (1, 3), 5.0, None)
    assert (made.rate_hz, made.level_db) == (RATE_HZ, (-6.0, 6.0))
    assert set(made.versions) == {"esc-listen", "numpy", "libsndfile", "soxr"}
    assert (pairs.made.per_pair, pairs.made.count, pairs.made.sources) == (4, None, None)


# Reading it back


def written_truth(folder: Path, *mixes: Mix) -> Mixes:
    folder.mkdir(exist_ok=True)
    folds = tuple(sorted({mix.fold for mix in mixes}))
    write_truth(folder, Made(1, "free", "esc50", folds, 1, len(mixes), RATE_HZ, (-6.0, 6.0)), mixes)
    return read_mixes(folder)


SPOKEN = Mix(
    "audio/1-00001.flac",
    1,
    (
        Source("a, b.wav", "dog", -12.34, ((0.5, 0.75), (1.5, 1.9))),
        Source("c.wav", "siren", -math.inf, ()),
        Source("d.wav", "rain", -40.0, ((0.0, 4.123456),)),
    ),
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    other = Mix("audio/2-00001.flac", 2, SPOKEN.sources[:1])
    assert written_truth(tmp_path, SPOKEN, other).mixes == (SPOKEN, other)


@pytest.mark.parametrize(
    ("begin_s", "end_s", "labels"),
    [
        (0.0, 5.0, {"dog", "rain"}),
        (0.5, 0.75, {"dog", "rain"}),
        (0.51, 1.0, {"rain"}),
        # What is cut to pieces counts by its sum.
        (0.6, 1.6, {"dog", "rain"}),
        (0.61, 1.6, {"rain"}),
        (3.88, 6.0, set()),
        (4.5, 6.0, set()),
    ],
)
def test_a_window_is_true_of_what_is_active_in_it(begin_s: float, end_s: float, labels: set[str]) -> None:
    assert SPOKEN.labels_between(begin_s, end_s, 0.25) == labels


def test_a_sound_that_is_not_heard_is_true_of_no_window() -> None:
    assert "siren" not in SPOKEN.labels_between(0.0, 5.0, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fold,number", "folt,number", "lacks the column fold"),
        ("0.500000,0.750000", "0.750000,0.500000", "line 2: a sound cannot last from 0.750000 to 0.500000"),
        ("0.500000,0.750000", "0.500000,soon", "line 2: could not convert string to float: 'soon'"),
        ("0.500000,0.750000", "0.500000,", "line 2: could not convert"),
        ("0.500000,0.750000", "0.500000,nan", "line 2: a sound cannot last"),
        ("00001.flac,1,2", "00001.flac,2,2", "line 4: the fold is another one than before"),
        ("00001.flac,1,2", "00001.flac,,2", "line 4: there is no fold"),
        ("siren", "", "line 4: there is no label"),
    ],
)
def test_a_truth_that_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    written_truth(tmp_path, SPOKEN)
    text = (tmp_path / TRUTH).read_text()
    assert old in text
    (tmp_path / TRUTH).write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=f"^{tmp_path / TRUTH}: {message}"):
        read_mixes(tmp_path)


def test_folders_that_are_no_mixes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no mixes: expected mix\.json .*, found nothing$"):
        read_mixes(tmp_path)
    written_truth(tmp_path, SPOKEN)
    notes = (tmp_path / MADE).read_text()
    for old, new, message in (
        ('"format": 1', '"format": 9', "has format 9; this version reads 1"),
        ('"seed": 1', '"seed": "x"', "does not fit: seed: expected a whole number"),
        ("{", "", "does not fit"),
        ('"mixes": 1', '"mixes": 3', "lists 1 mixes, but 3 were made"),
    ):
        (tmp_path / MADE).write_text(notes.replace(old, new, 1))
        with pytest.raises(DatasetError, match=message):
            read_mixes(tmp_path)


# Runs that end early

MIX_MANY = """\
import sys
from trainer.cli import main
sys.exit(main(["mix", f"--data=esc50={sys.argv[1]}", "--style=free", "--count=5000", f"--out={sys.argv[2]}"]))
"""


@pytest.fixture
def running_mix(data: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has written its first mixes to `tmp_path` / mixes; its processes are a group."""
    process = subprocess.Popen(
        [sys.executable, "-c", MIX_MANY, str(data), str(tmp_path / "mixes")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline_s = time.monotonic() + 60.0
    while not list(tmp_path.glob("mixes/audio/*.flac")):
        assert time.monotonic() < deadline_s
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def test_a_killed_run_leaves_nothing_that_looks_finished(
    running_mix: subprocess.Popen[str], data: Path, tmp_path: Path
) -> None:
    os.killpg(running_mix.pid, signal.SIGKILL)
    running_mix.wait()
    with pytest.raises(DatasetError, match=r"is not finished: mix\.json is missing; remove it and run"):
        read_mixes(tmp_path / "mixes")
    with pytest.raises(DatasetError, match=r"is not empty \(it holds audio\): give a new or an empty"):
        mixed(data, tmp_path / "mixes", Order("50-50"))


def test_ctrl_c_leaves_nothing(running_mix: subprocess.Popen[str], tmp_path: Path) -> None:
    os.killpg(running_mix.pid, signal.SIGINT)
    _, complaint = running_mix.communicate(timeout=60.0)
    assert running_mix.returncode == 1
    assert len(complaint.splitlines()) == 1, complaint
    assert list((tmp_path / "mixes").iterdir()) == []


# The command


def esc_train_mix(data: Path, out: Path, *options: str) -> int:
    return main(["mix", f"--data=esc50={data}", f"--out={out}", *options])


def test_the_command_mixes_and_tells_what_it_did(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--style=free", "--count=4", "--sources=1-2", "--seconds=2", "--seed=7", "--folds=1"]
    assert esc_train_mix(data, tmp_path / "mixes", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"skipped, unreadable: {data / 'audio' / '1-broken.wav'}" in lines
    assert lines[-1] == f"{tmp_path / 'mixes'}: 4 mixes of esc50, fold 1; 0.1 minutes of sound"
    made = read_mixes(tmp_path / "mixes").made
    assert (made.seed, made.count, made.sources, made.seconds, made.folds) == (7, 4, (1, 2), 2.0, (1,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--style=50-50", "--count=3"], "--count is an option of free, not of 50-50"),
        (["--style=free", "--per-pair=3"], "--per-pair is an option of 50-50 and 90-10, not of free"),
        (["--style=50-50", "--quieter-db=3"], "--quieter-db is an option of 90-10, not of 50-50"),
        (["--style=90-10", "--quieter-db=loud"], "--quieter-db loud: write a number, or a range"),
        (["--style=90-10", "--quieter-db=30-20"], "30-20 dB softer; give a number from 0 to 60"),
        (["--style=free", "--sources=0"], "0-0 sources; give a number from 1 on"),
        (["--style=free", "--sources=1.5"], "--sources 1.5: write whole numbers"),
        (["--style=free", "--sources=5"], "fold 1 has sounds of too few classes: 4; a mix needs 5"),
        (["--style=free", "--count=0"], "0 mixes; give at least 1"),
        (["--style=free", "--seconds=nan"], "mixes of nan s; give between 1 and 600"),
        (["--style=50-50", "--per-pair=0"], "0 mixes a pair; give at least 1"),
        (["--style=50-50", "--seed=-1"], "the seed is -1; give a number from 0 on"),
        (["--style=50-50", "--folds=7"], "there are no clips of fold 7"),
        (["--style=50-50", "--data=birds=x"], "unknown dataset 'birds'"),
    ],
)
def test_orders_that_make_no_sense(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert esc_train_mix(data, tmp_path / "mixes", *options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"esc-train: {message}")
    assert not (tmp_path / "mixes").exists()


def test_an_unknown_style_is_wrong_usage(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        esc_train_mix(data, tmp_path / "mixes", "--style=70-30")
    assert stopped.value.code == 2


def test_a_folder_or_file_that_is_there_is_left_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert esc_train_mix(data, tmp_path, "--style=50-50") == 1
    assert "is not empty (it holds notes.txt): give a new or an empty folder" in capsys.readouterr().err
    assert esc_train_mix(data, tmp_path / "notes.txt", "--style=50-50") == 1
    assert "is a file: give a new or an empty folder" in capsys.readouterr().err
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_fold_without_sounds(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "audio" / name, silence(1.0, RATE_HZ), RATE_HZ)
    write_table(tmp_path, [("a.wav", 1, "low"), ("b.wav", 1, "high")])
    with pytest.raises(DatasetError, match="fold 1 has sounds of too few classes: 0; a mix needs 2"):
        mixed(tmp_path, tmp_path / "mixes", Order("50-50"))


# Figures


def judged(*windows: tuple[str, tuple[float, float, float]]) -> Judged:
    """Windows of a mix: the true ones of the labels a, b and c, and their probabilities."""
    truth = [[label in true for label in "abc"] for true, _ in windows]
    return Judged(np.array(truth), np.array([row for _, row in windows], np.float32))


WORKED = [
    judged(
        ("a", (0.9, 0.1, 0.2)),  # a: exact
        ("ab", (0.8, 0.4, 0.1)),  # a: b is missed
        ("", (0.1, 0.3, 0.6)),  # c: heard in nothing
    ),
    judged(
        ("b", (0.7, 0.2, 0.1)),  # a: all wrong
        ("", (0.1, 0.1, 0.1)),  # nothing: exact
    ),
]
HALF = np.full(3, 0.5, np.float32)


def test_figures_worked_by_hand() -> None:
    found = figures(WORKED, "abc", HALF)
    assert (found["clips"], found["windows"]) == (2, 5)
    assert found["exact_match"] == pytest.approx(2 / 5)
    assert found["at_least_one"] == pytest.approx(2 / 3)
    # Right: a, a. Wrong: c, a. Missed: b, b.
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert found["hamming"] == pytest.approx(4 / 15)
    assert found["macro_f1"] == pytest.approx((0.8 + 0.0) / 2)
    # b is true at the first and third of its probabilities.
    assert found["macro_map"] == pytest.approx((1.0 + (1 / 1 + 2 / 3) / 2) / 2)
    assert list(found["per_class"]) == ["a", "b"]
    assert found["per_class"]["a"] == pytest.approx(
        {"windows": 2, "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "average_precision": 1.0}
    )
    assert found["per_class"]["b"]["precision"] == found["per_class"]["b"]["f1"] == 0.0


def test_figures_by_number_of_sounds_worked_by_hand() -> None:
    by_sounds = figures(WORKED, "abc", HALF)["by_sounds"]
    assert list(by_sounds) == ["0", "1", "2"]
    assert by_sounds["0"] == {
        "windows": 2,
        "exact_match": 0.5,
        "at_least_one": None,
        "micro_f1": None,
        "hamming": pytest.approx(1 / 6),
    }
    assert by_sounds["1"] == pytest.approx(
        {"windows": 2, "exact_match": 0.5, "at_least_one": 0.5, "micro_f1": 0.5, "hamming": 1 / 3}
    )
    assert by_sounds["2"]["micro_f1"] == pytest.approx(2 / 3)
    assert (by_sounds["2"]["exact_match"], by_sounds["2"]["at_least_one"]) == (0.0, 1.0)


def test_figures_of_mixes_worked_by_hand() -> None:
    clips = [
        # Sounds one after the other: a 0.55, b 0.5, c 0.2 on average.
        judged(("a", (0.9, 0.1, 0.2)), ("b", (0.2, 0.9, 0.2))),
        judged(("a", (0.8, 0.1, 0.2)), ("b", (0.4, 0.2, 0.3))),
        judged(("c", (0.4, 0.1, 0.45))),
        judged(("a", (0.4, 0.1, 0.45))),
        # Nothing but digital silence.
        Judged(np.empty((0, 3), bool), np.empty((0, 3), np.float32)),
    ]
    found = figures(clips, "abc", HALF)
    assert found["clip_exact_match"] == pytest.approx(1 / 5)
    assert found["all_in_top"] == {"1": {"clips": 2, "share": 0.5}, "2": {"clips": 2, "share": 0.5}}
    assert found["both_in_top"] == 0.5
    assert found["windows"] == 6


def test_thresholds_belong_to_labels_and_are_reached_by_equality() -> None:
    clip = judged(("a", (0.25, 0.75, 0.5)))
    assert figures([clip], "abc", np.array([0.25, 0.8, 0.6], np.float32))["exact_match"] == 1.0
    assert figures([clip], "abc", np.array([0.25, 0.75, 0.6], np.float32))["exact_match"] == 0.0


def test_who_predicts_nothing_does_not_look_good() -> None:
    clip = judged(*[("a", (0.0, 0.0, 0.0))] * 4)
    found = figures([clip], "abc", HALF)
    for name in ("exact_match", "at_least_one", "macro_f1", "micro_f1", "clip_exact_match"):
        assert found[name] == 0.0


def test_figures_without_any_true_sound() -> None:
    found = figures([judged(("", (0.1, 0.2, 0.3)))], "abc", HALF)
    assert (found["exact_match"], found["hamming"]) == (1.0, 0.0)
    for name in ("at_least_one", "macro_f1", "micro_f1", "macro_map", "both_in_top"):
        assert found[name] is None


@pytest.mark.parametrize("labels", [1, 2, 12])
def test_figures_are_those_of_the_library(labels: int) -> None:
    from sklearn import metrics

    random = np.random.default_rng(labels)
    truth = random.random((300, labels)) < 0.2
    if labels > 2:
        truth[:, 3] = False
    scores = np.clip(0.3 * random.standard_normal(truth.shape) + 0.3 + 0.3 * truth, 0.0, 1.0).astype(
        np.float32
    )
    found = figures([Judged(truth, scores)], [str(at) for at in range(labels)], np.full(labels, 0.5))
    predicted, present = scores >= 0.5, np.flatnonzero(truth.any(axis=0))
    # A column of zeros keeps the library from taking one label for two classes.
    wide, guess = (np.hstack([x, np.zeros((300, 1), bool)]) for x in (truth, predicted))
    options = {"labels": present, "zero_division": 0.0}
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(wide, guess, average="macro", **options))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(wide, guess, average="micro"))
    assert found["exact_match"] == pytest.approx(metrics.accuracy_score(wide, guess))
    assert found["hamming"] == pytest.approx(metrics.hamming_loss(wide, guess) * (labels + 1) / labels)
    assert found["macro_map"] == pytest.approx(
        metrics.average_precision_score(truth[:, present], scores[:, present], average="macro")
    )


# Scoring with the shipped model


@pytest.fixture(scope="module")
def siren_mix(tmp_path_factory: pytest.TempPathFactory) -> Mixes:
    """Digital silence for two seconds, then three of a siren; the table adds short sounds."""
    folder = tmp_path_factory.mktemp("siren")
    (folder / "audio").mkdir()
    soundfile.write(
        folder / "audio" / "1-00001.flac",
        np.concatenate([silence(2.0, RATE_HZ), siren(3.0, RATE_HZ)]),
        RATE_HZ,
    )
    # 0.26 s, which only the last window holds whole.
    rare = Source("b.wav", other_label(), -20.0, ((3.2, 3.4), (4.6, 4.66)))
    return written_truth(
        folder, Mix("audio/1-00001.flac", 1, (Source("a.wav", siren_label(), -6.0, ((2.0, 5.0),)), rare))
    )


def test_windows_have_the_truth_of_their_place(siren_mix: Mixes) -> None:
    model = shipped_model()
    found = score_mix(siren_mix.mixes[0], siren_mix.folder, Classifier(model))
    assert found is not None
    window_s = model.manifest.front_end.samples_of(model.manifest.window_frames) / RATE_HZ
    assert 1.9 < window_s < 2.0
    # Windows begin at 0, 0.5, ... 3 s; the first one is digital silence.
    assert found.truth.shape == found.probabilities.shape == (6, len(model.labels))
    assert found.truth[:, model.labels.index(siren_label())].all()
    rare = found.truth[:, model.labels.index(other_label())]
    assert list(rare) == [False, False, False, False, False, True]
    assert found.truth.sum() == 7
    assert found.probabilities[-1].max() > siren_threshold()


def test_a_mix_that_cannot_be_read(siren_mix: Mixes, tmp_path: Path) -> None:
    assert score_mix(siren_mix.mixes[0], tmp_path, Classifier(shipped_model())) is None


@pytest.fixture(scope="module")
def known_mixes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mixes of sirens and hiss, some of them with a sound that no model knows."""
    data = tmp_path_factory.mktemp("known")
    (data / "audio").mkdir()
    rows: list[tuple[str, int, str]] = []
    labels = {
        siren_label(): siren(4.0, RATE_HZ),
        other_label(): noise(4.0, RATE_HZ),
        "yodel": noise(4.0, RATE_HZ),
    }
    for label, samples in labels.items():
        for number in range(2):
            name = f"{label}-{number}.wav"
            soundfile.write(data / "audio" / name, samples[: len(samples) - 1000 * number], RATE_HZ)
            rows.append((name, 1, label))
    write_table(data, rows)
    out = data / "mixes"
    mixed(data, out, Order("free", count=9, sources=(1, 1)), (1,))
    return out


def test_a_report_counts_what_it_leaves_out(known_mixes: Path) -> None:
    table, lines = report(shipped_model(), known_mixes, siren_threshold())
    assert (table["model"], table["data"], table["folds"]) == (shipped_model().name, "mix", [1])
    assert table["labels"] == list(shipped_model().labels)
    assert (table["clips"], table["left_out"], table["unreadable"]) == (6, 3, 0)
    assert table["per_class"][siren_label()]["recall"] > 0.9
    assert set(table["per_class"]) == {siren_label(), other_label()}
    assert sum(item["windows"] for item in table["by_sounds"].values()) == table["windows"]
    assert "left out: 3 mixes" in "\n".join(lines)
    # At a threshold that nothing reaches, nothing is heard.
    deaf, _ = report(shipped_model(), known_mixes, 1.0)
    assert deaf["at_least_one"] == deaf["macro_f1"] == 0.0
    assert deaf["macro_map"] == table["macro_map"]
    json.dumps(table)


def test_the_models_own_thresholds_are_the_default(known_mixes: Path) -> None:
    model = shipped_model()
    table, _ = report(model, known_mixes)
    assert table["decision"] is None
    changed = tuple(replace(rule, decision=1.0) for rule in model.manifest.classes)
    strict = replace(model, manifest=replace(model.manifest, classes=changed))
    assert report(strict, known_mixes)[0]["at_least_one"] == 0.0


def test_unreadable_mixes_are_left_out_and_counted(known_mixes: Path, tmp_path: Path) -> None:
    made = read_mixes(known_mixes)
    known = [mix for mix in made.mixes if mix.sources[0].label == siren_label()]
    (tmp_path / "audio").mkdir()
    for mix in known[1:]:
        (tmp_path / mix.file).write_bytes((known_mixes / mix.file).read_bytes())
    written_truth(tmp_path, *known)
    table, _ = report(shipped_model(), tmp_path)
    assert (table["clips"], table["left_out"], table["unreadable"]) == (len(known) - 1, 1, 1)
    for path in (tmp_path / "audio").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=f"none of the {len(known)} mixes in .* can be read"):
        report(shipped_model(), tmp_path)


Complaint = Callable[[list[str]], str]


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complaint:
    """The one line of a command that must fail."""

    def failed(arguments: list[str]) -> str:
        assert main(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return failed


def test_scores_that_cannot_be(free: Mixes, known_mixes: Path, tmp_path: Path, complaint: Complaint) -> None:
    name = shipped_model().name
    for arguments, message in (
        ([f"--data=mix={tmp_path}"], "holds no mixes: expected mix.json"),
        (
            [f"--data=mix={free.folder}"],
            f"the model {name} knows none of the mixes in {free.folder}: they hold",
        ),
        ([f"--data=mix={known_mixes}", "--decision=50"], "--decision 50: write a probability above 0"),
    ):
        assert message in complaint(["evaluate", name, *arguments])


def test_the_evaluation_prints_json(known_mixes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", shipped_model().name, f"--data=mix={known_mixes}", "--json"]) == 0
    table: dict[str, Any] = json.loads(capsys.readouterr().out)
    for figure in ("exact_match", "at_least_one", "macro_f1", "micro_f1", "macro_map", "hamming"):
        assert 0.0 <= table[figure] <= 1.0
    assert 0.0 <= table["clip_exact_match"] <= 1.0


# Real recordings


@pytest.mark.recordings
def test_real_clips_of_the_city_are_mixed_and_judged(esc_data: Path, tmp_path: Path) -> None:
    folder = esc_data / "urbansound8k"
    clips = [item for item in read_dataset("urbansound8k", folder) if item.fold == 3]
    classes = len({item.label for item in clips})
    write_mixes(Order("50-50", per_pair=1), "urbansound8k", folder, clips, tmp_path / "mixes")
    mixes = read_mixes(tmp_path / "mixes")
    assert len(mixes.mixes) == classes * (classes - 1) // 2
    assert all(source.spans_s for mix in mixes.mixes for source in mix.sources[:1])
    table, _ = report(shipped_model(), tmp_path / "mixes")
    # Guessing one of 50 labels would rank a true one by a tenth as well.
    assert table["macro_map"] > 0.3
    assert table["left_out"] > 0
