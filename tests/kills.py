"""Kills `esc-listen` again and again, and checks that its CSV and journal tell the truth afterwards.

A round is a real process that hears a scene through a pipe, faster than it happens, and is killed with
SIGKILL at a random moment, also while it starts and repairs what the round before has left. It has two
witnesses: the JSON lines that came out of it, and what a dashboard would have shown. After the last
round it runs once more and ends by itself; then everything that was ever seen must be in the CSV.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from streamer.demo import scene
from streamer.journal import read_journal
from streamer.sinks.row import COLUMNS, unix_s

RATE_HZ = 22_050
CHUNK_S = 0.2
SPEED = 40.0
"""Seconds of sound a second."""

STARTING_S = 0.25
"""About what it takes to load the model and open the log."""

LOG = "events.csv"
PATIENCE_S = 60.0

Row = dict[str, str]


@dataclass
class Seen:
    """What the witnesses of a round saw."""

    name: str
    """The source of its rows."""

    killed: bool
    process: int = 0
    published: list[dict[str, object]] = field(default_factory=list)
    """Lines of JSON, as they came out."""

    shown: set[tuple[str, str]] = field(default_factory=set)
    """Label and local time of day of every event that was on the screen."""

    shown_last: set[tuple[str, str]] = field(default_factory=set)
    """Those that were going on when the screen was last seen."""

    left_open: int = 0
    """Events on the list of open ones after the kill."""

    said: str = ""


@cache
def sound() -> bytes:
    """The scene of the demo as raw samples."""
    return np.rint(np.clip(scene(RATE_HZ), -1, 1) * 32_767).astype("<i2").tobytes()


class Round:
    """One process, from its start to its end."""

    def __init__(self, folder: Path, name: str, options: list[str]) -> None:
        self.seen = Seen(name, killed=True)
        self._folder = folder
        go, self._go = os.pipe()
        witness, writer = os.pipe()
        self._said = (folder / f"{name}.txt").open("w+b")
        self._process = subprocess.Popen(
            [
                *(sys.executable, str(Path(__file__).with_name("watched.py"))),
                *(str(go), str(writer), name),
                *(
                    "--input",
                    "-",
                    "--start",
                    datetime.now(UTC).isoformat(),
                    "--rate",
                    str(RATE_HZ),
                    "--json",
                    "--csv",
                    LOG,
                    *options,
                ),
            ],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            pass_fds=(go, writer),
        )
        self.seen.process = self._process.pid
        os.close(go)
        os.close(writer)
        assert self._process.stdout is not None
        self._ready = threading.Event()
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout.fileno(), self._take_json)),
            threading.Thread(target=self._read, args=(witness, self._take_shown)),
        ]
        self._witness = witness
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(descriptor: int, take: Callable[[bytes], None]) -> None:
        rest = b""
        while data := os.read(descriptor, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                take(line)

    def _take_json(self, line: bytes) -> None:
        self.seen.published.append(json.loads(line))

    def _take_shown(self, line: bytes) -> None:
        told = json.loads(line)
        if "ready" in told:
            self._ready.set()
            return
        self.seen.shown.update((label, starts_at) for label, starts_at, _ in told["new"])
        self.seen.shown_last = {(label, starts_at) for label, starts_at, _ in told["going_on"]}

    def go(self, feed_s: float) -> None:
        """Let it begin as soon as it can, and play the scene to it for so long."""
        assert self._ready.wait(PATIENCE_S)
        os.write(self._go, b"g")
        os.close(self._go)
        self._feeder = threading.Thread(target=self._feed, args=(feed_s,), daemon=True)
        self._feeder.start()

    def _feed(self, seconds: float) -> None:
        assert self._process.stdin is not None
        data, size = sound(), round(CHUNK_S * RATE_HZ) * 2
        began, fed = time.monotonic(), 0
        try:
            while time.monotonic() - began < seconds:
                at = fed * size % (len(data) - size)
                os.write(self._process.stdin.fileno(), data[at:][:size])
                fed += 1
                time.sleep(max(0.0, began + fed * CHUNK_S / SPEED - time.monotonic()))
        except BrokenPipeError:
            pass

    def wait_until_it_listens(self) -> None:
        """Wait for the note that says so."""
        until = time.monotonic() + PATIENCE_S
        while b"began at" not in Path(self._said.name).read_bytes():
            assert time.monotonic() < until, "it does not begin to listen"
            time.sleep(0.005)

    def kill(self) -> Seen:
        """End it at once."""
        self._process.kill()
        return self._end()

    def finish(self) -> Seen:
        """Let it come to its end."""
        assert self._process.stdin is not None
        self._feeder.join(PATIENCE_S)
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self.seen.killed = False
        return self._end()

    def _end(self) -> Seen:
        self._process.wait(PATIENCE_S)
        for reader in (*self._readers, self._feeder):
            reader.join(PATIENCE_S)
        os.close(self._witness)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._said.seek(0)
        self.seen.said = self._said.read().decode()
        self._said.close()
        listed = self._folder / f"{LOG}.open"
        self.seen.left_open = len(_still_open(listed.read_bytes())) if listed.exists() else 0
        return self.seen


def _still_open(data: bytes) -> set[int]:
    numbers: set[int] = set()
    for line in data.splitlines()[1:]:
        entry = json.loads(line)
        if len(entry) > 1:
            numbers.add(entry["number"])
        else:
            numbers.discard(entry["number"])
    return numbers


def kill_rounds(
    folder: Path,
    rounds: int,
    seed: int,
    longest_s: float = 0.8,
    tell: Callable[[Seen], None] = lambda _: None,
) -> list[Seen]:
    """Run and kill so many processes on one log, and one that ends by itself."""
    dice = random.Random(seed)
    everything: list[Seen] = []
    following = Round(folder, "round 0", _options(folder, dice))
    for number in range(rounds):
        now, following = following, Round(folder, f"round {number + 1}", _options(folder, dice))
        now.go(feed_s=PATIENCE_S)
        # One in five is killed while it starts: while it reads, repairs and writes what was left.
        if dice.random() < 0.2:
            time.sleep(dice.uniform(0.0, STARTING_S))
        else:
            now.wait_until_it_listens()
            time.sleep(dice.uniform(0.0, longest_s))
        everything.append(now.kill())
        tell(everything[-1])
    following.go(feed_s=0.3)
    everything.append(following.finish())
    tell(everything[-1])
    return everything


def _options(folder: Path, dice: random.Random) -> list[str]:
    """Short pieces or long sounds, one file or many."""
    longest_s = dice.choice([1, 4, 60])
    path = folder / f"pieces-{longest_s}.toml"
    path.write_text(f"[events]\nmax_duration_s = {longest_s}\n")
    rotate = dice.choice([[], [], ["--rotate", "2kB"]])
    return ["--threshold", "0.2", "--config", str(path), *rotate]


# --- the check ---


def logs_of(folder: Path) -> list[Path]:
    """The log and those before it, oldest first."""

    def order(path: Path) -> tuple[str, int]:
        _, _, rest = path.stem.partition(".")
        return (rest[:10], int(rest[11:] or 1)) if rest else ("9", 0)

    return sorted(folder.glob("events*.csv"), key=order)


def rows_of(path: Path, problems: list[str]) -> list[Row]:
    """Rows of a log, which must be whole."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        problems.append(f"{path.name} ends in the middle of a line")
    try:
        lines = list(csv.reader(data.decode("utf-8").splitlines(keepends=True), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return []
    if not lines or tuple(lines[0]) != COLUMNS:
        problems.append(f"{path.name} has no header")
        return []
    rows = []
    for fields in lines[1:]:
        if len(fields) != len(COLUMNS) or "" in fields:
            problems.append(f"{path.name} has a broken row: {fields}")
            continue
        row = dict(zip(COLUMNS, fields, strict=True))
        begin, end = unix_s(row["start"]), unix_s(row["end"])
        if begin is None or end is None or begin >= end:
            problems.append(f"{path.name} has a row with wrong times: {fields}")
        rows.append(row)
    return rows


def problems_in(folder: Path, everything: list[Seen]) -> list[str]:
    """What is wrong with the log, given all that was seen; nothing, if it can be trusted."""
    problems: list[str] = []
    rows = [row for path in logs_of(folder) for row in rows_of(path, problems)]
    entries = _journal(folder, problems)
    of_round = {seen.name: [row for row in rows if row["source"] == seen.name] for seen in everything}
    for seen in everything:
        problems += _missing(seen, of_round[seen.name])
        problems += _twice(seen.name, of_round[seen.name])
    for row in rows:
        if row["source"] not in of_round:
            problems.append(f"nobody heard {row}")
    problems += _wrong_marks(everything, of_round, entries)
    problems += _wrong_starts(everything, entries)
    if (folder / f"{LOG}.open").exists():
        problems.append("the list of open events is still there after a clean end")
    return problems


def _journal(folder: Path, problems: list[str]) -> list[dict[str, object]]:
    path = folder / "events.journal.jsonl"
    for line in path.read_bytes().splitlines():
        try:
            json.loads(line)
        except ValueError:
            problems.append(f"a broken line in the journal: {line[:80]!r}")
    return list(read_journal(path))


def _missing(seen: Seen, rows: list[Row]) -> Iterator[str]:
    """Published events must be there as they were, and in that order; shown ones in whatever length."""
    written = [tuple(row.values()) for row in rows]
    at = -1
    for line in seen.published:
        wanted = tuple(str(value) for value in line.values())
        try:
            at = written.index(wanted, at + 1)
        except ValueError:
            yield f"published, but not in the log{' in that order' if wanted in written else ''}: {line}"
    for label, starts_at in sorted(seen.shown):
        own = [row for row in rows if row["label"] == label]
        found = any(_same_time(row["start"], starts_at) for row in own)
        # The last piece of a long sound may turn out to be nothing: then it has vanished from the screen.
        vanished = (label, starts_at) not in seen.shown_last
        if not found and not (vanished and any(_same_time(row["end"], starts_at) for row in own)):
            yield f"shown, but not in the log: {label} at {starts_at} in {seen.name}"


def _same_time(date: str, starts_at: str) -> bool:
    """Same local time of day, give or take a second: the estimate moves a little to the end."""
    date_s = unix_s(date)
    return date_s is not None and any(
        datetime.fromtimestamp(date_s + by_s).strftime("%H:%M:%S") == starts_at for by_s in (-1.0, 0.0, 1.0)
    )


def _twice(name: str, rows: list[Row]) -> Iterator[str]:
    """Sounds of one label cannot overlap."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        begin, end = unix_s(row["start"]), unix_s(row["end"])
        if begin is not None and end is not None:
            spans.setdefault(row["label"], []).append((begin, end))
    for label, found in spans.items():
        found.sort()
        for (_, end), (begin, _) in itertools.pairwise(found):
            if begin < end - 0.002:
                yield f"written twice: {label} in {name}, {end - begin:.3f} s of it"


def _wrong_marks(
    everything: list[Seen], of_round: dict[str, list[Row]], entries: list[dict[str, object]]
) -> Iterator[str]:
    """What the journal calls interrupted is in the log; what ended by itself or was published is not."""
    killed = {seen.name for seen in everything if seen.killed}
    published = {
        tuple(str(value) for value in line.values()) for seen in everything for line in seen.published
    }
    for entry in entries:
        if entry["kind"] not in ("interrupted", "restored"):
            continue
        row = entry["row"]
        assert isinstance(row, dict)
        fields = tuple(str(value) for value in row.values())
        if fields not in {tuple(row.values()) for row in of_round.get(str(row["source"]), [])}:
            yield f"{entry['kind']} by the journal, but not in the log: {row}"
        if row["source"] not in killed:
            yield f"{entry['kind']} by the journal, but nobody killed {row['source']}"
        if fields in published:
            yield f"{entry['kind']} by the journal, but it was published: {row}"


def _wrong_starts(everything: list[Seen], entries: list[dict[str, object]]) -> Iterator[str]:
    """Every round that got as far as to publish has its start, and says how the one before ended."""
    starts = [entry for entry in entries if entry["kind"] == "start"]
    exits = [entry for entry in entries if entry["kind"] == "exit"]
    processes = [entry["process"] for entry in starts]
    for seen in everything:
        if seen.published and processes.count(seen.process) != 1:
            yield f"{processes.count(seen.process)} starts of {seen.name} in the journal"
    if len(exits) != sum(not seen.killed for seen in everything):
        yield f"{len(exits)} exits in the journal, but most rounds were killed"
    before = "nothing"
    for entry in entries:
        if entry["kind"] == "start":
            if entry["after"] != before and not (before == "nothing" and entry["after"] == "no exit"):
                yield f"the start at {entry['at']} says that the run before ended with {entry['after']}"
            before = "no exit"
        elif entry["kind"] == "exit":
            before = "exit"
