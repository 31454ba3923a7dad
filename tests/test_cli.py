"""`esc-listen` as a user runs it: one process a test, the shipped model, real files, pipes and signals."""

from __future__ import annotations

import csv
import itertools
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import (
    COMMAND,
    PATIENCE_S,
    Finished,
    assert_failed,
    assert_refused,
    esc_listen,
    running,
    wait_until,
)
from sounds import (
    RATE_HZ,
    only_siren,
    other_label,
    pcm,
    shipped_model,
    silence,
    siren,
    siren_label,
    siren_threshold,
    write_siren,
)

import streamer
import streamer.cli

COLUMNS = ["start", "end", "duration_s", "label", "confidence", "mean_confidence", "source", "model"]
SUMMARY = re.compile(r"\d+ events? in [\d.]+ s of sound.*")


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a siren."""
    return write_siren(tmp_path_factory.mktemp("recordings") / "siren.wav", 4.0)


@pytest.fixture
def in_pieces(tmp_path: Path) -> list[str]:
    """Options with which a siren gives an event each second."""
    path = tmp_path / "pieces.toml"
    path.write_text("[events]\nmax_duration_s = 1\n")
    return ["--config", str(path), *only_siren()]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a log, which must be whole."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert path.read_bytes().endswith(b"\n")
    for row in rows:
        assert list(row) == COLUMNS
        assert all(value != "" and value is not None for value in row.values())
    return rows


def lines_in(path: Path) -> int:
    """Number of lines of a file that may not exist yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def assert_done(done: Finished) -> str:
    """It ended well; gives the summary, the last line of standard error."""
    assert done.status == 0, done
    assert "Traceback" not in done.err
    assert done.complaints == []
    summary = done.err.splitlines()[-1]
    assert SUMMARY.fullmatch(summary), done.err
    return summary


def assert_touching(rows: list[dict[str, str]]) -> None:
    """Pieces of one sound."""
    for before, after in itertools.pairwise(rows):
        assert before["end"] == after["start"]


def test_version(tmp_path: Path) -> None:
    done = esc_listen("--version", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, f"esc-listen {streamer.__version__}\n", "")


def test_help_tells_every_option_and_shows_examples(tmp_path: Path) -> None:
    done = esc_listen("--help", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    told = set(re.findall(r"^  (--[a-z-]+)", done.out, re.MULTILINE))
    assert told >= {
        *("--input", "--device", "--channel", "--rate", "--channels", "--format", "--realtime"),
        *("--duration", "--demo", "--model", "--threshold", "--hop", "--smoothing", "--labels", "--threads"),
        *("--csv", "--no-csv", "--json", "--plain", "--screenshot", "--config"),
        *("--list-devices", "--list-models", "--debug", "--version"),
    }
    assert "examples:" in done.out


def test_list_models(tmp_path: Path) -> None:
    done = esc_listen("--list-models", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    model = shipped_model()
    (line,) = (line for line in done.out_lines if line.startswith(f"{model.name} "))
    assert f" {len(model.labels)} " in line
    assert "(default)" in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_to_the_default_log(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", recording, *only_siren(), cwd=tmp_path)
    summary = assert_done(done)
    assert done.err.splitlines()[0] == "events go to esc-events.csv"
    assert summary.startswith(f"1 event in 4.0 s of sound: {siren_label()} 1")
    (row,) = rows_of(tmp_path / "esc-events.csv")
    assert row["label"] == siren_label()
    assert row["source"] == str(recording)
    assert row["model"] == shipped_model().name
    assert float(row["start"]) == pytest.approx(0.0, abs=0.5)
    assert float(row["end"]) == pytest.approx(4.0, abs=0.5)
    assert float(row["duration_s"]) == pytest.approx(float(row["end"]) - float(row["start"]), abs=0.0015)
    assert siren_threshold() <= float(row["mean_confidence"]) <= float(row["confidence"]) <= 1


def test_without_a_terminal_it_prints_plain_lines(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", recording, *only_siren(), cwd=tmp_path)
    (line,) = done.out_lines
    assert siren_label().replace("_", " ") in line
    assert "\x1b" not in done.out + done.err
    assert esc_listen("--input", recording, "--plain", *only_siren(), cwd=tmp_path).out == done.out


@pytest.mark.parametrize("options", [[], ["--plain"], ["TERM=dumb"]])
def test_on_a_terminal(tmp_path: Path, recording: Path, options: list[str]) -> None:
    dumb = "TERM=dumb" in options
    plain = [option for option in options if option.startswith("--")]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "--input", recording, "--no-csv", *plain, *only_siren()],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "dumb" if dumb else "xterm-256color"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # the other end has been closed
        pass
    os.close(ours)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert_done(Finished(process.returncode, "", err.decode()))
    if options:
        assert b"\x1b" not in shown
        assert len(shown.splitlines()) == 1
    else:
        assert b"\x1b" in shown


def test_json_is_pure_and_says_what_the_log_says(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    soundfile.write(path, np.concatenate([siren(3.0), silence(5.0), siren(3.0)]), RATE_HZ)
    done = esc_listen("--input", path, "--json", "--csv", "log.csv", *only_siren(), cwd=tmp_path)
    assert_done(done)
    events = [json.loads(line) for line in done.out_lines]
    rows = rows_of(tmp_path / "log.csv")
    assert len(events) == 2
    assert [{key: str(value) for key, value in event.items()} for event in events] == rows
    assert list(events[0]) == COLUMNS


def test_json_without_events_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", silence(3.0), RATE_HZ)
    done = esc_listen("--input", "silence.wav", "--json", "--no-csv", cwd=tmp_path)
    assert assert_done(done).startswith("0 events in 3.0 s of sound")
    assert done.out == ""


def test_no_csv_writes_nothing(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", recording, "--no-csv", cwd=tmp_path)
    assert_done(done)
    assert ".csv" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_several_files_in_a_row_continue_one_log(tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac", "c.ogg"):
        write_siren(tmp_path / name, 3.0, rate_hz=44_100, channels=2)
    options = ["--csv", "log.csv", *only_siren()]
    done = esc_listen("--input", "a.wav", "b.flac", "c.ogg", *options, cwd=tmp_path)
    assert assert_done(done).startswith("3 events in 9.0 s of sound")
    assert_done(esc_listen("--input", "a.wav", *options, cwd=tmp_path))
    rows = rows_of(tmp_path / "log.csv")
    assert [row["source"] for row in rows] == ["a.wav", "b.flac", "c.ogg", "a.wav"]
    assert all(float(row["start"]) == pytest.approx(0.0, abs=0.5) for row in rows)


def test_a_bad_file_does_not_keep_the_others_from_being_heard(tmp_path: Path) -> None:
    for name in ("a.wav", "c.wav"):
        write_siren(tmp_path / name, 3.0)
    (tmp_path / "b.wav").write_text("no sound")
    done = esc_listen("--input", "a.wav", "b.wav", "c.wav", "--csv", "log.csv", *only_siren(), cwd=tmp_path)
    assert_failed(done, "b.wav", "not a sound file")
    assert [row["source"] for row in rows_of(tmp_path / "log.csv")] == ["a.wav", "c.wav"]


def test_broken_samples_of_every_file_are_in_the_summary(tmp_path: Path) -> None:
    broken = siren(3.0)
    broken[1_000:1_010] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, RATE_HZ, subtype="FLOAT")
    write_siren(tmp_path / "good.wav", 3.0)
    done = esc_listen("--input", "broken.wav", "good.wav", "--no-csv", cwd=tmp_path)
    assert "10 samples were not numbers" in assert_done(done)


def test_duration_stops_a_file(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", recording, "--duration", "2.5", "--no-csv", *only_siren(), cwd=tmp_path)
    assert assert_done(done).startswith("1 event in 2.5 s of sound")


def test_duration_holds_for_all_files_together(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", *[recording] * 3, "--duration", "2.30001", "--no-csv", cwd=tmp_path)
    assert " in 2.3 s of sound" in assert_done(done)


def test_a_folder_with_the_name_of_the_model_is_not_the_model(tmp_path: Path, recording: Path) -> None:
    (tmp_path / "esc50").mkdir()
    assert_done(esc_listen("--input", recording, "--no-csv", cwd=tmp_path))


def test_nothing_is_written_when_a_setting_is_refused(tmp_path: Path, recording: Path) -> None:
    done = esc_listen("--input", recording, "--hop", "9", cwd=tmp_path)
    assert_refused(done, "a hop of 9 s does not fit")
    assert not list(tmp_path.iterdir())


def test_labels_and_threshold_choose_what_becomes_an_event(tmp_path: Path, recording: Path) -> None:
    def heard(*options: str) -> list[dict[str, object]]:
        done = esc_listen("--input", recording, "--json", "--no-csv", *options, cwd=tmp_path)
        assert_done(done)
        return [json.loads(line) for line in done.out_lines]

    threshold = str(siren_threshold())
    assert siren_label() in {event["label"] for event in heard("--threshold", threshold)}
    assert {event["label"] for event in heard(*only_siren())} == {siren_label()}
    both = f"{other_label()}, {siren_label()}"
    assert {event["label"] for event in heard("--labels", both, "--threshold", threshold)} == {siren_label()}
    assert heard("--labels", other_label(), "--threshold", threshold) == []


def test_hop_and_smoothing_are_taken(tmp_path: Path, recording: Path) -> None:
    done = esc_listen(
        "--input", recording, "--no-csv", "--hop", "0.25", "--smoothing", "0", *only_siren(), cwd=tmp_path
    )
    assert assert_done(done).startswith("1 event")


def test_one_channel_can_be_chosen(tmp_path: Path) -> None:
    both = np.stack([silence(3.0), siren(3.0)], axis=1)
    soundfile.write(tmp_path / "right.wav", both, RATE_HZ)
    for channel, events in (("1", 0), ("2", 1)):
        options = ["--input", "right.wav", "--channel", channel, "--no-csv", *only_siren()]
        assert assert_done(esc_listen(*options, cwd=tmp_path)).startswith(f"{events} event")


CONFIGURATION = """
[source]
input = ["siren.wav"]
device = ""
channel = 1
rate_hz = 48000
channels = 2
format = "f32le"
realtime = false
duration_s = 3

[model]
name = "{model}"
threads = 1

[events]
hop_s = 0.5
smoothing_s = 0.25
threshold = {threshold}
min_duration_s = 0.5
hangover_s = 1.0
max_duration_s = 30
labels = ["{label}"]

[log]
csv = "found.csv"
json = true

[screen]
plain = true
refresh_hz = 4
"""


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A folder with a recording and a configuration with every key."""
    write_siren(tmp_path / "siren.wav", 4.0)
    (tmp_path / "all.toml").write_text(
        CONFIGURATION.format(model=shipped_model().name, threshold=siren_threshold(), label=siren_label())
    )
    return tmp_path


def test_a_configuration_holds(configured: Path) -> None:
    done = esc_listen("--config", "all.toml", cwd=configured)
    assert "events go to found.csv" in done.err
    assert assert_done(done).startswith("1 event in 3.0 s of sound")
    assert json.loads(done.out)["label"] == siren_label()
    assert len(rows_of(configured / "found.csv")) == 1


def test_options_win_over_the_configuration(configured: Path) -> None:
    done = esc_listen(
        "--config", "all.toml", "--duration", "2.5", "--csv", "other.csv", "--labels", other_label(),
        cwd=configured,
    )  # fmt: skip
    assert assert_done(done).startswith("0 events in 2.5 s of sound")
    assert (configured / "other.csv").exists()
    assert_done(esc_listen("--config", "all.toml", "--no-csv", cwd=configured))
    assert not (configured / "found.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[source]\nspeed = 1", ["source.speed", "unknown key"]),
        ("[model]\npath = 'x'", ["model.path", "unknown key"]),
        ("[events]\nthresh = 0.5", ["events.thresh", "unknown key"]),
        ("[log]\nxml = true", ["log.xml", "unknown key"]),
        ("[screen]\ncolour = true", ["screen.colour", "unknown key"]),
        ("[sauce]\nhot = true", ["sauce", "unknown key"]),
        ("threshold = 0.5", ["threshold", "unknown key"]),
        ("events = 3", ["events", "expected a table", "3"]),
        ('[source]\ninput = "a.wav"', ["source.input", "expected a list", "a.wav"]),
        ("[source]\ninput = [1]", ["source.input[0]", "expected text"]),
        ("[source]\nrate_hz = 44100.5", ["source.rate_hz", "a whole number", "44100.5"]),
        ('[source]\nformat = "mp3"', ["source.format", "s16le", "mp3"]),
        ('[model]\nthreads = "many"', ["model.threads", "a whole number", "many"]),
        ('[events]\nthreshold = "high"', ["events.threshold", "a number", "high"]),
        ("[events]\nthreshold = true", ["events.threshold", "a number", "true"]),
        ("[log]\njson = 1", ["log.json", "true or false", "1"]),
        ("[log]\ncsv = false", ["log.csv", "text", "false"]),
        ("[screen]\nrefresh_hz = []", ["screen.refresh_hz", "a number", "a list"]),
        ("[events]\nthreshold = 1.5", ["events.threshold", "1.5"]),
        ("[events]\nmax_duration_s = inf", ["events.max_duration_s"]),
        ("[source]\ninput = []", ["source.input"]),
        ("[events\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_line_of_a_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text + "\n")
    status = streamer.cli.main(["--config", str(path), "--input", "nowhere.wav"])
    printed = capsys.readouterr()
    assert_refused(Finished(status, printed.out, printed.err), str(path), *words)


def test_a_wrong_key_through_the_command(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[events]\nthresh = 0.5\n")
    assert_refused(
        esc_listen("--config", "mine.toml", cwd=tmp_path), "mine.toml", "events.thresh", "threshold"
    )
    assert_refused(esc_listen("--config", "nowhere.toml", cwd=tmp_path), "nowhere.toml", "No such file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--loud"],
        ["--input"],
        ["--threshold", "high"],
        ["--threshold", "0"],
        ["--threshold", "1.5"],
        ["--threshold", "nan"],
        ["--hop", "-1"],
        ["--smoothing", "-1"],
        ["--duration", "-1"],
        ["--duration", "inf"],
        ["--rate", "5"],
        ["--channels", "0"],
        ["--channel", "-1"],
        ["--format", "mp3"],
        ["--threads", "0"],
        ["--labels", ""],
        ["--demo", "--input", "a.wav"],
        ["--csv", "a.csv", "--no-csv"],
        ["--input", "mic", "a.wav"],
        ["--input", "a.wav", "-"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        streamer.cli.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "esc-listen: error: " in printed.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_through_the_command(tmp_path: Path) -> None:
    done = esc_listen("--threshold", "1.5", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "usage: esc-listen" in done.err
    assert "--threshold: 1.5" in done.err.splitlines()[-1]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert_refused(esc_listen("--input", "nowhere.wav", cwd=tmp_path), "nowhere.wav")
    done = esc_listen("--input", "nowhere.wav", "--debug", cwd=tmp_path)
    assert done.status == 1
    assert "Traceback (most recent call last)" in done.err
    assert "SourceError: there is no file nowhere.wav" in done.err


def test_an_interruption_at_the_very_start_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(streamer.cli, "run", interrupted)
    try:
        status = streamer.cli.main([])
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C while the program starts would end in a traceback")
    assert status in (0, 1, 128 + signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_what_a_file_in_realtime_has_open(
    tmp_path: Path, in_pieces: list[str], number: int
) -> None:
    path = write_siren(tmp_path / "long.wav", 120.0)
    log = tmp_path / "log.csv"
    with running("--input", path, "--realtime", "--json", "--csv", log, *in_pieces, cwd=tmp_path) as run:
        wait_until(lambda: lines_in(log) >= 2, "the first piece is logged while the sound goes on")
        done = run.finish(number)
    rows = rows_of(log)
    assert assert_done(done).startswith(f"{len(rows)} events in ")
    assert len(rows) >= 2
    assert_touching(rows)
    assert float(rows[-1]["end"]) < 100.0
    assert [str(json.loads(line)["start"]) for line in done.out_lines] == [row["start"] for row in rows]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_what_an_idle_pipe_has_open(
    tmp_path: Path, in_pieces: list[str], number: int
) -> None:
    log = tmp_path / "log.csv"
    reader, writer = os.pipe()
    options = ["--input", "-", "--rate", str(RATE_HZ), "--csv", str(log), *in_pieces]
    with running(*options, cwd=tmp_path, stdin=reader) as run:
        os.close(reader)
        data = pcm(siren(4.0))
        while data:
            data = data[os.write(writer, data) :]
        wait_until(lambda: lines_in(log) >= 4, "three of four pieces are logged")
        done = run.finish(number)
    os.close(writer)
    rows = rows_of(log)
    assert done.status == 0, done
    assert done.err.splitlines()[-1].startswith("4 events in 4.0 s of sound")
    assert len(rows) == 4
    assert_touching(rows)
    for row in rows:
        assert row["source"] == "stdin"
        for column in ("start", "end"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[column])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_pipe_that_never_gave_anything(tmp_path: Path, number: int) -> None:
    reader, writer = os.pipe()
    with running("--input", "-", cwd=tmp_path, stdin=reader) as run:
        wait_until(lambda: "listening to stdin" in run.err, "it listens")
        done = run.finish(number)
    os.close(reader)
    os.close(writer)
    assert assert_done(done).startswith("0 events in 0.0 s of sound")
    assert rows_of(tmp_path / "esc-events.csv") == []


def test_the_end_of_a_pipe_is_the_end(tmp_path: Path) -> None:
    stereo = np.repeat(siren(4.0, 44_100)[:, np.newaxis], 2, axis=1)
    options = ["--input", "-", "--channels", "2", "--format", "f32le", "--json", "--no-csv", *only_siren()]
    done = esc_listen(*options, cwd=tmp_path, stdin=stereo.astype("<f4").tobytes())
    assert assert_done(done).startswith("1 event in 4.0 s of sound")
    assert json.loads(done.out)["duration_s"] == pytest.approx(4.0, abs=0.5)


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, in_pieces: list[str]) -> None:
    path = write_siren(tmp_path / "long.wav", 120.0)
    process = subprocess.Popen(
        [COMMAND, "--input", path, "--realtime", "--json", "--no-csv", *in_pieces],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    json.loads(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    assert_done(Finished(process.wait(PATIENCE_S), "", err))


def test_head_in_a_shell(tmp_path: Path, recording: Path, in_pieces: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$@" | head -n 1', "bash"]
        + [str(item) for item in (COMMAND, "--input", recording, "--json", "--no-csv", *in_pieces)],
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 1
    assert_done(Finished(done.returncode, "", done.stderr.decode()))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_mystery(tmp_path: Path, recording: Path, closed: str) -> None:
    source = "-" if closed == "<&-" else str(recording)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'"$@" {closed}',
            "bash",
            COMMAND,
            "--input",
            source,
            "--csv",
            "log.csv",
            *only_siren(),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    err = done.stderr.decode()
    assert "Traceback" not in err
    assert "something unexpected" not in err
    if closed == "<&-":
        assert done.returncode == 1
    else:
        assert len(rows_of(tmp_path / "log.csv")) == 1


def test_a_terminal_as_raw_samples_is_refused(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running("--input", "-", cwd=tmp_path, stdin=theirs) as run:
        done = run.finish()
    os.close(ours)
    os.close(theirs)
    assert_refused(done, "expects raw PCM from a pipe")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_outside_of_ascii(tmp_path: Path, encoding: str) -> None:
    write_siren(tmp_path / "Möwe 日本.wav", 3.0)
    done = esc_listen(
        "--input", "Möwe 日本.wav", "--json", *only_siren(), cwd=tmp_path,
        environment={"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert_done(done)
    assert json.loads(done.out)["source"] == "Möwe 日本.wav"
    (row,) = rows_of(tmp_path / "esc-events.csv")
    assert row["source"] == "Möwe 日本.wav"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_failure(unbuffered: str) -> None:
    command = [str(COMMAND), "--list-models"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as listing:
        assert listing.stdout
        assert listing.stderr
        listing.stdout.close()  # as `head` and `grep -q` do
        said = listing.stderr.read()
        assert listing.wait(timeout=PATIENCE_S) == 0
    assert said == ""


def test_a_broken_pipe_to_something_else_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise BrokenPipeError(32, "Broken pipe")

    assert streamer.cli.guarded(work, debug=False) == 1
    assert "something unexpected went wrong (BrokenPipeError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--threshold", "7"), ("--rate", "-1"), ("--hop", "-1"), ("--smoothing", "-1"), ("--duration", "-1")],
)
def test_a_wrong_value_is_named_by_the_option_that_gave_it(tmp_path: Path, option: str, value: str) -> None:
    done = esc_listen("--input", "a.wav", option, value, cwd=tmp_path)
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith(f"esc-listen: error: {option}: ")
