"""The whole product, for real: a player, a sound server, the command, its CSV."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_server import SoundServer, sound_server, wait_until

from streamer import listen
from streamer.demo import Wave, car_horn, siren

pytestmark = pytest.mark.sound_server

LEAD_S = 2.0
"""Silence before the sound in what is played."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        yield running


Rows = list[dict[str, str]]


Began = tuple[float, float]
"""The earliest and the latest date at which the playing can have begun: a busy machine starts it late."""


def played_and_logged(server: SoundServer, recording: Path, folder: Path) -> tuple[Began, Rows]:
    """Play a file while the command listens.

    Returns:
        When the playing began, and the rows of the log.
    """
    log, notes = folder / "events.csv", folder / "notes.txt"
    command = Path(sys.executable).with_name("esc-listen")
    with (
        notes.open("wb") as notes_file,
        subprocess.Popen(
            [command, "--plain", "--csv", log], env=server.environment, stdout=notes_file, stderr=notes_file
        ) as process,
    ):
        try:
            # Nothing plays yet: the alarm about digital silence says that it really listens.
            wait_until(lambda: "only digital silence" in notes.read_text(), "it hears the silence")
            started = time.time()
            assert server.play(recording).wait(60) == 0
            ended = time.time()
            wait_until(lambda: len(log.read_text().splitlines()) > 1, "an event is logged")
            process.terminate()
            assert process.wait(30) == 0, notes.read_text()
        finally:
            process.kill()
    with log.open(newline="") as rows:
        return (started, ended - soundfile.info(recording).duration), list(csv.DictReader(rows))


def assert_began_then(row: dict[str, str], began: Began) -> None:
    """The logged start is that of the sound, which begins `LEAD_S` after the playing."""
    played = datetime.fromisoformat(row["start"]).timestamp() - LEAD_S
    earliest, latest = began
    assert earliest - 0.5 < played < max(earliest, latest) + 0.5


@pytest.mark.parametrize(("sound", "label"), [(siren, "siren"), (car_horn, "car_horn")])
def test_a_synthesised_sound_is_logged_when_it_was_played(
    server: SoundServer, tmp_path: Path, sound: Callable[[Wave], Wave], label: str
) -> None:
    rate_hz = 44_100
    wave = sound(np.arange(5 * rate_hz) / rate_hz)
    silence = np.zeros(round(LEAD_S * rate_hz))
    recording = tmp_path / "sound.wav"
    soundfile.write(recording, np.concatenate([silence, 0.3 * wave / np.abs(wave).max()]), rate_hz)

    began, rows = played_and_logged(server, recording, tmp_path)
    matching = [row for row in rows if row["label"] == label]
    assert matching, rows
    assert_began_then(matching[0], began)
    assert matching[0]["model"] == "esc50"


@pytest.mark.recordings
def test_a_real_recording_is_logged_when_it_was_played(
    server: SoundServer, tmp_path: Path, esc_data: Path
) -> None:
    """A published recording that the model knows from the file is known from the microphone, too."""
    for original in sorted((esc_data / "originals").iterdir()):
        known = [event for event in listen(original) if event.confidence > 0.95 and event.start_s < 0.1]
        if len(known) == 1:
            break
    samples, rate_hz = soundfile.read(original, always_2d=True)
    loud = int(np.flatnonzero(np.abs(samples).max(axis=1) > 0.02)[0])
    recording = tmp_path / "recording.wav"
    lead = np.zeros((round(LEAD_S * rate_hz), samples.shape[1]))
    soundfile.write(recording, np.concatenate([lead, samples[loud:]]), rate_hz)

    began, rows = played_and_logged(server, recording, tmp_path)
    matching = [row for row in rows if row["label"] == known[0].label]
    assert matching, rows
    assert_began_then(matching[0], began)
