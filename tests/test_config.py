"""The configuration that is printed holds every setting, and is accepted by the one who printed it."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from pathlib import Path

import pytest
from command import assert_refused, esc_listen
from hypothesis import given
from hypothesis import strategies as st
from in_process import InProcess

from streamer.config import changed_settings, default_toml, field_docstrings, toml_value
from streamer.settings import EventSettings, Settings, SourceSettings, read_settings
from streamer.tables import from_table

SETTING = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)
"""The mark before a setting; explanations have a blank after it."""

DEFAULTS = [
    (table.name, item.name, getattr(getattr(Settings(), table.name), item.name))
    for table in dataclasses.fields(Settings)
    for item in dataclasses.fields(getattr(Settings(), table.name))
]


def test_as_it_is_printed_it_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "listen.toml"
    path.write_text(default_toml())
    assert read_settings(path) == Settings()


def test_every_setting_is_there_with_its_default() -> None:
    table = tomllib.loads(SETTING.sub("", default_toml()))
    assert {(name, key) for name, part in table.items() for key in part} == {
        (name, key) for name, key, _ in DEFAULTS
    }
    settings = from_table(Settings, table)
    for name, key, default in DEFAULTS:
        if default is not None:
            assert getattr(getattr(settings, name), key) == default


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, key, _ in DEFAULTS])
def test_each_setting_can_be_changed_alone(name: str, key: str) -> None:
    head, part = default_toml().split(f"[{name}]\n")
    alone = re.sub(rf"^#(?={key} = )", "", part.split("\n[")[0], flags=re.MULTILINE)
    table = tomllib.loads(f"[{name}]\n{alone}")
    assert list(table[name]) == [key]
    from_table(Settings, table)
    assert head.startswith("#")


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, key, _ in DEFAULTS])
def test_every_setting_is_explained(name: str, key: str) -> None:
    part = type(getattr(Settings(), name))
    assert len(field_docstrings(part)[key]) > 10
    lines = default_toml().splitlines()
    start = lines.index(f"[{name}]")
    (at,) = (n for n in range(start, len(lines)) if lines[n].startswith(f"#{key} = "))
    assert lines[at - 1].startswith("# ")
    assert all(len(line) <= 102 for line in lines)


def test_units_and_choices_are_named() -> None:
    text = default_toml()
    assert "\n#rate_hz = 44100  # hertz\n" in text
    assert "\n#max_duration_s = 60.0  # seconds\n" in text
    assert 'One of "s16le", "f32le".' in text
    assert "No default: the model says it.\n#hop_s = " in text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_written_as_toml_reads_it(text: str) -> None:
    assert tomllib.loads(f"key = {toml_value(text)}") == {"key": text}


@given(st.lists(st.integers(-(2**62), 2**62) | st.booleans() | st.floats(allow_nan=False, width=32)))
def test_any_list_is_written_as_toml_reads_it(values: list[int | bool | float]) -> None:
    finite = [value for value in values if abs(value) != float("inf")]
    assert tomllib.loads(f"key = {toml_value(finite)}") == {"key": finite}


def test_what_a_configuration_changes_is_told() -> None:
    assert changed_settings(Settings()) == []
    settings = Settings(
        source=SourceSettings(device="usb"), events=EventSettings(threshold=0.8, labels=("dog", "cat"))
    )
    assert changed_settings(settings) == [
        'source.device = "usb"',
        "events.threshold = 0.8",
        'events.labels = ["dog", "cat"]',
    ]


def test_docstrings_are_found_for_every_field() -> None:
    for part in typing.get_type_hints(Settings).values():
        assert set(field_docstrings(part)) == {item.name for item in dataclasses.fields(part)}


# The command


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """The command in the test's own process and folder."""
    monkeypatch.chdir(tmp_path)
    return InProcess(capsys)


def test_print_and_use_and_check(tmp_path: Path, run_here: InProcess) -> None:
    printed = esc_listen("config", "--print-default", cwd=tmp_path)
    assert (printed.status, printed.err) == (0, "")
    path = tmp_path / "listen.toml"
    path.write_text(SETTING.sub("", printed.out))
    # Its input is the microphone: the file that is named instead wins.
    done = esc_listen("--config", path, "--input", "nothing.wav", "--no-csv", cwd=tmp_path)
    assert_refused(done, "nothing.wav")
    path.write_text(printed.out.replace('#device = ""', 'device = "usb"'))
    checked = run_here("config", "--check", path)
    assert (checked.status, checked.err) == (0, "")
    assert checked.out_lines == [f"{path} is right; it changes this:", '  source.device = "usb"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[events]\nhops_s = 1", "events.hops_s: unknown key"),
        ("[events\n", "is not valid TOML"),
        ("[events]\nthreshold = 1.5", "events.threshold"),
        ("[events]\nlabels = ['unicorn']", "does not know 'unicorn'"),
        ("[events]\nhop_s = 9", "a hop of 9 s does not fit"),
        ("[model]\nname = 'nope'", "no model is called 'nope'"),
    ],
)
def test_a_configuration_that_would_be_refused_later_is_refused_now(
    tmp_path: Path, run_here: InProcess, text: str, message: str
) -> None:
    (tmp_path / "listen.toml").write_text(text)
    assert_refused(run_here("config", "--check", "listen.toml"), message)
    assert [path.name for path in tmp_path.iterdir()] == ["listen.toml"]


def test_wrong_usage(run_here: InProcess) -> None:
    assert run_here("config").status == 2
    assert run_here("config", "--print-default", "--check", "x").status == 2


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "listen.toml"
    path.write_bytes(b"\xef\xbb\xbf[events]\nthreshold = 0.8\n")
    assert read_settings(path).events.threshold == 0.8
