"""What earlier versions left behind is continued: logs, journals, open events, configurations, units.

Each folder of `tests/earlier` was written by the version that it is named after, listening to three
seconds of a siren, five of hardly anything and four of the siren again; those that were killed were killed
in the second one. Never change them; a new version adds a folder.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from command import Finished, esc_listen
from sounds import RATE_HZ, only_siren, pcm, siren, write_siren

from streamer.cli import build_parser
from streamer.errors import EscListenError
from streamer.journal import read_journal
from streamer.service import write_unit
from streamer.settings import read_settings

VERSIONS = sorted((Path(__file__).parent / "earlier").iterdir())


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def earlier(request: pytest.FixtureRequest) -> Path:
    """What one version left behind."""
    folder: Path = request.param
    return folder


def left(earlier: Path, name: str, tmp_path: Path) -> Path:
    """A copy of what it left in a folder."""
    return Path(shutil.copytree(earlier / name, tmp_path / name))


def listen_on(folder: Path, *options: str) -> Finished:
    """Hear the siren from a pipe, with the options that the earlier version had."""
    arguments = ["--input", "-", "--rate", str(RATE_HZ), "--csv", "log.csv", *only_siren()]
    live = [] if "--live" not in build_parser().format_help() else ["--live"]
    done = esc_listen(*arguments, *live, *options, cwd=folder, stdin=pcm(siren(3.0)))
    assert done.status == 0, done
    return done


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_log_and_its_journal_are_continued(earlier: Path, tmp_path: Path) -> None:
    folder = left(earlier, "finished", tmp_path)
    log, journal = folder / "log.csv", folder / "log.journal.jsonl"
    before, journal_before = log.read_bytes(), journal.read_bytes()
    listen_on(folder)
    assert log.read_bytes().startswith(before)
    assert journal.read_bytes().startswith(journal_before)
    assert [row["label"] for row in rows_of(log)] == ["siren"] * 3
    (start,) = [entry for entry in list(read_journal(journal))[len(journal_before.splitlines()) :]
                if entry["kind"] == "start"]  # fmt: skip
    assert start["after"] == "exit"
    assert not (folder / "log.csv.open").exists()


@pytest.mark.parametrize(("name", "note"), [("killed", None), ("killed-with-notes", "interrupted")])
def test_an_event_that_was_going_on_is_written(
    earlier: Path, tmp_path: Path, name: str, note: str | None
) -> None:
    folder = left(earlier, name, tmp_path)
    log = folder / "log.csv"
    before = log.read_bytes()
    listen_on(folder)
    assert log.read_bytes().startswith(before)
    finished, interrupted, new = rows_of(log)
    assert finished["end"] < interrupted["start"] < interrupted["end"] < new["start"]
    assert (interrupted["label"], interrupted["source"]) == ("siren", "stdin")
    assert [row.get("note") for row in (finished, interrupted, new)] == (
        [None] * 3 if note is None else ["", note, ""]
    )
    assert not (folder / "log.csv.open").exists()


def test_a_torn_row_is_mended(earlier: Path, tmp_path: Path) -> None:
    folder = left(earlier, "killed", tmp_path)
    log = folder / "log.csv"
    whole = log.read_bytes()
    log.write_bytes(whole + b"2026-11-28T02:5")
    listen_on(folder)
    assert log.read_bytes().startswith(whole)
    assert [row["label"] for row in rows_of(log)] == ["siren"] * 3


def test_a_log_of_files_is_continued(earlier: Path, tmp_path: Path) -> None:
    folder = left(earlier, "files", tmp_path)
    before = (folder / "log.csv").read_bytes()
    write_siren(folder / "siren.wav", 3.0)
    done = esc_listen("--input", "siren.wav", "--csv", "log.csv", *only_siren(), cwd=folder)
    assert done.status == 0, done
    assert (folder / "log.csv").read_bytes().startswith(before)
    assert [row["start"] for row in rows_of(folder / "log.csv")] == ["0.0", "0.0"]


def test_rotated_logs_are_kept_and_counted(earlier: Path, tmp_path: Path) -> None:
    folder = left(earlier, "rotated", tmp_path)
    (old,) = folder.glob("log.*.csv")
    before = old.read_bytes(), (folder / "log.csv").read_bytes()
    write_siren(folder / "siren.wav", 3.0)
    options = ["--csv", "log.csv", "--rotate", "1kB", "--keep", "2", *only_siren()]
    done = esc_listen("--input", *["siren.wav"] * 12, *options, cwd=folder)
    assert done.status == 0, done
    archives = sorted(folder.glob("log.*.csv"))
    assert len(archives) == 2
    assert old.read_bytes() == before[0]
    (new,) = set(archives) - {old}
    assert new.read_bytes().startswith(before[1])
    # The third one is one too many.
    assert esc_listen("--input", *["siren.wav"] * 18, *options, cwd=folder).status == 0
    assert not old.exists()


def settings_in(table: dict[str, Any], path: Path) -> None:
    """All that the file says is what the settings say."""
    settings = asdict(read_settings(path))
    for section, values in table.items():
        for key, value in values.items():
            found = settings[section][key]
            assert (list(found) if isinstance(found, tuple) else found) == value, key


@pytest.mark.parametrize("name", ["a-few-settings.toml", "every-setting.toml"])
def test_a_configuration_means_what_it_meant(earlier: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(earlier / name, tmp_path))
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    settings_in(table, path)
    write_siren(tmp_path / "siren.wav", 1.0)
    done = esc_listen("--config", name, "--input", "siren.wav", "--plain", cwd=tmp_path)
    assert done.status == 0, done
    assert (tmp_path / table["log"]["csv"]).exists()


@pytest.mark.parametrize("name", ["plain.service", "with-options.service"])
def test_a_unit_still_starts(earlier: Path, tmp_path: Path, name: str) -> None:
    text = (earlier / name).read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", text, flags=re.MULTILINE)
    options = shlex.split(command)
    given = vars(build_parser().parse_args(options))
    said = {word.removeprefix("--").replace("-", "_") for word in options if word.startswith("--")}
    assert said <= {key for key, value in given.items() if value not in (None, False)}
    # It runs, with files in the place of what this machine has not.
    write_siren(tmp_path / "siren.wav", 1.0)
    (tmp_path / "esc-listen.toml").write_text((earlier / "a-few-settings.toml").read_text())
    here = [
        word.replace("/etc", str(tmp_path)).replace("/srv/sounds", str(tmp_path))
        for word in options
        if word != "--wait"
    ]
    done = esc_listen(*here, "--input", "siren.wav", cwd=tmp_path)
    assert done.status == 0, done


def test_a_unit_is_not_overwritten_unasked(earlier: Path, tmp_path: Path) -> None:
    unit = Path(shutil.copy(earlier / "plain.service", tmp_path))
    before = unit.read_bytes()
    with pytest.raises(EscListenError, match="is different"):
        write_unit("[Unit]\n", unit)
    assert unit.read_bytes() == before
