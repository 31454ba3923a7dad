"""Configurations and manifests that somebody has broken: one clear line, never a traceback."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sounds import siren

from streamer.config import default_toml, toml_value
from streamer.errors import EscListenError, ModelError, SettingsError
from streamer.listen import Listener
from streamer.manifest import MEMBER, manifest_table, read_manifest, strip_manifest
from streamer.model import Model, load_model
from streamer.settings import Settings, read_settings
from streamer.tables import to_table
from streamer.types import Block

SHIPPED = load_model()
NETWORK = strip_manifest(SHIPPED.content)[:64]
"""As much of it as tells that one follows; what it computes does not matter here."""

MANIFEST = manifest_table(
    dataclasses.replace(
        SHIPPED.manifest,
        groups={"animal": ("dog", "cat")},
        arithmetic="int8",
    )
)
TABLES = to_table(Settings())

HUGE = "9" * 5_000
"""More digits than Python converts."""

TEXTS = st.text(max_size=20)
NUMBERS = (
    st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.sampled_from([0, -1, 1, 2, 1e308, 5e-324])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def assert_one_line(error: Exception) -> None:
    """What a person is shown."""
    message = str(error)
    assert message
    assert message.isprintable(), repr(message)
    assert len(message) < 2_000


# Configurations


def read_text(text: str | bytes) -> Settings | None:
    """The settings of a file with this content; None if it is refused, as it must be: in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "listen.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        try:
            return read_settings(path)
        except SettingsError as error:
            assert_one_line(error)
            return None


@given(st.binary(max_size=300) | st.text(max_size=300))
@example(b"\xff\xfe")
@example("a = " + "[" * 100_000)
@example("a." * 50_000 + "b = 1")
@example(f"[source]\nrate_hz = {HUGE}")
@example(f"[events]\nhop_s = {'9' * 400}")
@example('[source]\nformat = "a\\nb"')
@example('"a\\nb" = 1')
@example("[source]\nformat = 1979-05-27T07:32:00Z")
def test_any_bytes_as_a_configuration(content: bytes | str) -> None:
    read_text(content)


TOML_VALUES = st.booleans() | NUMBERS.filter(lambda n: n == n and abs(n) != float("inf")) | TEXTS


def toml_line(key: str, value: object) -> str:
    """A line of a configuration; not all texts are valid in TOML, which is as well."""
    return f"{key} = {toml_value(value)}"


@given(st.data())
def test_any_value_for_any_setting(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(TABLES)))
    key = data.draw(st.sampled_from(sorted(TABLES[table])))
    value = data.draw(TOML_VALUES | st.lists(TOML_VALUES, max_size=4))
    settings = read_text(f"[{table}]\n{toml_line(key, value)}\n")
    if settings is not None:
        assert getattr(getattr(settings, table), key) == (tuple(value) if isinstance(value, list) else value)


@given(st.data())
def test_any_unknown_setting_is_refused(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(TABLES)))
    key = data.draw(TEXTS.filter(lambda text: text not in TABLES[table]))
    assert read_text(f"[{table}]\n{toml_line(toml_value(key), 1)}\n") is None


@given(st.data())
def test_a_configuration_with_damaged_bytes(data: st.DataObject) -> None:
    content = bytearray(default_toml().replace("\n#", "\n"), "utf-8")
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 20))
        content[at : at + length] = data.draw(st.binary(max_size=20))
    read_text(bytes(content))


# Manifests


def file_with(manifest: bytes) -> bytes:
    """A model file with this text as its manifest."""
    out = io.BytesIO()
    out.write(NETWORK)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, manifest)
    return out.getvalue()


def read_file(content: bytes) -> None:
    """Read a model file's manifest, which may be refused in one line."""
    try:
        read_manifest(content)
    except ModelError as error:
        assert_one_line(error)


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | VALUES.map(json.dumps).map(str.encode)
)
@example(b"[" * 100_000)
@example(b'{"format": ' + HUGE.encode() + b"}")
@example(b'{"a\\nb": 1}')
@example(b'{"format": 1, "name": "\\ud800"}')
def test_any_bytes_as_a_manifest(text: bytes) -> None:
    read_file(file_with(text))


def places(value: Any) -> list[list[str | int]]:
    """Paths to everything inside a table; of long lists only the first and last."""
    found: list[list[str | int]] = []
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = sorted({0, len(value) - 1}) if value else []
    for key in keys:
        found += [[key], *([key, *rest] for rest in places(value[key]))]
    return found


PLACES = places(MANIFEST)


@given(st.data())
def test_any_value_anywhere_in_a_manifest(data: st.DataObject) -> None:
    manifest = copy.deepcopy(MANIFEST)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(PLACES))
        inside = manifest
        try:
            for key in way:
                inside = inside[key]
            inside[last] = data.draw(VALUES)
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change has taken that place away
    read_file(file_with(json.dumps(manifest).encode()))


@pytest.mark.parametrize(
    "value",
    [1e308, 10**400, -(10**400), 5e-324, 2**62, -1, 0],
    ids=["1e308", "1e400", "-1e400", "5e-324", "2^62", "-1", "0"],
)
@pytest.mark.parametrize(
    "place", [way for way in PLACES if way[0] != "measured"], ids=lambda way: ".".join(map(str, way))
)
def test_absurd_numbers_in_a_manifest(place: list[str | int], value: float) -> None:
    manifest = copy.deepcopy(MANIFEST)
    *way, last = place
    inside: Any = manifest
    for key in way:
        inside = inside[key]
    inside[last] = value
    content = file_with(json.dumps(manifest).encode())
    read_file(content)
    try:
        listener = Listener(Model(Path("absurd.tflite"), SHIPPED.content, read_manifest(content)))
        listener.push(Block(0, siren(1.5)))
        listener.finish()
    except EscListenError as error:
        assert_one_line(error)


@given(st.data())
def test_a_model_file_with_damaged_bytes(data: st.DataObject) -> None:
    content = bytearray(file_with(json.dumps(MANIFEST).encode()))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 20))
        content[at : at + length] = data.draw(st.binary(max_size=20))
    read_file(bytes(content))


def test_a_manifest_that_swells_when_it_is_unpacked() -> None:
    began = time.monotonic()
    with pytest.raises(ModelError):
        read_manifest(file_with(b" " * 200_000_000))
    assert time.monotonic() - began < 5
