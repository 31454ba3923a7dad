"""The cache of arrays: never stale, never in the way."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from disks import fill, small_disk, unwritable_folder

import trainer.examples.cache
from trainer.examples.cache import CODE, ArrayCache, Arrays, code_fingerprint, default_folder

WHAT = {"front_end": {"mel_bands": 64, "floor": 1e-10}, "speeds": (0.9, 1.0, 1.1), "seed": 3}


class Work:
    """A computation that counts how often it is done."""

    def __init__(self, arrays: Arrays | None = None) -> None:
        self.done = 0
        self._arrays = {"1.0": np.arange(6.0).reshape(2, 3)} if arrays is None else arrays

    def __call__(self) -> Arrays:
        self.done += 1
        return self._arrays


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that arrays are computed from."""
    path = tmp_path / "bark.wav"
    path.write_bytes(b"woof")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    """An empty cache."""
    return ArrayCache(tmp_path / "cache" / "arrays")


def entries(cache: ArrayCache) -> list[Path]:
    """What the cache's folder holds."""
    assert cache.folder is not None
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def assert_same(one: Arrays, other: Arrays) -> None:
    assert list(one) == list(other)
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.shape == other[name].shape
        assert array.tobytes() == other[name].tobytes()


def test_what_was_computed_once_is_not_computed_again(cache: ArrayCache, source: Path) -> None:
    work = Work(
        {
            "1.1": np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32),
            "file": np.array([np.nan, -0.0, np.inf]),
            "a/b c": np.zeros((0, 3), np.int8),
            "flags": np.array(True),
            "turned": np.arange(6, dtype=">i2").reshape(2, 3).T,
        }
    )
    first = cache.get(source, WHAT, work)
    again = cache.get(source, WHAT, work)
    assert work.done == 1
    assert_same(first, again)
    again["1.1"] += 1.0  # Nobody else's array is changed by that.
    assert_same(first, cache.get(source, WHAT, work))
    assert len(entries(cache)) == 1


def test_an_entry_of_no_arrays(cache: ArrayCache, source: Path) -> None:
    work = Work({})
    assert cache.get(source, WHAT, work) == cache.get(source, WHAT, work) == {}
    assert work.done == 1


def test_the_content_of_the_file_counts_and_not_its_name_or_date(cache: ArrayCache, source: Path) -> None:
    work = Work()
    cache.get(source, WHAT, work)
    os.utime(source, (1, 1))
    copied = Path(shutil.copy(source, source.with_name("copy.wav")))
    cache.get(source, WHAT, work)
    cache.get(copied, WHAT, work)
    assert work.done == 1
    date = source.stat()
    source.write_bytes(b"wuff")  # As long as before, and as old.
    os.utime(source, ns=(date.st_atime_ns, date.st_mtime_ns))
    cache.get(source, WHAT, work)
    assert work.done == 2


@pytest.mark.parametrize(
    "other",
    [
        WHAT | {"seed": 4},
        WHAT | {"speeds": (0.9, 1.0)},
        WHAT | {"front_end": {"mel_bands": 64, "floor": 1.0000001e-10}},
        {},
        None,
    ],
)
def test_everything_that_was_asked_for_counts(cache: ArrayCache, source: Path, other: object) -> None:
    work = Work()
    cache.get(source, WHAT, work)
    cache.get(source, dict(reversed(WHAT.items())), work)
    assert work.done == 1
    cache.get(source, other, work)
    assert work.done == 2


def test_what_json_cannot_express_is_refused(cache: ArrayCache, source: Path) -> None:
    with pytest.raises(TypeError):
        cache.get(source, {"path": source}, Work())


def test_another_library_makes_other_entries(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    ArrayCache(tmp_path / "c").get(source, WHAT, work)
    ArrayCache(tmp_path / "c").get(source, WHAT, work)
    assert work.done == 1
    monkeypatch.setattr(trainer.examples.cache, "version", lambda name: "99")
    ArrayCache(tmp_path / "c").get(source, WHAT, work)
    assert work.done == 2


def test_another_code_makes_other_entries_but_comments_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(trainer.examples.cache.__file__).parents[2]
    for name in CODE:
        assert (root / name).exists(), name
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(root / name, tmp_path / name)
    moved = tmp_path / "trainer" / "examples" / "cache.py"
    monkeypatch.setattr(trainer.examples.cache, "__file__", str(moved))
    before = code_fingerprint()
    for file in ("streamer/frontend/mel.py", "trainer/examples/spectrograms.py"):
        path = tmp_path / file
        path.write_text("# A remark.\n\n" + path.read_text())
        assert code_fingerprint() == before
        path.write_text(path.read_text() + "\nMORE = 1\n")
        assert code_fingerprint() != before
        before = code_fingerprint()


def test_no_damage_goes_unnoticed(cache: ArrayCache, source: Path) -> None:
    arrays = {"1.0": np.arange(4.0), "1.1": np.arange(3, dtype=np.int16)}
    cache.get(source, WHAT, Work(arrays))
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    chance = random.Random(1)
    damages = [whole[:length] for length in range(0, len(whole), 7)] + [whole + b"more", whole[::-1]]
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chance.randrange(8)
        damages.append(bytes(flipped))
    for damage in damages:
        entry.write_bytes(damage)
        work = Work(arrays)
        assert_same(cache.get(source, WHAT, work), arrays)
        assert work.done == 1
        assert entry.read_bytes() == whole


def test_what_cannot_be_computed_is_not_stored(cache: ArrayCache, source: Path) -> None:
    def fail() -> Arrays:
        raise ValueError("no sound")

    with pytest.raises(ValueError, match="no sound"):
        cache.get(source, WHAT, fail)
    assert entries(cache) == []
    assert cache.get(source, WHAT, Work())


def test_a_file_that_changes_meanwhile_is_not_stored(cache: ArrayCache, source: Path) -> None:
    def work() -> Arrays:
        source.write_bytes(b"another")
        return {"1.0": np.zeros(1)}

    cache.get(source, WHAT, work)
    assert entries(cache) == []


def test_a_missing_file_is_reported_by_the_computation(cache: ArrayCache, tmp_path: Path) -> None:
    work = Work()
    cache.get(tmp_path / "nothing.wav", WHAT, work)
    cache.get(tmp_path / "nothing.wav", WHAT, work)
    assert work.done == 2


def test_caching_can_be_off(source: Path) -> None:
    work, cache = Work(), ArrayCache(None)
    cache.get(source, WHAT, work)
    cache.get(source, WHAT, work)
    assert work.done == 2
    assert cache.size() == 0
    cache.clear()


def test_size_and_clear(cache: ArrayCache, source: Path) -> None:
    assert cache.folder is not None
    foreign = cache.folder / "ab" / "thesis.txt"
    foreign.parent.mkdir()
    foreign.write_text("years of work")
    assert cache.size() == 0
    cache.get(source, WHAT, Work({"1.0": np.zeros(1000, np.float32)}))
    cache.get(source, None, Work())
    assert 4_000 < cache.size() < 6_000
    cache.clear()
    assert cache.size() == 0
    assert entries(cache) == [foreign]
    work = Work()
    cache.get(source, WHAT, work)
    assert work.done == 1


def heavy(cache: ArrayCache, source: Path, seed: int) -> float:
    """What a worker does: the same entries as all others, each by one seed."""
    what = {"seed": seed % 5}
    values = np.random.default_rng(seed % 5).normal(size=20_000)
    return float(cache.get(source, what, lambda: {"1.0": values})["1.0"].sum())


def test_several_processes_share_a_folder(cache: ArrayCache, source: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("forkserver")) as pool:
        sums = list(pool.map(heavy, [cache] * 60, [source] * 60, range(60)))
    assert len(set(sums)) == 5
    assert sums == [heavy(ArrayCache(None), source, seed) for seed in range(60)]
    assert len(entries(cache)) == 5
    assert [path.suffix for path in entries(cache)] == [".arrays"] * 5


def test_a_pickled_cache_knows_its_entries(cache: ArrayCache, source: Path) -> None:
    work = Work()
    cache.get(source, WHAT, work)
    pickle.loads(pickle.dumps(cache)).get(source, WHAT, work)
    assert work.done == 1


# Disks and folders that do not want it

Complaints = Callable[[], list[str]]


@pytest.fixture
def complaints(capsys: pytest.CaptureFixture[str]) -> Complaints:
    """Lines on stderr since the last call."""
    return lambda: capsys.readouterr().err.splitlines()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, source: Path, complaints: Complaints) -> None:
    with unwritable_folder(tmp_path) as folder:
        cache, work = ArrayCache(folder / "arrays"), Work()
        (line,) = complaints()
        assert line.startswith(f"the cache {folder / 'arrays'} is not written to: ")
        for _ in range(2):
            pickle.loads(pickle.dumps(cache)).get(source, WHAT, work)
        assert work.done == 2
        assert complaints() == []


def test_a_folder_that_is_a_file(source: Path, complaints: Complaints) -> None:
    cache, work = ArrayCache(source), Work()
    assert len(complaints()) == 1
    cache.get(source, WHAT, work)
    assert (work.done, cache.size()) == (1, 0)
    assert source.read_bytes() == b"woof"


def test_entries_of_a_folder_that_became_unwritable_are_still_read(
    tmp_path: Path, source: Path, complaints: Complaints
) -> None:
    ready = ArrayCache(tmp_path / "ready")
    ready.get(source, WHAT, Work())
    assert ready.folder is not None
    with small_disk(tmp_path) as disk:
        shutil.copytree(ready.folder, disk / "arrays")
        fill(disk)
        work = Work()
        ArrayCache(disk / "arrays").get(source, WHAT, work)
        assert work.done == 0


@pytest.mark.parametrize("kept_free", [0, 10**9], ids=["full", "nearly full"])
def test_a_full_disk(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, complaints: Complaints, kept_free: int
) -> None:
    monkeypatch.setattr(trainer.examples.cache, "KEPT_FREE_BYTES", kept_free)
    with small_disk(tmp_path) as disk:
        cache = ArrayCache(disk / "arrays")
        assert complaints() == []
        work = Work({"1.0": np.zeros(10_000)})
        for _ in range(3):
            # As in a worker, which is handed a new copy each time.
            assert_same(pickle.loads(pickle.dumps(cache)).get(source, WHAT, work), work())
        (line,) = complaints()
        assert line.startswith(f"the cache {disk / 'arrays'} is not written to: ")
        assert ("No space left" if kept_free == 0 else "less than 1 GB are free on its disk") in line
        assert entries(cache) == []


# Where it is


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ESC_TRAIN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == tmp_path / ".cache" / "esc-train"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "esc-train"
    # Relative ones are to be ignored, says XDG.
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert default_folder() == tmp_path / ".cache" / "esc-train"
    monkeypatch.setenv("ESC_TRAIN_CACHE", "~/arrays")
    assert default_folder() == tmp_path / "arrays"
