"""What is learnt from and what is judged by: batches, targets, and that nothing leaks between the two."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from signals import same_bits, tone
from toys import (
    CROPS,
    LABELS,
    PAIRS,
    RATE_HZ,
    SEGMENTS,
    recipe,
    sound,
    sources,
    write_background,
    write_esc50,
)

from streamer.types import FloatArray
from trainer.datasets import Clip, DatasetError, read_dataset
from trainer.examples.augment import crop_starts
from trainer.examples.cache import ArrayCache
from trainer.examples.inputs import Batch
from trainer.examples.load import Examples, Material, Sources, load_examples, read_material
from trainer.examples.segments import feature_frames, features_of_clips, mixed_segments
from trainer.examples.spectrograms import read_mono
from trainer.recipe import Recipe
from trainer.training.protocol import Exam

# Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "crops": (CROPS, {}),
    "segments": (SEGMENTS, {}),
    "pairs": (SEGMENTS, PAIRS),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("bench")
    return sources(write_esc50(folder / "data"), write_background(folder / "background"))


@pytest.fixture
def of_kind(tmp_path: Path) -> Callable[..., Recipe]:
    """A toy recipe by its kind, with some values changed."""

    def made(kind: str, **changes: Any) -> Recipe:
        text, own = KINDS[kind]
        return recipe(tmp_path, text, own | {key.replace("__", "."): value for key, value in changes.items()})

    return made


OfKind = Callable[..., Recipe]


def loaded(wanted: Recipe, bench: Sources) -> tuple[Material, Examples]:
    material = read_material(wanted, bench)
    return material, load_examples(wanted, material, bench)


Usual = Callable[[str], tuple[Recipe, Material, Examples]]


@pytest.fixture(scope="module")
def usual(bench: Sources, tmp_path_factory: pytest.TempPathFactory) -> Usual:
    """The examples of a kind without changes, loaded once."""

    @cache
    def made(kind: str) -> tuple[Recipe, Material, Examples]:
        wanted = recipe(tmp_path_factory.mktemp(kind), *KINDS[kind])
        return wanted, *loaded(wanted, bench)

    return made


def arrays(batches: Sequence[Batch]) -> list[FloatArray]:
    return [array for inputs, targets in batches for array in (*inputs, targets)]


def targets_of(examples: Examples, epoch: int) -> FloatArray:
    """Targets of a whole epoch, shape (examples, labels)."""
    return np.concatenate([targets for _, targets in examples.epoch(epoch)])


# Batches


@every_kind
def test_the_same_seed_gives_the_same_batches(
    kind: str, usual: Usual, of_kind: OfKind, bench: Sources
) -> None:
    _, _, once = usual(kind)
    _, again = loaded(of_kind(kind), bench)
    first = arrays(list(once.epoch(0)))
    assert same_bits(first, arrays(list(again.epoch(0))))
    assert not same_bits(first, arrays(list(once.epoch(1))))
    # After a resume an epoch is drawn without the ones before it.
    assert same_bits(arrays(list(again.epoch(4))), arrays(list(once.epoch(4))))
    assert not same_bits(first, arrays(list(loaded(of_kind(kind, schedule__seed=4), bench)[1].epoch(0))))


def test_crops_have_the_shape_and_the_targets_of_the_recipe(usual: Usual) -> None:
    _, _, examples = usual("crops")
    drawn = list(examples.epoch(0))
    assert len(drawn) == 8
    assert examples.examples_per_epoch == 256
    for (inputs,), targets in drawn:
        assert inputs.shape == (32, 48, 24, 1)
        assert targets.shape == (32, 3)
        assert inputs.dtype == targets.dtype == np.float32
        assert np.isfinite(inputs).all()
        assert set(np.unique(targets)) <= {0.0, 1.0}
    counts = targets_of(examples, 0).sum(axis=1)
    # Background alone, one sound, and two at once.
    assert {0.0, 1.0, 2.0} == set(counts)
    assert (targets_of(examples, 0).sum(axis=0) > 20).all()


def test_crops_for_softmax_share_out_the_target(of_kind: OfKind, bench: Sources) -> None:
    _, examples = loaded(of_kind("crops", outputs="softmax", augmentation__negative_share=0.0), bench)
    targets = targets_of(examples, 0)
    assert targets.sum(axis=1) == pytest.approx(1.0)
    assert {0.5, 1.0} <= set(np.unique(targets))


def test_nothing_is_known_of_sounds_that_a_background_may_contain(
    tmp_path: Path, of_kind: OfKind, bench: Sources
) -> None:
    table = write_background(tmp_path / "background") / "expected.csv"
    table.write_text(table.read_text().replace("room.wav,none,", "room.wav,none,hiss wind"))
    wanted = of_kind("crops", augmentation__mix_probability=0.0)
    _, examples = loaded(wanted, replace(bench, background=tmp_path / "background"))
    rows = {tuple(row) for row in targets_of(examples, 0)}
    assert rows == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)}


def test_segments_are_every_place_of_every_clip_and_copy_once(usual: Usual) -> None:
    _, material, examples = usual("segments")
    # 62 frames hold four windows of 32 at a distance of 8. Beeps and sweeps have a copy each.
    assert [clip.label for clip in examples.clips].count("hiss") == 12
    assert targets_of(examples, 0).sum(axis=0).tolist() == [2 * 12 * 4, 12 * 4, 2 * 12 * 4]
    assert examples.examples_per_epoch == 240
    sizes = [len(targets) for _, targets in examples.epoch(0)]
    assert sizes == [16] * 15
    for (inputs,), _ in examples.epoch(0):
        assert inputs.shape[1:] == (32, 24, 2)
    windows = np.concatenate([inputs for (inputs,), _ in examples.epoch(0)])
    assert len(np.unique(windows.reshape(240, -1), axis=0)) > 230  # steady beeps look alike
    assert len(material.train) == 37


def test_normalisation_is_that_of_the_training_segments(of_kind: OfKind, bench: Sources) -> None:
    """Drawn once each, the segments of an epoch have mean 0 and deviation 1: by column or by feature."""
    for normalise, axes in (("column", (0, 1)), ("feature", (0, 1, 2))):
        _, examples = loaded(of_kind("segments", normalise=normalise), bench)
        windows = np.concatenate([inputs for (inputs,), _ in examples.epoch(0)]).astype(np.float64)
        assert windows.mean(axis=axes) == pytest.approx(0.0, abs=1e-4)
        assert windows.std(axis=axes) == pytest.approx(1.0, abs=0.02)


def test_features_are_split_into_the_networks_inputs(of_kind: OfKind, bench: Sources) -> None:
    wanted = of_kind(
        "segments",
        network="multibranch",
        options={"size": "slim"},
        inputs=[["log_mel", "log_mel_delta"], ["mfcc"]],
        front_end__mfcc=7,
        front_end__features=["log_mel", "log_mel_delta", "mfcc"],
    )
    _, examples = loaded(wanted, bench)
    (mel, cepstrum), _ = next(iter(examples.epoch(0)))
    assert mel.shape == (16, 32, 24, 2)
    assert cepstrum.shape == (16, 32, 7, 1)


# Leaks


def with_other_sounds_in_fold(folder: Path, fold: int) -> Path:
    """The toy dataset, but one fold holds quite other sounds under the same names."""
    write_esc50(folder)
    for at, path in enumerate(sorted((folder / "audio").glob(f"{fold}-*-*.wav"))):
        soundfile.write(path, tone(200.0 + 90.0 * at, 2.0, RATE_HZ, 0.9), RATE_HZ)
    return folder


@every_kind
def test_nothing_that_is_learnt_depends_on_held_out_clips(
    tmp_path: Path, kind: str, usual: Usual, of_kind: OfKind, bench: Sources
) -> None:
    """Neither batches (with their copies, mixes and background) nor the normalisation."""
    _, _, examples = usual(kind)
    elsewhere = sources(with_other_sounds_in_fold(tmp_path / "data", 3), bench.background)
    _, others = loaded(of_kind(kind), elsewhere)
    for epoch in (0, 3):
        assert same_bits(arrays(list(examples.epoch(epoch))), arrays(list(others.epoch(epoch))))
    assert same_bits([examples.normalisation.mean], [others.normalisation.mean])
    assert same_bits([examples.normalisation.std], [others.normalisation.std])
    assert {clip.fold for clip in examples.clips} == {1, 2}
    # The comparison is not blind: another training fold does change them.
    elsewhere = sources(with_other_sounds_in_fold(tmp_path / "more", 2), bench.background)
    _, others = loaded(of_kind(kind), elsewhere)
    assert not same_bits(arrays(list(examples.epoch(0))), arrays(list(others.epoch(0))))


class Listener:
    """Stands for a network: remembers what it is asked about."""

    def __init__(self) -> None:
        self.heard: list[FloatArray] = []

    def predict_on_batch(self, inputs: FloatArray) -> FloatArray:
        self.heard.append(inputs)
        return np.full((len(inputs), len(LABELS)), 0.5, np.float32)


@pytest.mark.parametrize("kind", ["crops", "segments"])
def test_judged_clips_are_never_changed(kind: str, usual: Usual, bench: Sources) -> None:
    """An exam holds every segment of the plain clips, whatever is done to training clips."""
    wanted, material, examples = usual(kind)
    exam = Exam(material.validation, examples, wanted, bench.cache)
    listener = Listener()
    scores = exam.score(listener)
    assert scores.clips == 18
    assert [path.name for path in exam.unreadable] == ["3-broken.wav"]
    expected = []
    for clip in material.validation:
        if clip.path not in exam.unreadable:
            plain = feature_frames(read_mono(clip.path, RATE_HZ), wanted)
            starts = range(0, len(plain) - wanted.window_frames + 1, wanted.segments.hop_frames)
            expected += [plain[start : start + wanted.window_frames] for start in starts]
    frames = (np.stack(expected) - examples.normalisation.mean) / examples.normalisation.std
    channels = [frames[..., wanted.front_end.columns(name)] for name in wanted.input_features[0]]
    assert same_bits([np.concatenate(listener.heard)], [np.stack(channels, axis=-1)])
    assert scores.segments == len(expected)


def test_an_exam_peaks_at_one_where_the_protocol_says_so(of_kind: OfKind, bench: Sources) -> None:
    clip = read_dataset("esc50", bench.datasets["esc50"])[0]
    louder, plain = (of_kind("segments", segments__peak_normalise=value) for value in (True, False))
    ((first,),) = features_of_clips([clip], louder, ArrayCache(None))  # type: ignore[misc]
    ((second,),) = features_of_clips([clip], plain, ArrayCache(None))  # type: ignore[misc]
    peak = float(np.abs(read_mono(clip.path, RATE_HZ)).max())
    level = louder.front_end.columns("log_mel")
    assert (first - second)[:, level].max() == pytest.approx(-20 * np.log10(peak), abs=0.01)


def test_copies_are_made_of_training_clips_only(of_kind: OfKind, bench: Sources) -> None:
    wanted = of_kind("segments")
    clips = [
        clip for clip in read_dataset("esc50", bench.datasets["esc50"]) if clip.label == "beep"
    ][:2]  # fmt: skip
    changed = features_of_clips(clips, wanted, ArrayCache(None), changed=True)
    plain = features_of_clips(clips, wanted, ArrayCache(None))
    for with_copies, alone in zip(changed, plain, strict=True):
        assert with_copies is not None
        assert alone is not None
        assert len(with_copies) == 2
        assert len(alone) == 1
        assert same_bits(with_copies[:1], alone)
        assert not same_bits(with_copies[1:], alone)


def write_urbansound8k(folder: Path, rows: Sequence[tuple[str, str, int]]) -> Path:
    """UrbanSound8K's layout from (number of the recording, label, fold)."""
    (folder / "metadata").mkdir(parents=True)
    with (folder / "metadata" / "UrbanSound8K.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "fold", "class"])
        for recording, label, fold in rows:
            name = f"{recording}-0-0-0.wav"
            writer.writerow([name, recording, fold, label])
            (folder / "audio" / f"fold{fold}").mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "audio" / f"fold{fold}" / name, sound("beep", seed=77), RATE_HZ)
    return folder


@pytest.mark.parametrize("kind", ["crops", "segments"])
def test_a_held_out_recording_never_comes_in_through_another_dataset(
    tmp_path: Path, kind: str, of_kind: OfKind, bench: Sources
) -> None:
    rows = [
        ("3-0-beep.wav", "beep", 1),  # cut from the recording of a clip in the validation fold
        ("1-0-beep.wav", "beep", 2),  # from one of a training fold
        ("4711", "sweep", 3),  # from one of its own
        ("4712", "siren", 3),  # of a label that the main dataset does not have
    ]
    urban = write_urbansound8k(tmp_path / "urban", rows)
    both = sources(bench.datasets["esc50"], bench.background, urbansound8k=urban)
    material, examples = loaded(of_kind(kind, data__also=["urbansound8k"]), both)
    added = {clip.recording for clip in examples.clips if clip.path.is_relative_to(urban)}
    assert added == {"freesound:1-0-beep.wav", "freesound:4711"}
    assert material.dropped == 1
    assert material.labels == LABELS
    held_out = {clip.recording for clip in material.validation}
    assert not held_out & {clip.recording for clip in examples.clips}


# Mixes


def write_early_and_late(folder: Path) -> list[Clip]:
    """Two classes of two seconds: one sounds up to 1 s, the other one from 0.6 s on."""
    folder.mkdir(parents=True)
    clips = []
    for at in range(3):
        for label, low_hz, span in (("early", 500.0, slice(0, 8_000)), ("late", 900.0, slice(4_800, 16_000))):
            samples = np.zeros(2 * RATE_HZ, np.float32)
            samples[span] = tone(low_hz + 10 * at, 2.0, RATE_HZ, 0.3)[span]
            path = folder / f"{label}-{at}.wav"
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            clips.append(Clip(path, label, fold=1, recording=path.name))
    return clips


@pytest.fixture
def early_and_late(tmp_path: Path) -> list[Clip]:
    return write_early_and_late(tmp_path / "sounds")


def pair_recipe(of_kind: OfKind, **mixes: Any) -> Recipe:
    """Segments of 0.512 s, one after the other."""
    return of_kind("pairs", window_frames=16, segments__hop_frames=16, mixes={"per_pair": 4, **mixes})


def test_targets_of_a_mix_follow_what_is_active(of_kind: OfKind, early_and_late: list[Clip]) -> None:
    made = mixed_segments(early_and_late, ("early", "late"), pair_recipe(of_kind))
    # 0 to 0.51 s, 0.51 to 1.02 s, 1.02 to 1.54 s of each mix.
    assert made.targets.tolist() == 4 * [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    assert made.where[:, 1].tolist() == 4 * [0, 16, 32]


def test_the_first_sound_can_be_the_only_truth(of_kind: OfKind, early_and_late: list[Clip]) -> None:
    wanted = pair_recipe(of_kind, truth="first", level_db=[-30.0, -20.0])
    made = mixed_segments(early_and_late, ("early", "late"), wanted)
    of_mixes = [made.targets[made.where[:, 0] == mix] for mix in range(4)]
    assert all((targets == targets[0]).all() and targets[0].sum() == 1.0 for targets in of_mixes)
    assert sorted(int(targets[0, 0]) for targets in of_mixes) == [0, 0, 1, 1]  # either is the first


def test_only_clips_of_one_fold_are_mixed(of_kind: OfKind, early_and_late: list[Clip]) -> None:
    parted = [replace(clip, fold=2) if "late" in clip.path.name else clip for clip in early_and_late]
    assert len(mixed_segments(parted, ("early", "late"), pair_recipe(of_kind)).where) == 0
    three = [*parted, replace(early_and_late[0], fold=2)]
    assert len(mixed_segments(three, ("early", "late"), pair_recipe(of_kind)).values) == 4


def test_single_sounds_come_first_and_pairs_then(usual: Usual) -> None:
    _, _, examples = usual("pairs")
    for epoch in (0, 1):
        assert (targets_of(examples, epoch).sum(axis=1) == 1.0).all()
    pairs = targets_of(examples, 2)
    assert set(pairs.sum(axis=1)) == {2.0}
    # Three pairs of classes, four mixes each, in two folds, of four segments each.
    assert len(pairs) == 3 * 4 * 2 * 4 == examples.examples_per_epoch


def test_pairs_may_stand_beside_single_sounds(of_kind: OfKind, bench: Sources) -> None:
    _, examples = loaded(of_kind("pairs", mixes__with_singles=True), bench)
    assert len(targets_of(examples, 0)) == 144
    later = targets_of(examples, 2).sum(axis=1)
    assert (later == 1.0).sum() == 144
    assert (later == 2.0).sum() == 96


# What can go wrong


@every_kind
def test_unreadable_clips_are_left_out_and_named(kind: str, usual: Usual) -> None:
    _, _, examples = usual(kind)
    assert [path.name for path in examples.unreadable] == ["1-broken.wav"]
    assert len(examples.clips) == 36


def test_a_folder_without_background(tmp_path: Path, of_kind: OfKind, bench: Sources) -> None:
    with pytest.raises(DatasetError, match=r"holds no background: expected expected\.csv inside it$"):
        loaded(of_kind("crops"), replace(bench, background=tmp_path))


# Licences of single clips


def test_only_clips_under_the_wanted_licences_are_learnt_from(
    bench: Sources, of_kind: OfKind, tmp_path: Path
) -> None:
    data = tmp_path / "esc50"
    shutil.copytree(bench.folder("esc50"), data)
    everything = read_dataset("esc50", data)
    licences = {clip: ("CC0", "CC-BY", "CC-BY-NC")[at // 2 % 3] for at, clip in enumerate(everything)}
    rows = [f"{clip.path.name},{licence},somebody" for clip, licence in licences.items()]
    (data / "meta" / "credits.csv").write_text("\n".join(["filename,licence,author", *rows]) + "\n")
    own = sources(data)
    wanted = of_kind("crops", data__only_licences=["CC0", "CC-BY"])
    material = read_material(wanted, own)
    learnt = [clip for clip in everything if clip.fold in wanted.data.train_folds]
    assert set(material.train) == {clip for clip in learnt if licences[clip] != "CC-BY-NC"}
    assert len(material.train) < len(learnt)
    # What is only listened to may be under any licence.
    assert any(licences[clip] == "CC-BY-NC" for clip in material.validation)
    with pytest.raises(DatasetError, match="has no clip under 'MIT'; it knows CC-BY, CC-BY-NC, CC0"):
        read_material(of_kind("crops", data__only_licences=["MIT"]), own)
    (data / "meta" / "credits.csv").write_text("filename,author\n")
    with pytest.raises(DatasetError, match="lacks the column licence"):
        read_material(wanted, own)
    (data / "meta" / "credits.csv").unlink()
    with pytest.raises(DatasetError, match=r"expected meta/credits\.csv inside it"):
        read_material(wanted, own)


@pytest.mark.parametrize("overhang", [5, 9])
def test_crops_hang_over_as_far_as_they_are_told_while_they_hold_enough(overhang: int) -> None:
    active = np.ones(30, bool)
    starts = crop_starts(active, 10, 2, overhang)
    # Two of ten frames must be sound, so a crop begins eight frames before it at most.
    assert (starts.min(), starts.max()) == (-min(overhang, 8), 30 - 10 + min(overhang, 8))
    assert len(crop_starts(np.zeros(30, bool), 10, 2, overhang)) == 0
