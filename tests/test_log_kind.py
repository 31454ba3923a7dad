"""A log holds dates or seconds, never both."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import assert_refused, esc_listen
from sounds import write_siren

from streamer.errors import SinkError
from streamer.sinks.log_kind import fitting_log
from streamer.sinks.row import COLUMNS

HEADER = ",".join(COLUMNS) + "\n"
DATED = "2026-11-21T08:31:02.000Z,2026-11-21T08:31:03.000Z,1.0,dog,0.9,0.9,mic,esc50\n"
SECONDS = "1.0,2.0,1.0,dog,0.9,0.9,a.wav,esc50\n"


@pytest.mark.parametrize(
    ("rows", "kind", "fits"),
    [
        ("", "dates", True),
        (DATED, "dates", True),
        (SECONDS, "seconds", True),
        (DATED, "seconds", False),
        (SECONDS, "dates", False),
        (DATED + SECONDS, "dates", True),
    ],
)
def test_the_second_kind_is_refused_but_a_mixed_log_is_continued(
    tmp_path: Path, rows: str, kind: str, fits: bool
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + rows)
    if fits:
        assert fitting_log(str(log), kind) == str(log)
    else:
        with pytest.raises(SinkError, match="choose another file"):
            fitting_log(str(log), kind)


def test_files_beside_the_log_of_a_microphone_get_one_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "esc-events.csv").write_text(HEADER + DATED)
    write_siren(tmp_path / "siren.wav", 3.0)
    done = esc_listen("siren.wav", "--plain", cwd=tmp_path)
    assert done.status == 0, done
    assert "events go to esc-events-seconds.csv" in done.err
    assert (tmp_path / "esc-events.csv").read_text() == HEADER + DATED


def test_a_log_asked_for_is_never_mixed(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + DATED)
    write_siren(tmp_path / "siren.wav", 3.0)
    assert_refused(esc_listen("siren.wav", "--csv", "mine.csv", cwd=tmp_path), "mine.csv holds dates")
    assert (tmp_path / "mine.csv").read_text() == HEADER + DATED
