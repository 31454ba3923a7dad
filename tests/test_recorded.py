"""Recordings with dates: where they come from, what is said, what is written."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import struct
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import soundfile
from command import Finished, assert_refused, esc_listen
from hypothesis import given
from hypothesis import strategies as st
from sounds import RATE_HZ, only_siren, pcm, siren, write_siren

from streamer.errors import SourceError
from streamer.sinks.csv_log import CsvLog
from streamer.sinks.open_events import OpenEvents
from streamer.sinks.recovery import recovered
from streamer.sinks.row import local_text, unix_s
from streamer.sources.recorded import begin_of, date_in_name, parse_date, time_zone
from streamer.types import Event

AT = datetime(2023, 6, 25, 21, 14, 2)
BERLIN = ZoneInfo("Europe/Berlin")
CENTRAL_EUROPE = "CET-1CEST,M3.5.0,M10.5.0/3"
"""The same for the system, which may have no names of zones."""

EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("20230625_211402.WAV", AT),
        ("24F319046098B1C4_20230625_211402.WAV", AT),
        ("20230625_211402T.WAV", AT),
        ("SITE01_20230625_211402_000.wav", AT),
        ("2023-06-25-birdnet-21:14:02.wav", AT),
        ("2023-06-25-birdnet-RTSP_1-21:14:02.wav", AT),
        ("Amsel-87-2023-06-25-birdnet-21:14:02.mp3", AT),
        ("2023-06-25T21:14:02.wav", AT),
        ("2023-06-25T21:14:02.250Z.flac", AT.replace(microsecond=250_000, tzinfo=UTC)),
        ("20230625T211402+0200_REC.flac", AT.replace(tzinfo=EAST)),
        ("2023-06-25 21-14-02.m4a", AT),
        ("2023-06-25_21.14.wav", AT.replace(second=0)),
        ("garden 2023.06.25 21.14.02 (2)", AT),
        ("20230625_211402-0001.wav", AT),
        ("649894DA.WAV", datetime.fromtimestamp(0x649894DA, UTC)),
        ("649894DA.mp3", None),
        ("20230625.WAV", None),
        ("20230625_991402.WAV", None),
        ("20231325_211402.WAV", None),
        ("garden.wav", None),
        ("120230625_2114021.wav", None),
    ],
)
def test_the_date_in_a_name(name: str, at: datetime | None) -> None:
    found = date_in_name(name)
    assert found == at
    assert at is None or (found is not None and found.tzinfo == at.tzinfo)


def wav_with(path: Path, *chunks: tuple[bytes, bytes], at_the_end: bool = False) -> Path:
    """A second of sound with further chunks."""
    soundfile.write(path, siren(1.0), RATE_HZ, subtype="PCM_16")
    data = path.read_bytes()
    more = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )
    body = data[12:] + more if at_the_end else data[12:36] + more + data[36:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    return path


GUANO = b"GUANO|Version: 1.0\nMake: Wildlife\nTimestamp: 2023-06-25T21:14:02+02:00\n"
BEXT = (
    b"garden".ljust(256, b"\0")
    + b"recorder".ljust(32, b"\0")
    + bytes(32)
    + b"2023-06-2521:14:02"
    + bytes(264)
)
COMMENT = (
    b"INFOICMT\x60\0\0\0Recorded at 21:14:02 25/06/2023 (UTC+2) by AudioMoth 24F319046098B1C4 at medium gain"
)


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize(
    ("name", "chunk", "at", "how"),
    [
        ("garden.wav", (b"guan", GUANO), AT.replace(tzinfo=EAST), "GUANO"),
        ("garden.wav", (b"bext", BEXT), AT.replace(tzinfo=BERLIN), "bext"),
        ("garden.wav", (b"LIST", COMMENT), AT.replace(tzinfo=EAST), "comment"),
        # The same time as in the name, with its zone.
        ("20230625_211402.WAV", (b"LIST", COMMENT), AT.replace(tzinfo=EAST), "its name and its comment"),
        # A part of a recording, cut out and renamed.
        ("20230625_231402.WAV", (b"guan", GUANO), AT.replace(hour=23, tzinfo=BERLIN), "its name, time zone"),
    ],
)
def test_the_date_in_a_file(
    tmp_path: Path, name: str, chunk: tuple[bytes, bytes], at: datetime, how: str, at_the_end: bool
) -> None:
    path = wav_with(tmp_path / name, chunk, at_the_end=at_the_end)
    begin = begin_of(str(path), "name", BERLIN, 1.0)
    assert begin.at == at
    assert how in begin.how


@pytest.mark.parametrize(
    "chunk", [(b"guan", b"Timestamp: soon"), (b"bext", b"short"), (b"LIST", b""), (b"guan", b"\xff" * 99)]
)
def test_nonsense_in_a_file_is_no_date(tmp_path: Path, chunk: tuple[bytes, bytes]) -> None:
    path = wav_with(tmp_path / "garden.wav", chunk)
    with pytest.raises(SourceError, match="neither its name nor what is written in it says when it began"):
        begin_of(str(path), "name", None, 1.0)


def test_the_last_change_is_the_end(tmp_path: Path) -> None:
    path = wav_with(tmp_path / "garden.wav")
    os.utime(path, (1.7e9, 1.7e9))
    assert begin_of(str(path), "mtime", None, 60.0).unix_s == 1.7e9 - 60.0
    with pytest.raises(SourceError, match="its length is not known"):
        begin_of(str(path), "mtime", None, None)


@pytest.mark.parametrize(
    ("text", "unix"),
    [
        ("2023-06-25T21:14:02Z", 1687727642.0),
        ("2023-06-25 21:14:02+02:00", 1687720442.0),
        ("2023-06-25T21:14:02", 1687720442.0),
        ("20230625_211402", 1687720442.0),
        ("2023-06-25", 1687644000.0),
    ],
)
def test_a_date_as_people_write_it(text: str, unix: float) -> None:
    assert parse_date(text, BERLIN).timestamp() == unix


@pytest.mark.parametrize("text", ["soon", "21:14", "0001-01-01", "9999-12-31T23:59:59", ""])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no date|too far"):
        parse_date(text, None)


@pytest.mark.parametrize("text", ["Europe/Nowhere", "../etc/passwd", "+99:00", "CET/"])
def test_what_is_no_time_zone(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        time_zone(text)


@pytest.mark.parametrize(("text", "hours"), [("UTC", 0), ("+02:00", 2), ("-0330", -3.5), ("UTC+2", 2)])
def test_time_zones_without_a_name(text: str, hours: float) -> None:
    zone = time_zone(text)
    assert zone is not None
    assert zone.utcoffset(None) == timedelta(hours=hours)


def test_local_time_keeps_the_moment() -> None:
    twice = 1698537600.0, 1698541200.0  # an hour apart, at the same time of day: summer ends
    for moment in (1687720442.125, *twice):
        assert unix_s(local_text(moment, BERLIN)) == moment
    assert local_text(1687720442.125, BERLIN) == "2023-06-25T21:14:02.125+02:00"
    assert len({local_text(moment, BERLIN)[:19] for moment in twice}) == 1


@given(st.text(alphabet="0123456789-_:.TZ +abcdefABCDEF", max_size=40))
def test_any_name_has_a_date_or_none(name: str) -> None:
    found = date_in_name(f"{name}.wav")
    assert found is None or 1900 <= found.year < 2100


@given(st.sampled_from([b"guan", b"bext", b"LIST", b"ds64", b"data"]), st.binary(max_size=400))
def test_any_bytes_in_a_file_are_a_date_or_none(name: bytes, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "garden.wav"
        for body in (content, name + struct.pack("<I", len(content)) + content, name + content):
            path.write_bytes(b"RIFF\0\0\0\0WAVE" + body)
            with contextlib.suppress(SourceError):
                begin_of(str(path), "name", BERLIN, 1.0)


def test_a_row_of_another_time_zone_is_not_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    event = Event("dog", 1.7e9, 1.7e9 + 2.0, 0.9, 0.8, "microphone", "esc50", live=True)
    csv_log, listed = CsvLog(path), OpenEvents(path)
    listed.put(1, event, csv_log.size, over=True)
    listed.save()
    csv_log.write(event)
    csv_log.close()
    listed.close()
    csv_log, listed = CsvLog(path, date=partial(local_text, zone=BERLIN)), OpenEvents(path)
    assert [found.kind for found in recovered(csv_log, listed)] == [""]
    csv_log.close()
    listed.close()


# --- as a whole ---


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as log:
        return list(csv.DictReader(log))


def heard(*options: str, cwd: Path, stdin: bytes = b"", zone: str = CENTRAL_EUROPE) -> Finished:
    done = esc_listen(*options, *only_siren(), cwd=cwd, stdin=stdin, environment={"TZ": zone})
    assert done.status == 0, done
    return done


def test_a_recording_is_dated_by_its_name(tmp_path: Path) -> None:
    write_siren(tmp_path / "20230625_211402.WAV", 4.0)
    done = heard("--input", "20230625_211402.WAV", "--start", "name", cwd=tmp_path)
    assert (
        "20230625_211402.WAV began at 2023-06-25T21:14:02+02:00 (its name, time zone of this system)"
        in done.err
    )
    (row,) = rows_of(tmp_path / "esc-events.csv")
    assert row["start"].startswith("2023-06-25T19:14:0")
    assert row["start"].endswith("Z")
    assert row["source"] == "20230625_211402.WAV"
    heard("--input", "20230625_211402.WAV", "--start", "name", "--time-zone", "UTC", cwd=tmp_path)
    assert rows_of(tmp_path / "esc-events.csv")[1]["start"].startswith("2023-06-25T21:14:0")


def test_several_recordings_are_dated_each_by_its_own(tmp_path: Path) -> None:
    names = ["20230625_211402.WAV", "20230626_030000.WAV", "garden.wav"]
    for name in names:
        write_siren(tmp_path / name, 4.0)
    done = esc_listen("--input", *names, "--start", "name", "--json", *only_siren(), cwd=tmp_path)
    assert done.status == 1
    (complaint,) = done.complaints
    assert "garden.wav cannot be dated" in complaint
    assert [json.loads(line)["source"] for line in done.out_lines] == names[:2]


def test_a_recording_without_a_date_is_refused(tmp_path: Path) -> None:
    write_siren(tmp_path / "garden.wav", 4.0)
    done = esc_listen("--input", "garden.wav", "--start", "name", cwd=tmp_path)
    assert_refused(done, "garden.wav cannot be dated", "--start mtime")
    assert not (tmp_path / "esc-events.csv").exists()


def test_a_recording_in_a_pipe_is_dated(tmp_path: Path) -> None:
    options = ["--input", "-", "--rate", str(RATE_HZ), "--start", "2026-11-21T08:31:02Z"]
    sound = np.concatenate([np.zeros(10 * RATE_HZ, np.float32), siren(4.0)])
    done = heard(*options, cwd=tmp_path, stdin=pcm(sound))
    assert "standard input began at 2026-11-21T08:31:02+00:00" in done.err
    (row,) = rows_of(tmp_path / "esc-events.csv")
    assert row["start"].startswith("2026-11-21T08:31:1")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--start", "name"], "a microphone dates"),
        (["--input", "-", "--start", "name"], "standard input has no name"),
        (["--input", "-", "--start", "2026-11-21", "--live"], "contradict each other"),
        (["--input", "a.wav", "b.wav", "--start", "2026-11-21"], "one date fits one recording"),
        (["--input", "a.wav", "--live"], "--input - only"),
        (["--input", "a.wav", "--start", "soon"], "no date"),
        (["--input", "a.wav", "--time-zone", "Nowhere"], "no time zone"),
        (["--demo", "--start", "name"], "brings its own sound"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(tmp_path: Path, options: list[str], says: str) -> None:
    done = esc_listen(*options, cwd=tmp_path)
    assert done.status == 2
    assert says in done.err
    assert list(tmp_path.iterdir()) == []


def test_local_time_has_its_distance_from_utc(tmp_path: Path) -> None:
    write_siren(tmp_path / "a.wav", 4.0)
    options = ["--input", "a.wav", "--start", "2026-11-21T23:59:58Z", "--local-time", "--json"]
    done = heard(*options, cwd=tmp_path)
    (row,) = rows_of(tmp_path / "esc-events.csv")
    assert row["start"].startswith("2026-11-22T00:59:5")
    assert row["start"].endswith("+01:00")
    assert json.loads(done.out)["start"] == row["start"]
    options = ["--input", "a.wav", "--start", "2026-11-21T12:00:00Z", "--time-zone", "+05:30", "--local-time"]
    done = heard(*options, cwd=tmp_path)
    assert rows_of(tmp_path / "esc-events.csv")[1]["start"].startswith("2026-11-21T17:3")
    assert done.out.startswith("17:3")


def test_the_local_day_is_the_one_that_rotates(tmp_path: Path) -> None:
    write_siren(tmp_path / "a.wav", 4.0)
    options = ["--input", "a.wav", "--rotate", "daily", "--start"]
    for start in ("2026-11-21T22:00:00Z", "2026-11-21T23:30:00Z", "2026-11-22T00:30:00Z"):
        heard(*options, start, "--local-time", "--csv", "local.csv", cwd=tmp_path)
        heard(*options, start, "--csv", "utc.csv", cwd=tmp_path)
    assert {path.name: len(rows_of(path)) for path in tmp_path.glob("*.csv")} == {
        "local.2026-11-21.csv": 1,
        "local.csv": 2,
        "utc.2026-11-21.csv": 2,
        "utc.csv": 1,
    }
