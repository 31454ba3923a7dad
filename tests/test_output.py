"""Standard output that is full, closed or read by nobody: one line and status 1, or nothing at all."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import COMMAND, PATIENCE_S, Finished
from logs import labels_in
from sounds import only_siren, write_siren

TRAIN = Path(sys.executable).with_name("esc-train")
FULL, CLOSED, GONE = ">/dev/full", ">&-", "| true"

PRINTING = [
    [COMMAND, "--list-models"],
    [COMMAND, "--help"],
    [COMMAND, "--version"],
    [COMMAND, "config", "--print-default"],
    [COMMAND, "config", "--help"],
    [COMMAND, "service", "--print"],
    [COMMAND, "doctor"],
    [TRAIN, "--help"],
    [TRAIN, "evaluate", "--help"],
]
"""What is there for what it prints."""


def shell(where: str, command: list[str | Path], cwd: Path, **environment: str) -> Finished:
    """Run the command with its output going somewhere."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {where}', "bash", *command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        env=os.environ | environment,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("where", "why"), [(FULL, "No space left on device"), (CLOSED, "it is closed")], ids=["full", "closed"]
)
@pytest.mark.parametrize("command", PRINTING, ids=lambda command: " ".join([command[0].name, *command[1:]]))
def test_what_cannot_be_printed_is_one_line(
    tmp_path: Path, command: list[str | Path], where: str, why: str, unbuffered: str
) -> None:
    done = shell(where, command, tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert done.status == 1
    assert done.err == f"{Path(command[0]).name}: cannot write to standard output: {why}\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_siren(tmp_path / "siren.wav", 3.0)
    return tmp_path / "siren.wav"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("options", [["--no-csv"], ["--csv", "log.csv"], ["--json", "--csv", "log.csv"]])
def test_events_that_cannot_be_printed_are_counted(
    tmp_path: Path, recording: Path, options: list[str], unbuffered: str
) -> None:
    command = [COMMAND, "--input", recording, *options, *only_siren()]
    done = shell(FULL, command, tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert done.status == 1
    notes = [line for line in done.err.splitlines() if not line.startswith("events go to")]
    assert len(notes) == 1, done.err
    assert "1 event could not be written to standard output (No space left on device)" in notes[0]
    if "--csv" in options:
        assert labels_in(tmp_path / "log.csv") == ["siren"]


def test_plain_lines_may_have_nowhere_to_go(tmp_path: Path, recording: Path) -> None:
    done = shell(CLOSED, [COMMAND, "--input", recording, "--csv", "log.csv", *only_siren()], tmp_path)
    assert done.status == 0, done.err
    assert labels_in(tmp_path / "log.csv") == ["siren"]


def test_json_may_not(tmp_path: Path, recording: Path) -> None:
    done = shell(CLOSED, [COMMAND, "--input", recording, "--json", "--no-csv", *only_siren()], tmp_path)
    assert done.status == 1
    assert "1 event could not be written to standard output (it is closed)" in done.err


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_hearing_needs_nobody_who_reads_the_notes(tmp_path: Path, recording: Path, where: str) -> None:
    done = shell(where, [COMMAND, "--input", recording, "--csv", "log.csv", *only_siren()], tmp_path)
    assert done.status == 0
    assert len(done.out_lines) == 1
    assert labels_in(tmp_path / "log.csv") == ["siren"]


@pytest.mark.parametrize("command", [[COMMAND, "--list-models"], [TRAIN, "--help"]], ids=["listen", "train"])
def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path, command: list[str | Path]) -> None:
    done = shell(GONE, command, tmp_path)
    assert done.status == 0
    assert done.err == ""


def test_a_reader_that_does_not_read_is_not_waited_for(tmp_path: Path, recording: Path) -> None:
    command = [COMMAND, "--input", *[recording] * 120, "--json", "--csv", "log.csv", *only_siren()]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4_096)  # 120 lines do not fit in
        assert process.wait(PATIENCE_S) == 1
        assert "events could not be written to standard output (too slow)" in process.stderr.read().decode()
    assert labels_in(tmp_path / "log.csv") == ["siren"] * 120
