"""A sound server of one's own, for tests that really listen.

    with sound_server(tmp_path) as server:
        subprocess.Popen(listener, env=server.environment)
        server.play(recording).wait()

It has one output that nobody hears, and its default input is a monitor of that output: whatever is
played can be recorded through PortAudio. PortAudio looks at the environment and at the devices only
once in a process, hence listeners run in processes of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import pytest

SINK = "esc_test"
SINK_HZ = 48_000
START_S = 30.0
"""Patience with a machine that has better things to do."""


@dataclass(frozen=True)
class SoundServer:
    """A running sound server."""

    environment: dict[str, str]
    """For processes that shall play or listen through it."""

    def play(self, recording: Path) -> subprocess.Popen[bytes]:
        """Start to play a file that libsndfile reads; the player ends when it has been heard."""
        return subprocess.Popen(
            ["paplay", "--latency-msec=100", f"--device={SINK}", str(recording)], env=self.environment
        )

    def remove_devices(self) -> None:
        """Take the output and its monitor away, as if they were unplugged."""
        self.control("unload-module", "module-null-sink")

    def control(self, *arguments: str) -> None:
        """Run a command of pactl."""
        subprocess.run(["pactl", *arguments], env=self.environment, check=True)


def require_sound_server() -> None:
    """Skip the test where a part is missing, or fail it where ESC_REQUIRE_ALL=1 asks for all."""
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if not shutil.which(program)]
    if not find_library("portaudio"):
        missing.append("libportaudio2")
    if not missing:
        return
    reason = f"a real capture needs {', '.join(missing)} (apt: pulseaudio pulseaudio-utils libportaudio2)"
    if os.environ.get("ESC_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = START_S) -> None:
    """Wait for a condition; fail the test when it does not come true in time."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"waited {patience_s:g} s in vain until {what}")
        time.sleep(0.05)


@contextmanager
def sound_server(folder: Path) -> Iterator[SoundServer]:
    """Run a sound server whose files all lie in a folder; skips or fails where parts are missing."""
    require_sound_server()
    home = folder / "sound"
    runtime = home / "run"
    runtime.mkdir(parents=True)
    runtime.chmod(0o700)
    socket = runtime / "native"
    # ALSA's "default" device, which PortAudio opens, shall be the sound server.
    (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "ALSA_"))},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PULSE_RUNTIME_PATH": str(runtime),
        "PULSE_SERVER": f"unix:{socket}",
    }
    log = home / "log"
    with log.open("wb") as log_file:
        daemon = subprocess.Popen(
            [
                "pulseaudio",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--disable-shm=true",
                "--use-pid-file=no",
                "-n",
                f"--load=module-native-protocol-unix auth-anonymous=1 socket={socket}",
                f"--load=module-null-sink sink_name={SINK} rate={SINK_HZ} channels=2",
            ],
            env=environment,
            stdout=log_file,
            stderr=log_file,
        )

    def answers() -> bool:
        if daemon.poll() is not None:
            pytest.fail(f"the sound server ended by itself: {log.read_text()[-2000:]}")
        return subprocess.run(["pactl", "info"], env=environment, capture_output=True).returncode == 0

    try:
        wait_until(answers, "the sound server answers")
        server = SoundServer(environment)
        server.control("set-default-sink", SINK)
        server.control("set-default-source", f"{SINK}.monitor")
        yield server
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
