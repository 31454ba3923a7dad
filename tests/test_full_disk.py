"""One writer a log; full, broken and hanging disks; things in the place of our files."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND, PATIENCE_S, assert_refused, esc_listen, running, wait_until
from disks import fill, small_disk, unwritable_folder
from logs import EVENT, event_log, kinds_in, labels_in, later
from sounds import RATE_HZ, only_siren, pcm, siren, siren_label, write_siren

from streamer.errors import SinkError
from streamer.settings import LogSettings
from streamer.sinks import CsvLog, EventLog, OpenEvents
from streamer.sinks.opening import open_log
from streamer.sinks.rotation import Rotation

BLOCK_BYTES = 4_096
"""What a small disk is given out in."""

HOLD = """
import sys, time
from pathlib import Path
from streamer.settings import LogSettings
from streamer.sinks.opening import open_log
log = open_log(LogSettings(csv=sys.argv[1], journal=sys.argv[2], rotate=sys.argv[3]), live=True)
print("open", flush=True)
time.sleep(600)
"""


@contextmanager
def other_process(path: Path, journal: str = "", rotate: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the log open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path, journal, rotate], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = write_siren(tmp_path / "siren.wav", 3.0)
    log = tmp_path / "log.csv"
    (tmp_path / "link.csv").symlink_to("log.csv")
    with other_process(log) as process:
        os.link(log, tmp_path / "hard.csv")
        for name in ("log.csv", "link.csv", "hard.csv"):
            with pytest.raises(SinkError, match=f"another esc-listen .process {process.pid}. writes to it"):
                CsvLog(tmp_path / name)
        done = esc_listen("--input", path, "--csv", log, cwd=tmp_path)
        assert_refused(done, "another esc-listen", f"(process {process.pid})", "--csv")
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        # No lock is left over.
        assert esc_listen("--input", path, "--csv", log, *only_siren(), cwd=tmp_path).status == 0
    assert len(labels_in(log)) == 1


def test_a_second_process_on_the_journal_is_refused(tmp_path: Path) -> None:
    with (
        other_process(tmp_path / "a.csv", str(tmp_path / "j.jsonl")),
        pytest.raises(SinkError, match=r"cannot keep the journal .*another esc-listen .*--journal"),
    ):
        open_log(LogSettings(csv=str(tmp_path / "b.csv"), journal=str(tmp_path / "j.jsonl")), live=True)
    # What had been opened before is free again.
    CsvLog(tmp_path / "b.csv").close()


def test_a_log_is_still_ours_after_it_was_rotated(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = CsvLog(path, Rotation(limit_bytes=300))
    for _ in range(10):
        log.write(EVENT)
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (archive, *_) = tmp_path.glob("log.2*.csv")
    with archive.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    log.close()


def test_rows_wait_for_a_full_disk(tmp_path: Path) -> None:
    said: list[str] = []
    with small_disk(tmp_path, 65_536) as folder:
        path = folder / "log.csv"
        with event_log(path, journal="") as log:
            log.tell = said.append
            log.write(EVENT).wait()
            filler = fill(folder)
            for number in range(200):
                log.write(later(EVENT, number))
            wait_until(lambda: log.trouble != "", "the disk is full")
            waiting = log.waiting
            assert 0 < waiting <= 200
            assert log.complaint == f"No space left on device, {waiting} rows wait"
            # A row that went in half was taken out again.
            assert len(labels_in(path)) == 201 - waiting
            filler.unlink()
            wait_until(lambda: log.waiting == 0, "they are written")
            wait_until(lambda: log.complaint == "", "that is noticed")
            assert log.dropped == 0
        assert labels_in(path) == ["dog"] * 201
    starts = [line for line in said if "cannot write to" in line], [x for x in said if "written again" in x]
    assert [len(lines) for lines in starts] == [1, 1]


def test_more_than_the_queue_holds_is_dropped_and_counted(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder:
        path = folder / "log.csv"
        log = EventLog(CsvLog(path), OpenEvents(path), name="log.csv", size=10)
        filler = fill(folder)
        numbers = itertools.count()

        def write_one() -> bool:
            log.write(later(EVENT, next(numbers)))
            return log.trouble != ""

        wait_until(write_one, "the disk is full")
        for _ in range(20):
            write_one()
        assert log.waiting == 10
        written, dropped = log.written, log.dropped
        assert written + dropped + 10 == next(numbers)
        assert dropped >= 10
        filler.unlink()
        wait_until(lambda: log.waiting == 0, "they are written")
        log.close()
        assert (log.written, log.dropped) == (written + 10, dropped)
        assert len(labels_in(path)) == log.written


def test_a_disk_that_stays_full_loses_only_what_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder:
        path = folder / "log.csv"
        with event_log(path, journal="") as log:
            filler = fill(folder)
            for number in range(100):
                log.write(later(EVENT, number))
        assert log.dropped + log.left + log.written == 100
        assert log.dropped > 0
        assert len(labels_in(path)) == log.written
        filler.unlink()
        with event_log(path, journal=""):
            pass
        assert len(labels_in(path)) == 100 - log.dropped


def test_what_is_shown_on_a_full_disk_is_counted_as_unsafe(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder, event_log(folder / "log.csv", journal="") as log:
        filler = fill(folder)
        log.going_on([EVENT])
        wait_until(lambda: log.announced("dog", EVENT.start_s), "it is shown all the same")
        assert log.unsafe == 1
        filler.unlink()
        # The next time that anything is put down, this one is as well.
        log.going_on([EVENT, replace(EVENT, label="cat")])
        wait_until(lambda: log.announced("cat", EVENT.start_s), "the other one is shown")
        assert log.unsafe == 1
        assert (folder / "log.csv.open").read_bytes().count(b'"open":') == 2


def test_hearing_goes_on_through_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, 65_536) as folder:
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
            str(folder / "log.csv"),
        ]
        with running(*options, "--config", pieces, *only_siren(), cwd=tmp_path, stdin=subprocess.PIPE) as run:
            stdin = run.process.stdin
            assert stdin is not None
            wait_until(lambda: "listening" in run.err, "it listens")
            filler = fill(folder)
            stdin.write(pcm(siren(120.0)))
            stdin.flush()
            # A block of the disk still takes some rows; those after them wait, but are heard and shown.
            wait_until(lambda: "cannot write to" in run.err, "the disk is full")
            out = tmp_path / "stdout.txt"
            wait_until(lambda: out.read_bytes().count(b"\n") > 115, "events come out all the same")
            assert len(labels_in(folder / "log.csv")) < 115
            filler.unlink()
            wait_until(lambda: "can be written again" in run.err, "there is room again")
            stdin.close()
            done = run.finish()
        assert done.status == 0, done.err
        assert len(labels_in(folder / "log.csv")) == len(done.out_lines) >= 119
        assert kinds_in(folder / "log.journal.jsonl")[-1] == "exit"


def test_the_screen_tells_of_a_full_disk_and_of_its_end(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder:
        path = folder / "log.csv"
        csv = CsvLog(path)
        # A block of the disk that was begun would still take some rows: this one ends with a block.
        rest = BLOCK_BYTES - csv.size - len(csv.line(replace(EVENT, source="")))
        csv.write(replace(EVENT, source="x" * rest))
        csv.close()
        filler = fill(folder)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [
                COMMAND,
                "--input",
                "-",
                "--live",
                "--rate",
                str(RATE_HZ),
                "--csv",
                path,
                "--no-journal",
                *only_siren(),
            ],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        os.close(theirs)
        shown = b""

        def shows(text: bytes) -> bool:
            nonlocal shown
            shown += os.read(ours, 65_536)
            return text in shown

        try:
            assert process.stdin is not None
            process.stdin.write(pcm(np.concatenate([siren(3.0), np.zeros(6 * RATE_HZ, np.float32)])))
            process.stdin.flush()
            wait_until(lambda: shows("▲ log: No space left on device, 1 row waits".encode()), "it is told")
            filler.unlink()
            shown = b""
            wait_until(lambda: shows("→ ".encode()), "that it is over is shown")
        finally:
            process.kill()
            process.communicate()
            os.close(ours)
        assert labels_in(path) == ["dog", siren_label()]


def test_where_nothing_but_the_log_can_be_written_it_is_written(tmp_path: Path) -> None:
    # The names of the other files would be too long.
    path = tmp_path / f"{'x' * 251}.csv"
    with event_log(path) as log:
        assert ["open events" in log.findings[0], "journal" in log.findings[1]] == [True, True]
        assert len(log.findings) == 2
        log.going_on([EVENT])
        wait_until(lambda: log.announced("dog", EVENT.start_s), "it is shown")
        log.write(EVENT).wait()
        assert log.unsafe == 1
    assert labels_in(path) == ["dog"]


@pytest.mark.parametrize("option", ["--csv", "--journal"])
@pytest.mark.parametrize("name", ["fifo", "folder", "/dev/null", "nowhere"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, option: str, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to("there/is/nothing")
    path = write_siren(tmp_path / "siren.wav", 0.2)
    done = esc_listen("--input", path, option, name, cwd=tmp_path)
    assert_refused(done, "cannot", name, "it is")


def test_without_a_place_for_the_journal_listening_goes_on(tmp_path: Path) -> None:
    with unwritable_folder(tmp_path) as folder:
        log = tmp_path / "log.csv"
        log.touch()
        with pytest.raises(SinkError, match="cannot keep the journal"):
            open_log(LogSettings(csv=str(log), journal=str(folder / "j.jsonl")), live=True)
        CsvLog(log).close()


@pytest.mark.parametrize("name", ["log.csv.open", "log.journal.jsonl", "log.journal.jsonl.1"])
def test_something_else_in_the_place_of_a_file_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SinkError):
        open_log(LogSettings(csv=str(tmp_path / "log.csv")), live=True)
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(SinkError):
        open_log(LogSettings(csv=str(tmp_path / "log.csv")), live=True)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text("Dear reader,\n")
    with pytest.raises(SinkError, match="is not"):
        open_log(LogSettings(csv=str(tmp_path / "log.csv")), live=True)
    assert (tmp_path / name).read_text() == "Dear reader,\n"
    CsvLog(tmp_path / "log.csv").close()
