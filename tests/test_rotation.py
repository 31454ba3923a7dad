"""A new log each day or at a size, retention, and SIGHUP."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command import COMMAND, PATIENCE_S, esc_listen, running, wait_until
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from logs import EVENT, HEADER, ROW, event_log, kinds_in, labels_in, later
from sounds import RATE_HZ, only_siren, pcm, siren, write_siren

from streamer.errors import SettingsError
from streamer.journal import Journal
from streamer.settings import LogSettings, Settings
from streamer.sinks import CsvLog, EventLog
from streamer.sinks.rotation import Archives, Rotation, parse_rotation


@pytest.mark.parametrize(
    ("text", "rotation"),
    [
        ("", Rotation()),
        ("daily", Rotation(daily=True)),
        ("10MB", Rotation(limit_bytes=10_000_000)),
        ("500 kb", Rotation(limit_bytes=500_000)),
        ("1GB", Rotation(limit_bytes=10**9)),
    ],
)
def test_when_to_rotate(text: str, rotation: Rotation) -> None:
    assert parse_rotation(text) == rotation
    Settings(log=LogSettings(rotate=text))


@pytest.mark.parametrize("text", ["weekly", "10", "0MB", "-1MB", "1.5MB", "10 TB", "MB", "1234567MB", "٣MB"])
def test_what_is_no_rotation(text: str) -> None:
    with pytest.raises(ValueError, match="daily nor a size"):
        parse_rotation(text)
    with pytest.raises(SettingsError, match=r"log\.rotate"):
        LogSettings(rotate=text)


DAY_S = 86_400.0


def test_each_day_has_its_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = CsvLog(path, parse_rotation("daily"))
    for day in (0, 0, 1, 1, 3):
        log.write(later(EVENT, day * DAY_S))
    log.close()
    days = {
        file.name: [line.split(",")[1][:10] for line in file.read_text().splitlines()[1:]]
        for file in tmp_path.glob("*.csv")
    }
    assert days == {
        "log.2023-11-14.csv": ["2023-11-14"] * 2,
        "log.2023-11-15.csv": ["2023-11-15"] * 2,
        "log.csv": ["2023-11-17"],
    }


def test_the_day_of_a_log_is_known_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for day in (0, 0, 1):
        log = CsvLog(path, parse_rotation("daily"))
        log.write(later(EVENT, day * DAY_S))
        log.close()
    assert labels_in(tmp_path / "log.2023-11-14.csv") == ["dog"] * 2
    assert labels_in(path) == ["dog"]


def test_events_around_midnight_do_not_go_back_to_a_file_of_yesterday(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", parse_rotation("daily"))
    for seconds in (0.0, 7_000.0, 5_900.0, 7_001.0):  # 22:13, 00:10, 23:51, 00:10
        log.write(later(EVENT, seconds))
    log.close()
    assert len(labels_in(tmp_path / "log.csv")) == 3
    assert len(labels_in(tmp_path / "log.2023-11-14.csv")) == 1


def test_a_clock_that_was_far_ahead_does_not_stop_the_days(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", parse_rotation("daily"))
    for day in (3_000, 0, 1):
        log.write(later(EVENT, day * DAY_S))
    log.close()
    assert sorted(path.name for path in tmp_path.glob("log.*.csv")) == [
        "log.2023-11-14.csv",
        "log.2032-01-31.csv",
    ]


def test_no_file_is_larger_than_its_limit_and_none_is_without_a_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = CsvLog(path, Rotation(limit_bytes=1_000))
    long = replace(EVENT, source="x" * 2_000)
    for number in range(40):
        log.write(long if number == 20 else later(EVENT, number))
    log.close()
    sizes = {file: file.stat().st_size for file in tmp_path.glob("*.csv")}
    assert sum(len(labels_in(file)) for file in sizes) == 40
    assert all(labels_in(file) for file in sizes)
    assert sum(size > 1_000 for size in sizes.values()) == 1  # the one row that fits nowhere
    assert (tmp_path / "log.2023-11-14.csv").exists()
    assert (tmp_path / "log.2023-11-14-2.csv").exists()


def test_only_so_many_old_files_are_kept_and_only_ours_deleted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    mine = {
        "log.2020-01-01.csv": HEADER + ROW,
        "log.2023-11-13.csv": b"",
        "log.notes.csv": HEADER,
        "other.2023-11-14.csv": HEADER,
    }
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "log.2023-11-12.csv").symlink_to("other.2023-11-14.csv")
    log = CsvLog(path, parse_rotation("daily"), keep=2)
    for day in range(6):
        log.write(later(EVENT, day * DAY_S))
        if day == 2:  # somebody works on one of ours: then it is theirs
            with (tmp_path / "log.2023-11-15.csv").open("ab") as file:
                file.write(b"checked\n")
    deleted = [name for kind, fields in log.news if kind == "rotated" for name in fields["deleted"]]
    log.close()
    assert deleted == ["log.2023-11-14.csv", "log.2023-11-16.csv"]
    left = sorted(file.name for file in tmp_path.glob("*.csv"))
    ours = ["log.2023-11-15.csv", "log.2023-11-17.csv", "log.2023-11-18.csv", "log.csv"]
    assert left == sorted([*mine, "log.2023-11-12.csv", *ours])
    for name, content in mine.items():
        assert (tmp_path / name).read_bytes() == content


@hypothesis_settings(max_examples=100)
@given(
    listed=st.binary(max_size=80)
    | st.sampled_from(
        [b"5 ../victim\n", b"5 victim\n", b"5 log.csv\n", b"5 log.2020-01-01.csv/../victim\n",
         b"99999999999999999999999 log.2020-01-01.csv\n", b"6 log.2020-01-01.csv\n"]
    )
)  # fmt: skip
def test_a_list_of_archives_that_lies_deletes_nothing(
    tmp_path_factory: pytest.TempPathFactory, listed: bytes
) -> None:
    folder = tmp_path_factory.mktemp("archives")
    for name in ("victim", "log.csv", "log.2020-01-01.csv"):
        (folder / name).write_bytes(b"12345")
    (folder / "log.csv.archives").write_bytes(listed + b"\n" + listed)
    assert Archives(folder / "log.csv").prune(keep=1) == []
    assert len(list(folder.iterdir())) == 4


def test_a_rotation_that_fails_does_not_stop_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    log = CsvLog(tmp_path / "log.csv", Rotation(limit_bytes=300))
    for _ in range(10):
        log.write(EVENT)
    assert [kind for kind, _ in log.news] == ["trouble"]
    monkeypatch.undo()
    log.close()
    assert labels_in(tmp_path / "log.csv") == ["dog"] * 10


def test_rotation_through_the_command(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 30.0)
    pieces = tmp_path / "pieces.toml"
    pieces.write_text('[events]\nmax_duration_s = 1\n[log]\nrotate = "1kB"\nkeep = 3\n')
    done = esc_listen("--input", path, "--config", pieces, *only_siren(), cwd=tmp_path)
    assert done.status == 0, done.err
    files = list(tmp_path.glob("esc-events*.csv"))
    assert len(files) == 4
    assert all(labels_in(file) for file in files)


def test_sighup_goes_over_to_new_files_and_loses_nothing(tmp_path: Path) -> None:
    pieces = tmp_path / "pieces.toml"
    pieces.write_text("[events]\nmax_duration_s = 1\n")
    options = [
        "--input",
        "-",
        "--live",
        "--rate",
        str(RATE_HZ),
        "--json",
        "--csv",
        "log.csv",
        "--config",
        str(pieces),
    ]
    log, journal = tmp_path / "log.csv", tmp_path / "log.journal.jsonl"
    with running(*options, *only_siren(), cwd=tmp_path, stdin=subprocess.PIPE) as run:
        stdin = run.process.stdin
        assert stdin is not None
        moved = []
        for turn in range(3):
            stdin.write(pcm(siren(10.0)))
            stdin.flush()
            wait_until(lambda: log.exists() and len(labels_in(log)) >= 3, "rows are written")
            for path in (log, journal):
                moved.append(path.rename(tmp_path / f"{turn}-{path.name}"))
            run.process.send_signal(signal.SIGHUP)
            wait_until(lambda: log.exists() and journal.exists(), "the files are there again")
        stdin.close()
        done = run.finish()
    assert done.status == 0, done.err
    logs = [*(path for path in moved if ".csv" in path.name), log]
    assert sum(len(labels_in(path)) for path in logs) == len(done.out_lines) >= 29
    assert [kinds_in(path) for path in moved if "journal" in path.name] == [
        ["start"],
        ["reopened"],
        ["reopened"],
    ]
    assert kinds_in(journal) == ["reopened", "exit"]


@pytest.mark.parametrize("before", [[], ["nohup"]])
def test_a_terminal_that_goes_away_ends_it_but_not_under_nohup(tmp_path: Path, before: list[str]) -> None:
    ours, theirs = pty.openpty()
    err = tmp_path / "err.txt"
    with (
        err.open("wb") as err_file,
        subprocess.Popen(
            [*before, COMMAND, "--input", "-", "--json"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err_file,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
        ) as process,
    ):
        os.close(theirs)
        wait_until(lambda: b"listening" in err.read_bytes(), "it listens")
        os.close(ours)
        if before:
            journal = tmp_path / "esc-events.journal.jsonl"
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert process.poll() is None
            assert "exit" not in kinds_in(journal)
            process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_sighup_without_anything_to_do_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with event_log(path) as log:
        log.write(EVENT).wait()
        log.reopen()
        wait_until(lambda: "reopened" in kinds_in(tmp_path / "log.journal.jsonl"), "it was noticed")
        log.write(EVENT).wait()
    assert path.read_bytes() == HEADER + ROW + ROW


def test_sighup_to_a_file_that_is_no_log_stays_with_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    said: list[str] = []
    with event_log(path) as log:
        log.tell = said.append
        log.write(EVENT).wait()
        path.rename(tmp_path / "old.csv")
        path.mkdir()
        log.reopen()
        wait_until(lambda: len(said) == 1, "that is told")
        assert "not an ordinary file; going on with the file from before" in said[0]
        log.write(EVENT).wait()
    assert (tmp_path / "old.csv").read_bytes() == HEADER + ROW + ROW


def test_the_journal_is_not_kept_for_files_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 3.0)
    esc_listen("--input", path, *only_siren(), cwd=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["esc-events.csv", "siren.wav"]
    esc_listen("--input", path, *only_siren(), "--journal", "j.jsonl", cwd=tmp_path)
    assert kinds_in(tmp_path / "j.jsonl") == ["start", "exit"]
    esc_listen("--input", "-", "--no-journal", *only_siren(), cwd=tmp_path, stdin=pcm(siren(3.0)))
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    esc_listen("--input", "-", *only_siren(), cwd=tmp_path, stdin=pcm(siren(3.0)))
    assert kinds_in(tmp_path / "esc-events.journal.jsonl") == ["start", "exit"]


def test_a_log_without_any_file_keeps_nothing_and_shows_everything() -> None:
    log = EventLog(journal=Journal())
    log.going_on([EVENT])
    assert log.announced("dog", EVENT.start_s)
    assert log.write(EVENT).settled
    log.close()
    assert log.dropped == 0
