"""No kill makes an event disappear that was announced: real processes, and what a start makes of it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import kills
import pytest
from command import PATIENCE_S, esc_listen, running, wait_until
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from logs import EVENT, HEADER, ROW, event_log, kinds_in, labels_in, later
from sounds import RATE_HZ, only_siren, pcm, siren

from streamer.journal import read_journal
from streamer.sinks import CsvLog, OpenEvents
from streamer.sinks import event_log as event_log_module
from streamer.types import Event


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[kills.Seen]]:
    """A log after so many kills as ESC_KILLS says, 30 by default."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, kills.kill_rounds(folder, int(os.environ.get("ESC_KILLS", "30")), seed=6)


def test_no_kill_makes_an_event_disappear(killed: tuple[Path, list[kills.Seen]]) -> None:
    folder, everything = killed
    assert kills.problems_in(folder, everything) == []
    # It has been a test at all: things came out, were on the screen, and were cut short.
    assert sum(len(seen.published) for seen in everything) > len(everything)
    assert sum(seen.left_open for seen in everything) > len(everything) / 4
    assert "interrupted" in kinds_in(folder / "events.journal.jsonl")
    for seen in everything:
        assert "Traceback" not in seen.said
        assert "cannot" not in seen.said


Change = tuple[str, str]


def spoil(folder: Path, everything: list[kills.Seen], how: str) -> None:
    """Make a log lie."""
    logs = kills.logs_of(folder)
    whole = next(path for path in logs if path.read_bytes().count(b"\n") > 3)
    lines = whole.read_bytes().splitlines(keepends=True)
    journal = folder / "events.journal.jsonl"
    entries = journal.read_bytes().splitlines(keepends=True)
    if how == "a published row is gone":
        event = next(seen.published[0] for seen in everything if seen.published)
        lost = ",".join(str(value) for value in event.values()).encode() + b"\n"
        for path in logs:
            path.write_bytes(path.read_bytes().replace(lost, b""))
    elif how == "an interrupted row is gone":
        row = next(e["row"] for e in map(json.loads, entries) if e["kind"] == "interrupted")
        gone = ",".join(str(value) for value in row.values()).encode() + b"\n"
        for path in logs:
            path.write_bytes(path.read_bytes().replace(gone, b""))
    elif how == "a shown event is gone":
        everything[0].shown.add(("unicorn", "00:00:00"))
    elif how == "a row is there twice":
        whole.write_bytes(b"".join([*lines, lines[-1]]))
    elif how == "a row is torn":
        whole.write_bytes(b"".join(lines)[:-3])
    elif how == "a row has lost a field":
        whole.write_bytes(b"".join([*lines[:-1], lines[-1].partition(b",")[2]]))
    elif how == "the header is gone":
        whole.write_bytes(b"".join(lines[1:]))
    elif how == "a row ends before it begins":
        fields = lines[-1].split(b",")
        whole.write_bytes(b"".join([*lines[:-1], b",".join([fields[1], fields[0], *fields[2:]])]))
    elif how == "a row that nobody heard":
        whole.write_bytes(b"".join([*lines, ROW]))
    elif how == "the order is wrong":
        for path in logs:
            head, *rows = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join([head, *reversed(rows)]))
    elif how == "a start is missing in the journal":
        process = next(seen.process for seen in everything if seen.published)
        journal.write_bytes(b"".join(x for x in entries if b'"process": %d,' % process not in x))
    elif how == "an exit that nobody saw":
        journal.write_bytes(b"".join([entries[0], entries[-1], *entries[1:]]))
    elif how == "a torn journal":
        journal.write_bytes(b"".join(entries)[:-9])
    elif how == "the list is left over":
        (folder / "events.csv.open").touch()
    else:
        raise ValueError(how)


SPOILT = {
    "a published row is gone": "published, but not in the log",
    "an interrupted row is gone": "by the journal, but not in the log",
    "a shown event is gone": "shown, but not in the log",
    "a row is there twice": "written twice",
    "a row is torn": "ends in the middle of a line",
    "a row has lost a field": "has a broken row",
    "the header is gone": "has no header",
    "a row ends before it begins": "wrong times",
    "a row that nobody heard": "nobody heard",
    "the order is wrong": "in that order",
    "a start is missing in the journal": "0 starts of round",
    "an exit that nobody saw": "exits in the journal",
    "a torn journal": "a broken line in the journal",
    "the list is left over": "the list of open events is still there",
}


@pytest.mark.parametrize("how", SPOILT)
def test_the_check_finds_what_is_wrong(
    tmp_path: Path, killed: tuple[Path, list[kills.Seen]], how: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(killed[0], folder)
    everything = [replace(seen, shown=set(seen.shown)) for seen in killed[1]]
    spoil(folder, everything, how)
    problems = kills.problems_in(folder, everything)
    assert any(SPOILT[how] in problem for problem in problems), problems


def put_down_s(listed: Path) -> float:
    """How long the event that goes on has lasted, as the next start would find it."""
    whole, _, _ = listed.read_text().rpartition("\n") if listed.exists() else ("", "", "")
    opened = [entry["open"] for entry in map(json.loads, whole.splitlines()) if "open" in entry]
    return opened[-1]["end_s"] - opened[-1]["start_s"] if opened else 0.0


def has_lasted(listed: Path, seconds: float) -> bool:
    return put_down_s(listed) > seconds


def test_when_an_event_was_last_heard_is_known_to_a_second(tmp_path: Path) -> None:
    listed = tmp_path / "log.csv.open"
    with event_log(tmp_path / "log.csv") as log:
        for lasted_s in (2.0, 3.1, 4.2):
            log.going_on([replace(EVENT, end_s=EVENT.start_s + lasted_s)])
            wait_until(partial(has_lasted, listed, lasted_s - 0.1), f"{lasted_s} s")


def test_the_next_start_writes_what_was_going_on(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    options = ["--input", "-", "--live", "--rate", str(RATE_HZ), "--csv", "log.csv", *only_siren()]
    with running(*options, cwd=tmp_path, stdin=reader) as run:
        os.close(reader)
        data = pcm(siren(20.0))
        while data:
            data = data[os.write(writer, data) :]
        listed = tmp_path / "log.csv.open"
        wait_until(lambda: put_down_s(listed) > 18.0, "it was put down again")
        run.process.kill()
        run.process.wait(PATIENCE_S)
    os.close(writer)
    assert labels_in(tmp_path / "log.csv") == []
    done = esc_listen(*options, cwd=tmp_path, stdin=pcm(siren(0.5)))
    assert "1 event was without a row when esc-listen last ended; it is written to log.csv now" in done.err
    with (tmp_path / "log.csv").open() as rows:
        first, *_ = csv.DictReader(rows)
    assert 18.0 < float(first["duration_s"]) <= 20.5
    (entry,) = (e for e in read_journal(tmp_path / "log.journal.jsonl") if e["kind"] == "interrupted")
    assert [str(value) for value in entry["row"].values()] == list(first.values())
    assert [e["after"] for e in read_journal(tmp_path / "log.journal.jsonl") if e["kind"] == "start"] == [
        "nothing",
        "no exit",
    ]
    assert not listed.exists()


def left_by_a_kill(path: Path, *lines: dict[str, object], rows: bytes = b"") -> None:
    """A log and its list of open events, as a process that was killed has left them."""
    path.write_bytes(HEADER + rows)
    header = {"esc-listen": "open events", "format": 1}
    text = "".join(json.dumps(line) + "\n" for line in (header, *lines))
    path.with_name(f"{path.name}.open").write_text(text)


def entry(number: int, kind: str, event: Event, at: int = len(HEADER)) -> dict[str, object]:
    """A line of the list."""
    values = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return {"number": number, kind: values, "at": at}


def test_an_event_that_was_over_is_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    left_by_a_kill(path, entry(1, "open", EVENT), entry(1, "over", EVENT))
    with event_log(path):
        pass
    assert path.read_bytes() == HEADER + ROW
    assert "restored" in kinds_in(tmp_path / "log.journal.jsonl")


def test_an_event_that_has_its_row_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    left_by_a_kill(path, entry(1, "open", EVENT), entry(1, "over", EVENT), rows=ROW)
    with event_log(path):
        pass
    assert path.read_bytes() == HEADER + ROW


def test_the_same_row_of_before_does_not_stand_for_it(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    left_by_a_kill(path, entry(1, "over", EVENT, len(HEADER + ROW)), rows=ROW)
    with event_log(path):
        pass
    assert path.read_bytes() == HEADER + ROW + ROW


def test_a_torn_row_of_an_event_that_was_over_is_written_whole(tmp_path: Path) -> None:
    for cut in range(1, len(ROW)):
        path = tmp_path / f"{cut}.csv"
        left_by_a_kill(path, entry(1, "over", EVENT, len(HEADER + ROW)), rows=ROW + ROW[:-cut])
        with event_log(path, journal=""):
            pass
        assert path.read_bytes() == HEADER + ROW + ROW, cut


def test_after_a_power_cut_the_list_may_be_older_than_the_log(tmp_path: Path) -> None:
    """The row is on the disk, but not that it was taken from the list."""
    path = tmp_path / "log.csv"
    as_announced = replace(EVENT, start_s=EVENT.start_s + 0.1, end_s=EVENT.end_s - 2, confidence=0.5)
    left_by_a_kill(path, entry(1, "open", as_announced), rows=ROW)
    with event_log(path):
        pass
    assert path.read_bytes() == HEADER + ROW


def test_an_older_row_of_that_time_does_not_stand_for_it(tmp_path: Path) -> None:
    """A clock without a battery gives the same dates after every boot."""
    path = tmp_path / "log.csv"
    left_by_a_kill(path, entry(1, "open", EVENT, len(HEADER + ROW)), rows=ROW)
    with event_log(path):
        pass
    assert labels_in(path) == ["dog", "dog"]


def test_a_kill_while_that_is_written_writes_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    interrupted = replace(EVENT, note="interrupted")
    left_by_a_kill(path, entry(1, "open", EVENT), entry(1, "over", interrupted), rows=ROW)
    with event_log(path):
        pass
    assert path.read_bytes() == HEADER + ROW


def test_a_column_for_notes_says_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with event_log(path, note_column=True):
        pass
    header = path.read_bytes()
    left_by_a_kill(path, entry(1, "open", EVENT), entry(2, "over", later(EVENT, 9)))
    path.write_bytes(header)
    with event_log(path):
        pass
    with path.open() as rows:
        assert [row["note"] for row in csv.DictReader(rows)] == ["", "interrupted"]


odd_events = st.builds(
    replace, st.just(EVENT), label=st.text(max_size=5), end_s=st.floats(), source=st.text(max_size=9)
)
lines_of_a_list = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda number, kind, event: json.dumps(entry(number, kind, event)).encode(),
            st.integers(-3, 3),
            st.sampled_from(["open", "over", "what"]),
            odd_events,
        ),
        st.builds(lambda number: b'{"number": %d}' % number, st.integers(-3, 10**30)),
        st.just(b'{"number": 1, "open": {}, "at": 0}'),
        st.just(b'{"number": 1, "over": 7, "at": -1}'),
        st.just(b"[" * 3_000),
    ),
    max_size=6,
)


@hypothesis_settings(max_examples=150)
@given(lines=lines_of_a_list, cut=st.integers(0, 60), whole=st.booleans())
def test_whatever_stands_in_the_list_a_start_gives_a_whole_log(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cut: int, whole: bool
) -> None:
    path = tmp_path_factory.mktemp("list") / "log.csv"
    left_by_a_kill(path, rows=ROW)
    listed = path.with_name("log.csv.open")
    data = listed.read_bytes() + b"\n".join(lines)
    listed.write_bytes(data if whole else data[: len(data) - cut])
    with event_log(path, journal="") as log:
        log.write(later(EVENT, 60)).wait()
        assert log.error is None
    assert labels_in(path)[:1] == ["dog"]
    assert labels_in(path)[-1] == "dog"
    assert not listed.exists()


def test_nothing_is_shown_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    save = OpenEvents.save

    def held_save(self: OpenEvents, durable: bool = False) -> None:
        if durable:
            held.wait(PATIENCE_S)
        save(self, durable)

    monkeypatch.setattr(OpenEvents, "save", held_save)
    monkeypatch.setattr(event_log_module, "PATIENCE_S", PATIENCE_S)
    with event_log(tmp_path / "log.csv") as log:
        log.going_on([EVENT])
        time.sleep(0.2)
        assert not log.announced("dog", EVENT.start_s)
        held.set()
        wait_until(lambda: log.announced("dog", EVENT.start_s), "it may be shown")
        assert b'"open"' in (tmp_path / "log.csv.open").read_bytes()
        # Neither another sound nor the next piece of this one is meant.
        assert not log.announced("cat", EVENT.start_s)
        assert not log.announced("dog", EVENT.end_s)


def test_a_published_event_is_in_the_log_already(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with event_log(path) as log:
        for number in range(20):
            log.write(later(EVENT, 10 * number)).wait()
            assert len(labels_in(path)) == number + 1


def test_a_disk_that_hangs_stalls_neither_hearing_nor_showing_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, go = threading.Event(), threading.Event()

    def hang(self: CsvLog, event: Event) -> None:
        hanging.set()
        go.wait(PATIENCE_S)

    monkeypatch.setattr(CsvLog, "append", hang)
    with event_log(tmp_path / "log.csv") as log:
        first = log.write(EVENT)
        assert hanging.wait(PATIENCE_S)
        began = time.monotonic()
        for number in range(2_000):
            log.going_on([replace(EVENT, label="cat", end_s=EVENT.end_s + number)])
            log.write(later(EVENT, number))
        assert time.monotonic() - began < 1.0
        assert log.dropped == 2_001 - 1_000
        first.wait()
        assert time.monotonic() - began < 3.0
        wait_until(lambda: log.announced("cat", EVENT.start_s), "it is shown all the same")
        assert time.monotonic() - began < 4.0
        assert log.complaint == "the disk does not answer, 1000 rows wait"
        began = time.monotonic()
        log.close()
        assert time.monotonic() - began < 2.0
        go.set()
