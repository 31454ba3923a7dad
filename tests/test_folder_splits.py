"""One's own sounds: parts of a split, copies that contradict, silence, and what is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.types import FloatArray
from trainer.datasets import DatasetError, read_dataset, split
from trainer.datasets.remarks import remarks
from trainer.examples.audible import inaudible
from trainer.examples.cache import ArrayCache

# Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)

RATE_HZ = 8_000
NO_CACHE = ArrayCache(None)


def tone(pitch_hz: float, seconds: float = 0.5) -> FloatArray:
    """Multiples of a step of 16 bits, so that lossless formats hold the same."""
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (np.rint(8_000 * np.sin(2 * np.pi * pitch_hz * times_s)) / 32_768).astype(np.float32)


def write(path: Path, samples: FloatArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ, "PCM_16")
    return path


def house(folder: Path, files: dict[str, FloatArray]) -> Path:
    for name, samples in files.items():
        write(folder / "sounds" / name, samples)
    return folder


def by_name(folder: Path) -> dict[str, tuple[int, bool]]:
    sounds = folder / "sounds"
    return {
        clip.path.relative_to(sounds).as_posix(): (clip.fold, clip.test_only)
        for clip in read_dataset("folder", folder)
    }


def parted(folder: Path, test: str = "test", validation: str = "") -> Path:
    files = {}
    for base_hz, label in ((300, "dog"), (900, "bell")):
        for at in range(6):
            files[f"{label}/train/{at}.wav"] = tone(base_hz + at)
        for at in range(2):
            files[f"{label}/{test}/{at}.wav"] = tone(base_hz + 100 + at)
            if validation:
                files[f"{label}/{validation}/{at}.wav"] = tone(base_hz + 200 + at)
    return house(folder, files)


@pytest.mark.parametrize("test", ["test", "Test", "eval"])
@pytest.mark.parametrize("validation", ["", "val", "valid", "validation"])
def test_parts_of_a_split_become_folds(tmp_path: Path, test: str, validation: str) -> None:
    found = by_name(parted(tmp_path, test, validation))
    assert {value for name, value in found.items() if f"/{test}/" in name} == {(5, True)}
    learnt = {value for name, value in found.items() if "/train/" in name}
    assert learnt == {(fold, False) for fold in ((1, 2, 3) if validation else (1, 2, 3, 4))}
    if validation:
        assert {value for name, value in found.items() if f"/{validation}/" in name} == {(4, False)}


@pytest.mark.parametrize("train_folds", [(1, 2, 3, 4, 5), (5,), (1, 5)])
def test_the_test_is_never_learnt_from_whatever_the_folds(
    tmp_path: Path, train_folds: tuple[int, ...]
) -> None:
    clips = read_dataset("folder", parted(tmp_path))
    parts = split(clips, train_folds)
    assert not any(clip.test_only for clip in parts.train)
    assert sum(clip.test_only for clip in parts.held_out) == 4
    # Nor as further material of another dataset.
    assert not any(clip.test_only for clip in split([], train_folds, clips).train)


def test_a_table_of_folds_does_not_bring_the_test_back(tmp_path: Path) -> None:
    folder = parted(tmp_path)
    rows = "".join(f"{name},1\n" for name in by_name(folder))
    (folder / "sounds" / "folds.csv").write_text("file,fold\n" + rows)
    assert {value for name, value in by_name(folder).items() if "/test/" in name} == {(1, True)}
    assert not any("test" in clip.path.parts for clip in split(read_dataset("folder", folder), [1]).train)


def test_files_of_a_part_are_recordings_of_their_own_and_folders_in_it_are_one(tmp_path: Path) -> None:
    names = ("dog/train/1.wav", "dog/train/2.wav", "dog/train/walk/3.wav", "dog/train/walk/4.wav")
    files = {name: tone(300 + at) for at, name in enumerate((*names, "dog/test/walk/5.wav"))}
    clips = read_dataset("folder", house(tmp_path, files))
    recordings = {clip.path.stem: clip.recording for clip in clips}
    assert recordings["3"] == recordings["4"]
    # The walk of the test was put aside on purpose.
    assert len(set(recordings.values())) == 4


def test_a_label_without_parts_is_dealt_to_all_folds(tmp_path: Path) -> None:
    parted(tmp_path)
    house(tmp_path, {f"rain/{at}.wav": tone(1500 + at) for at in range(10)})
    found = by_name(tmp_path)
    assert {value for name, value in found.items() if name.startswith("rain")} == {
        (fold, False) for fold in (1, 2, 3, 4, 5)
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    files = {
        f"{label}/{at}.wav": tone(hz + at) for label, hz in (("train", 300), ("dog", 600)) for at in (1, 2)
    }
    assert {clip.label for clip in read_dataset("folder", house(tmp_path, files))} == {"dog", "train"}


def test_parts_before_labels_are_refused(tmp_path: Path) -> None:
    files = {f"{part}/dog/{at}.wav": tone(300 + at) for part in ("train", "test") for at in (1, 2)}
    with pytest.raises(DatasetError, match=r"is parted into test and train first: .*/sounds/dog/test/"):
        read_dataset("folder", house(tmp_path, files))


# What is told


def test_a_folder_without_oddities_gets_no_remark(tmp_path: Path) -> None:
    files = {
        f"{label}/{at}.wav": tone(hz + at) for label, hz in (("cat", 300), ("dog", 600)) for at in (1, 2)
    }
    assert remarks(house(tmp_path, files)) == ()


def test_it_is_told_what_is_put_aside(tmp_path: Path) -> None:
    assert remarks(parted(tmp_path, "eval", "val")) == (
        "4 files in folders called test: fold 5, never learnt from",
        "4 files in folders called validation: fold 4",
    )


@pytest.mark.parametrize("copy", ["3.wav", "3.flac", "3.aiff"])
def test_the_same_sound_under_two_labels_is_named(tmp_path: Path, copy: str) -> None:
    files = {"dog/1.wav": tone(300), "dog/2.wav": tone(301), f"cat/{copy}": tone(300), "cat/4.wav": tone(302)}
    folder = house(tmp_path, files)
    assert remarks(folder) == (f"the same sound is cat and dog: cat/{copy} = dog/1.wav",)
    # And never stands on both sides of a split.
    recordings = {clip.path.stem: clip.recording for clip in read_dataset("folder", folder)}
    assert recordings["3"] == recordings["1"]
    assert len(set(recordings.values())) == 3


def test_other_tags_make_no_other_sound(tmp_path: Path) -> None:
    folder = house(tmp_path, {"dog/1.wav": tone(300), "dog/2.wav": tone(301), "cat/4.wav": tone(302)})
    tagged = folder / "sounds" / "cat" / "3.wav"
    with soundfile.SoundFile(tagged, "w", RATE_HZ, 1, "PCM_16") as file:
        file.title = "a cat"
        file.write(tone(300))
    assert tagged.read_bytes() != (folder / "sounds" / "dog" / "1.wav").read_bytes()
    assert remarks(folder) == ("the same sound is cat and dog: cat/3.wav = dog/1.wav",)


def test_many_copies_are_named_once(tmp_path: Path) -> None:
    files = {f"{label}/{at}.wav": tone(300 + at) for label in ("cat", "dog") for at in range(5)}
    files |= {"cat/0.flac": tone(300)}
    assert remarks(house(tmp_path, files)) == (
        "the same sound is cat and dog: cat/1.wav = dog/1.wav, cat/2.wav = dog/2.wav, "
        "cat/3.wav = dog/3.wav and 2 more",
    )


@pytest.mark.parametrize("copy", ["9.wav", "9.flac"])
def test_what_is_in_train_and_test_is_named_and_kept_for_the_test(tmp_path: Path, copy: str) -> None:
    folder = house(parted(tmp_path), {f"dog/test/{copy}": tone(303)})
    assert remarks(folder)[1:] == (
        "the same sound is learnt from and in the test; it is kept for the test: "
        f"dog/test/{copy} = dog/train/3.wav",
    )
    parts = split(read_dataset("folder", folder), (1, 2, 3, 4))
    assert [clip.path.name for clip in parts.dropped] == ["3.wav"]


def test_what_is_no_sound_file_is_named(tmp_path: Path) -> None:
    folder = house(tmp_path, {"dog/1.wav": tone(300), "dog/2.wav": tone(301)})
    for name in ("a.xyz", "b.xyz", "deep/c.voc", "notes.txt", ".hidden"):
        path = folder / "sounds" / "dog" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("?")
    assert remarks(folder) == (
        "passed over, not called as a sound file is: dog/a.xyz, dog/b.xyz, dog/deep/c.voc and 1 more",
    )


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(4_000, np.float32), "silent"),
        (np.full(4_000, 2 / 32_768, np.float32), "silent"),
        (tone(300, 0.02), "shorter than 0.05 s"),
    ],
)
def test_clips_of_nothing_are_named_and_a_class_of_nothing_is_refused(
    tmp_path: Path, samples: FloatArray, reason: str
) -> None:
    folder = house(tmp_path, {"dog/1.wav": tone(300), "dog/2.wav": tone(301), "dog/3.wav": samples})
    clips = read_dataset("folder", folder)
    path = folder / "sounds" / "dog" / "3.wav"
    said = f"nothing to learn from in {path} ({reason}); replace or remove"
    assert inaudible(clips, RATE_HZ, NO_CACHE) == (said,)
    assert inaudible(clips[:2], RATE_HZ, NO_CACHE) == ()
    house(tmp_path, {"cat/1.wav": samples, "cat/2.wav": np.append(samples, np.float32(0))})
    with pytest.raises(DatasetError, match=rf"class cat has nothing .* in 2 files \(.*1\.wav is {reason}\)"):
        inaudible(read_dataset("folder", folder), RATE_HZ, NO_CACHE)


def test_silent_files_of_one_length_are_no_copies(tmp_path: Path) -> None:
    files = {
        f"{label}/{at}.wav": tone(hz + at) for label, hz in (("cat", 300), ("dog", 600)) for at in (1, 2)
    }
    files |= {"cat/3.wav": np.zeros(99, np.float32), "dog/3.flac": np.zeros(99, np.float32)}
    assert remarks(house(tmp_path, files)) == ()
