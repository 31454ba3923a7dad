"""Sounds of many makers: which rows are learnt from, and how a model is judged by them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.demo import siren
from trainer.cli import main
from trainer.datasets import DatasetError, read_dataset
from trainer.datasets.pool import pool_rows
from trainer.judging.pool import laid_over, level

RATE_HZ = 22_050
COLUMNS = ("file", "label", "split", "group", "tier", "seconds", "licence", "author", "title", "source")


def write_pool(folder: Path, rows: list[dict[str, str]]) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "pool.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def row(file: str, label: str = "dog", split: str = "train", licence: str = "CC0", group: str = "g") -> dict:
    return {"file": file, "label": label, "split": split, "licence": licence, "group": group}


@pytest.mark.parametrize(
    ("licence", "learnt_from"),
    [
        ("CC0", True),
        ("CC0 1.0", True),
        ("CC BY 3.0", True),
        ("CC-BY-4.0", True),
        ("Creative Commons Attribution 3.0 Unported", True),
        ("MIT (per-demo README)", True),
        ("BSD-3-Clause", True),
        ("Apache-2.0", True),
        ("public domain dedication", True),
        ("CC-BY-SA-3.0", False),
        ("CC-BY-SA-3.0 / CC-BY-3.0 / CC0", False),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", False),
        ("CC BY-NC 3.0", False),
        ("GPL-2+", False),
        ("ODbL-1.0 / DbCL-1.0", False),
        ("see LICENSE-media.md (CC0/CC-BY/MIT)", False),
        ("", False),
    ],
)
def test_only_rows_that_ask_for_no_more_than_a_credit_are_learnt_from(
    tmp_path: Path, licence: str, learnt_from: bool
) -> None:
    folder = write_pool(tmp_path / "pool", [row("a.ogg", licence="CC0"), row("b.ogg", licence=licence)])
    names = [clip.path.name for clip in read_dataset("pool", folder)]
    assert names == (["a.ogg", "b.ogg"] if learnt_from else ["a.ogg"])


def test_the_test_split_is_never_learnt_from_and_groups_are_recordings(tmp_path: Path) -> None:
    folder = write_pool(tmp_path / "pool", [row("a.ogg", group="x"), row("b.ogg", split="test", group="y")])
    assert [clip.recording for clip in read_dataset("pool", folder)] == ["x"]
    assert [row.clip.recording for row in pool_rows(folder)] == ["x", "y"]


def test_another_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected pool"):
        list(pool_rows(tmp_path))
    (tmp_path / "pool.csv").write_text("file,label\na,b\n")
    with pytest.raises(DatasetError, match="lacks the column"):
        list(pool_rows(tmp_path))


def test_the_background_lies_as_far_below_as_asked() -> None:
    random = np.random.default_rng(1)
    sound = 0.1 * random.standard_normal(RATE_HZ).astype(np.float32)
    recorded = 0.3 * random.standard_normal(20 * RATE_HZ).astype(np.float32)
    stream = laid_over(sound, recorded, 0.5, 20.0, RATE_HZ)
    assert len(stream) == len(sound) + 6 * RATE_HZ
    before = stream[: 2 * RATE_HZ]
    assert 10 * np.log10(level(sound, RATE_HZ) / level(before, RATE_HZ)) == pytest.approx(20.0, abs=0.5)


def test_a_mixture_never_clips() -> None:
    sound = np.full(RATE_HZ, 0.9, np.float32)
    recorded = np.full(RATE_HZ, 0.9, np.float32)
    assert np.abs(laid_over(sound, recorded, 0.0, 6.0, RATE_HZ)).max() <= 0.99 + 1e-6


def test_a_model_is_judged_by_the_sounds_that_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo's siren is an event of its class; noise is none; a sound that the model lacks is left out."""
    folder = write_pool(
        tmp_path / "pool",
        [
            row("siren.wav", "siren", "test"),
            row("quiet.wav", "dog", "test"),
            row("drill.wav", "drill", "test"),
            row("train.wav", "cat", "train"),
        ],
    )
    soundfile.write(folder / "siren.wav", siren(np.arange(5 * RATE_HZ) / RATE_HZ), RATE_HZ)
    quiet = 0.01 * np.random.default_rng(2).standard_normal(2 * RATE_HZ)
    soundfile.write(folder / "quiet.wav", quiet, RATE_HZ)
    background = tmp_path / "background"
    background.mkdir()
    room = 0.001 * np.random.default_rng(3).standard_normal(30 * RATE_HZ)
    soundfile.write(background / "room.wav", room, RATE_HZ)
    (background / "expected.csv").write_text("file,expected,also,split\nroom.wav,none,,test\n")
    command = ["evaluate", "esc50", "--data", f"pool={folder}", "--background", str(background), "--json"]
    assert main(command) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["clips"], table["left_out"]) == (2, 1)
    assert table["per_class"]["siren"]["right"] == 1.0
    assert table["per_class"]["dog"]["right"] == 0.0
    assert table["right"] == table["macro_right"] == 0.5
    assert main([*command, "--labels", "dog"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 1
    assert main(command[:-1]) == 0
    assert "siren 1/1" in capsys.readouterr().out


def test_only_alarms_of_the_labels_that_were_asked_for_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "street.wav", siren(np.arange(6 * RATE_HZ) / RATE_HZ), RATE_HZ)
    (tmp_path / "expected.csv").write_text("file,expected,also,split\nstreet.wav,none,,test\n")
    command = ["evaluate", "esc50", "--data", f"recordings={tmp_path}", "--json"]
    for labels, expected in (("siren", {"siren"}), ("dog,siren", {"siren"}), ("dog", set())):
        assert main([*command, "--labels", labels]) == 0
        alarms = json.loads(capsys.readouterr().out)["false_alarms"]["none"]
        assert set(alarms["per_class_per_hour"]) == expected
        assert bool(alarms["events"]) == bool(expected)
    assert main([*command, "--labels", "yodelling"]) == 1
    assert "the model esc50 does not know 'yodelling'" in capsys.readouterr().err


@pytest.mark.recordings
def test_real_sounds_of_other_makers(esc_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", f"pool={esc_data / 'pool'}", "--background", str(esc_data / "recordings")]
    command = ["evaluate", "esc50", *data, "--labels", "rooster,crow,cow,hen", "--json"]
    tables = []
    for _ in range(2):
        assert main(command) == 0
        tables.append(json.loads(capsys.readouterr().out))
    # The same mixtures every time.
    assert tables[0] == tables[1]
    assert set(tables[0]["per_class"]) == {"rooster", "crow", "cow", "hen"}
    assert tables[0]["clips"] + tables[0]["left_out"] == 237
    assert tables[0]["right"] > 0.3
    assert tables[0]["wrong"] < 0.5
