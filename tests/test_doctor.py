"""The doctor: every check finds what it looks for, and says what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import COMMAND, PATIENCE_S, assert_refused, esc_listen
from disks import unwritable_folder
from in_process import InProcess
from sound_server import SINK, SoundServer, sound_server

from streamer.doctor import network
from streamer.doctor.clock import check_clock
from streamer.doctor.finding import Finding
from streamer.doctor.level import Heard, judge
from streamer.doctor.log import check_log, judge_space
from streamer.doctor.network import check_model
from streamer.doctor.permissions import check_permissions
from streamer.doctor.processor import check_governor, check_heat, check_throttling
from streamer.doctor.system import check_system
from streamer.settings import ModelSettings, Settings
from streamer.sinks.row import COLUMNS
from streamer.types import FloatArray


def only(findings: Iterator[Finding]) -> Finding:
    """The one finding; whoever is told of trouble is also told what to do."""
    (finding,) = findings
    assert "\n" not in finding.says + finding.do
    assert bool(finding.do) == (finding.verdict != "ok")
    return finding


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# The machine


def test_a_system_of_64_bits(tmp_path: Path) -> None:
    put(tmp_path / "proc/device-tree/model", "Raspberry Pi Zero 2 W Rev 1.0\0")
    finding = only(check_system(tmp_path))
    assert finding.verdict == "ok"
    assert "64 bit, Raspberry Pi Zero 2 W" in finding.says


def test_a_system_of_32_bits_is_a_problem(tmp_path: Path) -> None:
    finding = only(check_system(tmp_path, largest_int=2**31 - 1))
    assert finding.verdict == "problem"
    assert "64-bit Raspberry Pi OS" in finding.do


@pytest.mark.parametrize(
    ("unix_s", "synced", "verdict"),
    [
        (0.0, None, "problem"),
        (1.7e9, True, "problem"),  # 2023: older than the program
        (2.0e9, True, "ok"),
        (2.0e9, False, "warning"),
    ],
)
def test_the_clock(unix_s: float, synced: bool | None, verdict: str) -> None:
    assert only(check_clock(unix_s, synced)).verdict == verdict


def test_the_clock_of_this_machine_can_be_asked() -> None:
    assert only(check_clock()).verdict in ("ok", "warning")


@pytest.mark.parametrize(
    ("governor", "driver", "verdict"),
    [
        ("ondemand", "cpufreq-dt", "ok"),
        ("powersave", "cpufreq-dt", "warning"),
        ("powersave", "intel_pstate", "ok"),
        (None, None, "ok"),
    ],
)
def test_the_governor(tmp_path: Path, governor: str | None, driver: str | None, verdict: str) -> None:
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    if governor and driver:
        put(folder / "scaling_governor", f"{governor}\n")
        put(folder / "scaling_driver", f"{driver}\n")
    assert only(check_governor(tmp_path)).verdict == verdict


def test_heat(tmp_path: Path) -> None:
    zones = tmp_path / "sys/class/thermal"
    assert list(check_heat(tmp_path)) == []
    put(zones / "thermal_zone0/temp", "51234\n")
    put(zones / "thermal_zone1/temp", "not available\n")
    assert only(check_heat(tmp_path)).says == "51 °C"
    put(zones / "thermal_zone2/temp", "82100\n")
    hot = only(check_heat(tmp_path))
    assert (hot.verdict, hot.says) == ("warning", "82 °C: it slows down to cool")


def vcgencmd(folder: Path, answer: str) -> str:
    """A tool that answers as the Raspberry Pi's own one."""
    path = folder / "vcgencmd"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = get_throttled ] && echo '{answer}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("answer", "says", "do"),
    [
        ("throttled=0x0", "never slowed down", ""),
        ("throttled=0x1", "the power supply is too weak", "official power supply"),
        ("throttled=0x50005", "; it is slowed down; since it was started, at times the power", "official"),
        ("throttled=0x80008", "near its limit of heat", "heat sink"),
        ("throttled=0x4", "it is slowed down", "heat sink"),
    ],
)
def test_the_power_of_a_pi(tmp_path: Path, answer: str, says: str, do: str) -> None:
    finding = only(check_throttling(vcgencmd(tmp_path, answer)))
    assert says in finding.says
    assert do in finding.do


def test_a_machine_that_is_no_pi_has_no_power_check(tmp_path: Path) -> None:
    assert list(check_throttling(str(tmp_path / "vcgencmd"))) == []
    assert list(check_throttling(vcgencmd(tmp_path, "VCHI initialization failed"))) == []


# The model


def test_the_model_is_loaded_and_timed() -> None:
    finding = only(check_model(Settings()))
    assert finding.verdict == "ok"
    assert re.match(r"esc50 loads and needs \d+\.\d ms every 0.5 s", finding.says)


def test_a_model_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "my.tflite").write_text("no model")
    finding = only(check_model(Settings(model=ModelSettings(str(tmp_path / "my.tflite")))))
    assert finding.verdict == "problem"
    assert "is not a TensorFlow Lite model" in finding.says


@pytest.mark.parametrize(("inference_s", "verdict"), [(0.1, "ok"), (0.3, "warning"), (0.6, "problem")])
def test_a_machine_that_is_too_slow(inference_s: float, verdict: str) -> None:
    finding = network.judge("esc50", inference_s, 0.5)
    assert finding.verdict == verdict
    assert ("--hop 1," in finding.do) == (verdict != "ok")


# The log


HEADER = ",".join(COLUMNS) + "\n"


def test_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    log, space = check_log(str(tmp_path / "log.csv"))
    assert log.verdict == "ok"
    assert space.check == "disk"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", HEADER, HEADER.strip() + ",weather\n", "\ufeff" + HEADER])
def test_a_log_that_can_be_continued_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    assert next(check_log(str(path))).verdict == "ok"
    assert path.read_text() == content


def test_another_file_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("name,age\n")
    finding = next(check_log(str(path)))
    assert (finding.verdict, finding.says) == ("problem", f"{path} is not an event log of esc-listen")


def test_a_missing_folder_a_fifo_a_link_and_no_log(tmp_path: Path) -> None:
    assert "there is no folder" in only(check_log(str(tmp_path / "gone" / "log.csv"))).says
    os.mkfifo(tmp_path / "fifo")
    assert "not an ordinary file" in next(check_log(str(tmp_path / "fifo"))).says
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert "a link to nowhere" in next(check_log(str(tmp_path / "link"))).says
    assert only(check_log("")).verdict == "ok"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with unwritable_folder(tmp_path) as folder:
        finding = next(check_log(str(folder / "log.csv")))
    assert finding.verdict == "problem"
    assert finding.says.startswith(f"cannot write in {folder}: ")


def test_a_log_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        finding = next(check_log(str(path)))
    assert finding.verdict == "warning"
    assert "another esc-listen is writing" in finding.says
    assert next(check_log(str(path))).verdict == "ok"


@pytest.mark.parametrize(("free_mb", "verdict"), [(50_000, "ok"), (120, "warning"), (0.5, "problem")])
def test_space(free_mb: float, verdict: str) -> None:
    finding = judge_space(free_mb, Path("/data"))
    assert finding.verdict == verdict
    assert "MB free for /data" in finding.says


# Permissions


def system_with(root: Path, *cards: str) -> Path:
    for folder in ("dev/snd", "proc"):
        (root / folder).mkdir(parents=True)
    for card in cards:
        (root / "dev/snd" / card).touch()
    return root


def test_a_user_who_may_record(tmp_path: Path) -> None:
    root = system_with(tmp_path, "pcmC1D0c", "pcmC0D0p", "controlC0")
    finding = only(check_permissions(root))
    assert (finding.verdict, finding.says) == ("ok", "this user may open 1 recording device in /dev/snd")


def test_no_card_at_all_is_only_a_warning(tmp_path: Path) -> None:
    assert only(check_permissions(system_with(tmp_path, "pcmC0D0p"))).verdict == "warning"


ASK = """
import json, os, sys
from pathlib import Path
import streamer.doctor.permissions as permissions
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
(finding,) = permissions.check_permissions(Path(sys.argv[1]), json.loads(sys.argv[2]))
print(finding.verdict, finding.do)
"""


@pytest.mark.parametrize(
    ("groups", "do"), [([], "usermod -aG audio"), (["video", "audio"], "log out and in again")]
)
def test_a_user_who_may_not(groups: list[str], do: str) -> None:
    import sys
    import tempfile

    # Not in pytest's folder, which other users cannot enter.
    with tempfile.TemporaryDirectory() as folder:
        root = system_with(Path(folder) / "root", "pcmC1D0c")
        Path(folder).chmod(0o755)
        (root / "dev/snd/pcmC1D0c").chmod(0o000)
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(root), json.dumps(groups)],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.startswith("problem ")
    assert do in done.stdout


# The level


def level(*channels: FloatArray) -> Finding:
    return only(iter([judge(Heard.of(np.stack(channels, axis=1).astype(np.float32)), "USB mic")]))


def noise(amplitude: float, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return (amplitude * random.uniform(-1, 1, 48_000)).astype(np.float32)


SILENCE = np.zeros(48_000, np.float32)


@pytest.mark.parametrize(
    ("channels", "verdict", "says"),
    [
        ([noise(0.1)], "ok", "peak -20.0 dBFS, mean -24.8 dBFS"),
        ([noise(0.1), noise(0.1, 1)], "ok", "peak -20.0 dBFS"),
        ([SILENCE], "problem", "digital silence only: it is muted or dead"),
        ([SILENCE, SILENCE], "problem", "digital silence only"),
        ([SILENCE + np.float32(0.3)], "problem", "digital silence only"),
        ([noise(1.0).round() / 32_768], "problem", "digital silence only"),
        ([SILENCE, noise(0.1)], "warning", "channel 1 gives digital silence only"),
        ([noise(0.1), -noise(0.1)], "warning", "the channels cancel each other"),
        ([noise(0.0005)], "warning", "very quiet: peak -66.0 dBFS"),
        ([np.clip(noise(2.0), -1, 1)], "warning", "too loud, it clips"),
        ([noise(0.9)], "warning", "loud all the time"),
        ([SILENCE[:0]], "problem", "gives no sound at all"),
        ([np.full(48_000, np.nan, np.float32)], "problem", "digital silence only"),
    ],
)
def test_levels(channels: list[FloatArray], verdict: str, says: str) -> None:
    finding = level(*channels)
    assert finding.verdict == verdict
    assert says in finding.says


def test_the_living_channel_is_recommended() -> None:
    assert level(SILENCE, noise(0.1)).do.endswith("--channel 2")
    assert level(noise(0.1), SILENCE).do.endswith("--channel 1")


# The command


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """The command in the test's own process and folder."""
    monkeypatch.chdir(tmp_path)
    return InProcess(capsys)


def test_without_a_microphone_all_is_well(tmp_path: Path) -> None:
    done = esc_listen("doctor", "--no-microphone", cwd=tmp_path)
    assert (done.status, done.err) == (0, ""), done
    for check in ("system", "clock", "model", "log", "disk"):
        assert re.search(rf"^(ok|warning) +{check} ", done.out, re.MULTILINE), done.out
    assert "level" not in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_problem_is_status_1_and_machines_can_read_it(run_here: InProcess) -> None:
    options = ["--no-microphone", "--json", "--csv", "gone/log.csv", "--model", "nope"]
    done = run_here("doctor", *options)
    assert (done.status, done.err) == (1, "")
    report = json.loads(done.out)
    assert report["problems"] == 2
    problems = {item["check"]: item for item in report["checks"] if item["verdict"] == "problem"}
    assert set(problems) == {"log", "model"}
    assert set(problems["log"]) == {field.name for field in dataclasses.fields(Finding)}
    assert problems["log"]["do"].startswith("mkdir -p")


def test_it_looks_at_what_the_configuration_asks_for(tmp_path: Path, run_here: InProcess) -> None:
    (tmp_path / "listen.toml").write_text('[log]\ncsv = "gone/log.csv"\n')
    options = ["doctor", "--no-microphone", "--config", "listen.toml"]
    assert "there is no folder" in run_here(*options).out
    assert run_here(*options, "--csv", "log.csv").status == 0
    assert_refused(run_here("doctor", "--config", "nope.toml"), "cannot read the config")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        yield running


def doctor(server: SoundServer, cwd: Path, *options: str) -> dict[str, Finding]:
    """What it says with a sound server, by check."""
    done = esc_listen("doctor", "--json", *options, cwd=cwd, environment=server.environment)
    assert done.err == "", done
    report = json.loads(done.out)
    assert done.status == (1 if report["problems"] else 0)
    return {item["check"]: Finding(**item) for item in report["checks"]}


@pytest.mark.sound_server
def test_a_microphone_that_is_muted(server: SoundServer, tmp_path: Path) -> None:
    found = doctor(server, tmp_path)
    assert found["PortAudio"].verdict == "ok"
    assert "ALSA" in found["PortAudio"].says
    assert found["devices"].says.startswith("default will be used; there are: ")
    assert found["rate"].verdict == "ok"
    assert found["level"].verdict == "problem"
    assert found["level"].says == "default gives digital silence only: it is muted or dead"


@pytest.mark.sound_server
def test_a_microphone_that_hears(server: SoundServer, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * 1_000 * np.arange(15 * 48_000) / 48_000), 48_000)
    player = server.play(path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "doctor"],
        cwd=tmp_path,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | server.environment,
    )
    os.close(theirs)
    data = b""
    with contextlib.suppress(OSError):  # the other end has been closed
        while piece := os.read(ours, 65_536):
            data += piece
    os.close(ours)
    shown = data.decode()
    assert process.wait(PATIENCE_S) == 0, shown
    player.terminate()
    player.wait()
    # What the meter has drawn is wiped before the finding stands in its place.
    (line,) = (line.rpartition("\x1b[K")[2] for line in shown.splitlines() if " level " in line)
    (peak_dbfs,) = re.findall(r"^ok +level +peak (-[\d.]+) dBFS, mean -2[2-4]\.\d dBFS$", line)
    assert float(peak_dbfs) == pytest.approx(-20.0, abs=0.5)
    # The meter has moved while it listened.
    assert len(re.findall(r"\[#+\.+\] peak +-\d+\.\d dBFS", shown)) > 20


@pytest.mark.sound_server
def test_a_microphone_that_gives_nothing_does_not_hold_it_up(server: SoundServer, tmp_path: Path) -> None:
    server.control("suspend-sink", SINK, "1")
    found = doctor(server, tmp_path)
    assert found["level"].verdict == "problem"
    assert found["level"].says == "default opens, but gives no sound at all"


@pytest.mark.sound_server
def test_an_unknown_device_is_a_problem_with_a_way_out(server: SoundServer, tmp_path: Path) -> None:
    found = doctor(server, tmp_path, "--device", "webcam")
    assert found["devices"].verdict == "problem"
    assert "no input device 'webcam'; there are: " in found["devices"].says
    assert "level" not in found
