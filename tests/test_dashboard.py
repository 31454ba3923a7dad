"""The dashboard: pure pictures of odd statuses, and the live display on a real pseudo-terminal."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import math
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from streamer.dashboard import Dashboard, can_draw, render, save_svg
from streamer.dashboard.classes import Ranking
from streamer.dashboard.spectrogram import Scale, frames_per_column, pool_columns
from streamer.status import ClassStatus, EventStatus, Health, Level, Status

WAIT_S = 30.0
"""For anything that a slow machine does in its own time."""

SIZES = [(20, 5), (33, 7), (40, 12), (59, 16), (60, 16), (80, 24), (100, 30), (140, 40), (200, 60)]
COLOUR_CODE = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9\d|10\d)(?:;[\d;]*)?m")


def a_class(label: str, smoothed: float, active: bool = False) -> ClassStatus:
    return ClassStatus(label, smoothed, smoothed, 0.5, 0.3, active)


def a_status(**changes: Any) -> Status:
    frames = np.random.default_rng(1).normal(-20, 8, (600, 64)).astype(np.float32)
    status = Status(
        state="listening",
        state_since_s=12.0,
        source="USB microphone",
        live=True,
        model="esc50-compact",
        log="esc-events.csv",
        heard_s=12.0,
        total_s=None,
        level=Level(-9.1, -20.5, False),
        spectrogram=frames,
        frames_total=600,
        band_hz=tuple(50.0 + 170.0 * band for band in range(64)),
        floor_db=-50.0,
        frames_per_s=50.0,
        classes=(a_class("dog", 0.9, True), a_class("crying_baby", 0.2), a_class("rain", 0.0)),
        events=(
            EventStatus("dog", "14:32:01", 2.5, 0.9, True),
            EventStatus("rain", "14:30:00", 312, 0.7, False),
        ),
        events_total=2,
        health=Health(0.04, 12.0, 19.0, 0, 0.0, 0, 0, 0, 4.2, 88.0, 754.0),
    )
    return dataclasses.replace(status, **changes)


def text_of(status: Status, width: int = 80, height: int = 24, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=colour, color_system="truecolor"
    )
    with console.capture() as capture:
        console.print(render(status, width, height, colour), end="", crop=False)
    return capture.get()


def assert_fills(status: Status, width: int, height: int) -> None:
    for colour in (False, True):
        text = re.sub(r"\x1b\[[\d;]*m", "", text_of(status, width, height, colour))
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
        assert [cell_len(line) for line in text.split("\n")] == [width] * height


NASTY = "[red]x[/] \x1b[31m\x07\r\n日本語の音 e\u0301 \u202egnp \ud800 " + "very_long_" * 30
ODD = {
    "nothing yet": {
        "spectrogram": np.empty((0, 64), np.float32),
        "frames_total": 0,
        "events": (),
        "state": "starting",
    },
    "no bands": {"spectrogram": np.empty((0, 0), np.float32), "band_hz": (), "frames_total": 0},
    "one frame": {"spectrogram": np.zeros((1, 1), np.float32), "band_hz": (100.0,), "frames_total": 7},
    "not numbers": {"spectrogram": np.full((99, 64), np.nan, np.float32)},
    "all infinite": {"spectrogram": np.full((99, 64), np.inf, np.float32)},
    "digital silence": {"state": "silent", "level": Level(-math.inf, -math.inf, False)},
    "clipping": {"level": Level(math.inf, math.nan, True)},
    "stalled": {"state": "stalled", "state_since_s": 90_000.0},
    "one class": {"classes": (a_class("dog", math.nan),)},
    "no class": {"classes": ()},
    "200 classes": {"classes": tuple(a_class(f"class_{i}", i / 199, i % 7 == 0) for i in range(200))},
    "file": {"live": False, "total_s": 60.0, "state": "finished", "log": ""},
    "empty file": {"live": False, "total_s": 0.0, "heard_s": 0.0},
    "nasty text": {
        "source": NASTY,
        "model": NASTY,
        "log": NASTY,
        "log_trouble": NASTY,
        "classes": (a_class(NASTY, 1.5),),
        "events": (EventStatus(NASTY, NASTY, 1e9, -3.0, True),),
    },
    "nasty advice": {"advice": NASTY},
    "bad health": {
        "health": Health(math.inf, math.nan, 9e9, 10**9, math.inf, 10**6, 10**12, 99_999, 400.0, 1e6, 1e8)
    },
}


class TestPicture:
    @pytest.mark.parametrize("odd", ODD)
    @pytest.mark.parametrize("size", SIZES)
    def test_fills_the_screen_whatever_the_status(self, odd: str, size: tuple[int, int]) -> None:
        assert_fills(a_status(**ODD[odd]), *size)

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 220),
        st.integers(1, 70),
        st.text(),
        st.floats(),
        st.integers(0, 700),
        st.integers(1, 130),
    )
    def test_fills_any_size(
        self, width: int, height: int, text: str, number: float, frames: int, bands: int
    ) -> None:
        status = a_status(
            source=text,
            classes=(a_class(text, number), a_class("dog", 0.5)),
            events=(EventStatus(text, text, number, number, False),),
            level=Level(number, number, True),
            spectrogram=np.full((frames, bands), -12.5, np.float32),
            band_hz=tuple(float(50 * band) for band in range(1, bands + 1)),
        )
        assert_fills(status, width, height)

    def test_says_everything_at_80x24(self) -> None:
        text = re.sub(r"\x1b\[[\d;]*m", "", text_of(a_status()))
        parts = """
            esc-listen|● listening|USB microphone|esc50-compact|12:34|peak|-9.1|-20.5|dBFS|4k|-2 s|now
            ● dog|crying baby|0.90|14:32:01|2.5 s|x0.04|12/19 ms|gaps|overflows|dropped|4.2 %|88 MB
            2 events → esc-events.csv|Ctrl-C
        """
        for part in re.split(r"\s*[|\n]\s*", parts.strip()):
            assert part in text

    def test_alarms_say_since_when_and_what_it_means(self) -> None:
        silent, stalled = (text_of(a_status(state=state)) for state in ("silent", "stalled"))
        assert "only digital silence for 12 s: is the microphone muted or dead?" in silent
        assert "no samples for 12 s: is it unplugged" in stalled

    def test_trouble_with_the_log_stands_in_its_place(self) -> None:
        for width, height in ((60, 16), (80, 24), (140, 40)):
            text = text_of(a_status(log_trouble="No space left on device, 12 rows wait"), width, height)
            assert "▲ log: No space left on device" in text
            assert "esc-events.csv" not in text
        assert "12 rows wait" in text

    def test_advice_stands_there_too(self) -> None:
        for width, height in ((80, 24), (140, 40)):
            text = text_of(a_status(advice="samples arrive at 88,200 per second"), width, height)
            assert "▲ samples arrive at 88,200 per second" in text

    def test_file_shows_its_progress(self) -> None:
        text = text_of(a_status(live=False, total_s=48.0))
        assert "0:12 / 0:48" in text
        assert "25 %" in text

    def test_markup_is_shown_literally(self) -> None:
        assert "[red]mic[/red]" in text_of(a_status(source="[red]mic[/red]"))

    def test_without_colour_there_are_only_shades(self) -> None:
        assert COLOUR_CODE.search(text_of(a_status(), colour=True))
        plain = text_of(a_status(), colour=False)
        assert "▀" not in plain
        assert "▓" in plain

    def test_saves_svg(self, tmp_path: Path) -> None:
        path = tmp_path / "picture.svg"
        save_svg(a_status(source="<mic> & co"), path)
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "http://www.w3.org/2000/svg" in path.read_text("utf-8")
        assert "@font-face" not in path.read_text("utf-8")


class TestCalm:
    @given(st.integers(0, 2_000), st.integers(1, 80), st.integers(1, 9), st.integers(1, 70))
    def test_columns_keep_their_content_while_they_scroll(
        self, total: int, new: int, per_column: int, columns: int
    ) -> None:
        everything = np.random.default_rng(total).normal(size=(total + new, 3)).astype(np.float32)
        before = pool_columns(everything[:total][-300:], total, per_column, columns)
        after = pool_columns(everything[-300:], total + new, per_column, columns)
        complete = before[: -1 if total % per_column else None]
        scrolled = -(-(total + new) // per_column) - -(-total // per_column)
        end = len(after) - scrolled - (1 if total % per_column else 0)
        same = min(len(complete), max(0, end))
        if same:
            np.testing.assert_array_equal(complete[-same:], after[end - same : end])

    @pytest.mark.parametrize("columns", [20, 71, 131, 191])
    def test_pane_covers_six_to_twelve_seconds(self, columns: int) -> None:
        assert 6.0 <= columns * frames_per_column(columns, 50.0) / 50.0 <= 12.0

    def test_colours_stand_still_for_steady_noise_and_follow_a_loud_sound(self) -> None:
        noise = np.random.default_rng(2).normal(-20, 5, (2_000, 64)).astype(np.float32)
        scale = first = Scale.first(a_status(spectrogram=noise[:600]))
        for total in range(610, 2_000, 10):
            scale = scale.follow(a_status(spectrogram=noise[total - 600 : total], frames_total=total))
        assert (scale.low_db, scale.high_db) == (first.low_db, first.high_db)
        loud = a_status(spectrogram=noise[:600] + 40, frames_total=2_100)
        assert scale.follow(loud).high_db > first.high_db + 25
        another_file = a_status(spectrogram=noise[:600] + 40, frames_total=600)
        assert scale.follow(another_file).high_db > first.high_db + 25

    def test_rows_do_not_jump_for_small_changes(self) -> None:
        ranking = Ranking.first([a_class("a", 0.20), a_class("b", 0.22), a_class("c", 0.0)])
        assert ranking.order == (1, 0, 2)
        ranking = ranking.follow([a_class("a", 0.23), a_class("b", 0.21), a_class("c", 0.04)])
        assert ranking.order == (1, 0, 2)
        ranking = ranking.follow([a_class("a", 0.6), a_class("b", 0.2), a_class("c", 0.4, active=True)])
        assert ranking.order == (2, 0, 1)


def a_console(**options: Any) -> Console:
    return Console(
        file=io.StringIO(),
        width=80,
        height=24,
        force_terminal=True,
        color_system="truecolor",
        **{"_environ": {"TERM": "xterm-256color"}, **options},
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestDisplay:
    def test_enters_draws_and_leaves(self, tmp_path: Path) -> None:
        console, picture = a_console(), tmp_path / "last.svg"
        with Dashboard(a_status, refresh_hz=50, console=console, screenshot=picture):
            wait_until(lambda: "Ctrl-C" in console.file.getvalue())  # type: ignore[attr-defined]
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert text.startswith("\x1b[?1049h\x1b[?25l")
        assert text.endswith("\x1b[?25h\x1b[?1049l")
        assert COLOUR_CODE.search(text)
        assert picture.exists()

    def test_no_color_is_honoured(self) -> None:
        console = a_console(_environ={"TERM": "xterm-256color", "NO_COLOR": "1"})
        with Dashboard(a_status, console=console):
            pass
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "Ctrl-C" in text
        assert not COLOUR_CODE.search(text)

    def test_nothing_is_drawn_on_dumb_terminals_and_files(self) -> None:
        for console in (a_console(_environ={"TERM": "dumb"}), Console(file=io.StringIO())):
            assert not can_draw(console)
            with Dashboard(a_status, console=console):
                pass
            assert console.file.getvalue() == ""  # type: ignore[attr-defined]

    def test_errors_are_kept_and_reported_in_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        calls: list[int] = []

        def broken() -> Status:
            calls.append(1)
            raise ZeroDivisionError("no level")

        with Dashboard(broken, refresh_hz=100, console=a_console()):
            wait_until(lambda: len(calls) > 3)
        report = capsys.readouterr().err
        assert report.startswith("esc-listen: dashboard: ZeroDivisionError: no level (x")
        assert report.count("\n") == 1


PROGRAM = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from test_dashboard import a_status
    from streamer.dashboard import Dashboard
    with Dashboard(a_status, refresh_hz=20):
        {body}
"""


class Pty:
    """A program whose standard output is a pseudo-terminal of 80x24."""

    def __init__(self, body: str) -> None:
        self.master, slave = os.openpty()
        self.resize(80, 24)
        program = textwrap.dedent(PROGRAM).format(tests=str(Path(__file__).parent), body=body)
        environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            env={name: value for name, value in environ.items() if name != "NO_COLOR"},
        )
        os.close(slave)
        self.output = b""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, done: Callable[[bytes], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not done(self.output):
            assert time.monotonic() < deadline, self.output[-500:]
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.output += os.read(self.master, 65_536)
                except OSError:  # the program has closed its end
                    assert done(self.output), self.output[-500:]

    def assert_restored(self) -> None:
        self.read_until(lambda output: output.rstrip().endswith(b"\x1b[?1049l"))
        assert b"\x1b[?25h" in self.output.rpartition(b"Ctrl-C")[2]


@contextmanager
def pty_program(body: str) -> Iterator[Pty]:
    program = Pty(body)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()
        os.close(program.master)


class TestTerminal:
    @pytest.mark.parametrize(
        "body",
        [
            "time.sleep(0.3)",
            "time.sleep(0.3); raise RuntimeError('boom')",
            "time.sleep(0.3); sys.exit(3)",
        ],
    )
    def test_is_restored_after(self, body: str) -> None:
        with pty_program(body) as program:
            program.assert_restored()

    def test_is_restored_after_ctrl_c(self) -> None:
        with pty_program("time.sleep(600)") as program:
            program.read_until(lambda output: b"Ctrl-C" in output)
            program.process.send_signal(signal.SIGINT)
            program.assert_restored()

    def test_is_restored_when_nobody_leaves_the_dashboard(self) -> None:
        with pty_program("pass\nDashboard(a_status).__enter__(); time.sleep(0.3)") as program:
            program.read_until(lambda output: output.count(b"\x1b[?1049l") == 2)

    def test_resizing_is_followed(self) -> None:
        with pty_program("time.sleep(600)") as program:
            program.read_until(lambda output: b"Ctrl-C" in output)
            assert "─╮".encode() in program.output
            program.resize(132, 40)
            program.read_until(lambda output: b"hop latency p50/p95" in output)

    def test_blocked_terminal_does_not_block_the_end(self) -> None:
        with pty_program("time.sleep(1)\nprint('over', file=sys.stderr)") as program:
            # Nobody reads the terminal, so its buffer is full after a few frames.
            stderr = program.process.communicate(timeout=WAIT_S)[1]
            assert program.process.returncode == 0
            assert stderr == b"over\n"
