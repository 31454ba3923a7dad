"""The service: what systemd is told, and the unit that it runs."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import COMMAND, PATIENCE_S, assert_refused, running
from conftest import skip_or_fail
from in_process import InProcess
from sounds import RATE_HZ, only_siren, pcm, siren

from streamer.errors import EscListenError, SettingsError
from streamer.model import load_model
from streamer.monitor import Monitor
from streamer.notify import Notifier, status_line
from streamer.service import Service, check_reach, ensure_user, quoted, unit_text, write_unit


class Manager:
    """The other end of ``$NOTIFY_SOCKET``: a real datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.heard: list[tuple[float, str]] = []

    def listen(self, seconds: float) -> list[str]:
        """Lines that came within so many seconds."""
        deadline_s = time.monotonic() + seconds
        lines: list[str] = []
        while (left_s := deadline_s - time.monotonic()) > 0:
            self.socket.settimeout(left_s)
            try:
                text = self.socket.recv(65_536).decode()
            except TimeoutError:
                break
            lines += text.splitlines()
        return lines

    def wait_for(self, line: str) -> list[str]:
        """Lines up to the one that begins like this."""
        self.socket.settimeout(PATIENCE_S)
        lines: list[str] = []
        while not any(text.startswith(line) for text in lines):
            lines += self.socket.recv(65_536).decode().splitlines()
        return lines


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@esc-listen-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


# What systemd is told


def test_without_a_service_manager_nobody_is_told() -> None:
    assert Notifier.from_environment({}) is None
    assert Notifier.from_environment({"NOTIFY_SOCKET": ""}) is None
    assert Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}) is None


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
    ],
)
def test_the_watchdog_interval_is_the_one_that_is_meant_for_us(
    environment: dict[str, str], watchdog_s: float
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/notify", **environment})
    assert notifier is not None
    assert notifier.watchdog_s == watchdog_s
    notifier.close()


def test_assignments_travel_as_lines_of_one_datagram(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    # The name of a device must not become an assignment of its own.
    notifier.send(READY=1, STATUS="a microphone\nMAINPID=1\tof Müller")
    assert manager.socket.recv(1_000).decode() == "READY=1\nSTATUS=a microphone MAINPID=1 of Müller"
    notifier.close()


def test_a_manager_that_is_gone_or_does_not_read_does_no_harm(tmp_path: Path) -> None:
    gone = Notifier(str(tmp_path / "nobody"))
    gone.send(WATCHDOG=1)
    gone.close()
    deaf = Manager(str(tmp_path / "deaf"))
    notifier = Notifier(deaf.address)
    began = time.monotonic()
    for _ in range(5_000):
        notifier.send(STATUS="x" * 1_000)
    assert time.monotonic() - began < 10
    notifier.close()
    deaf.socket.close()


def test_a_service_says_how_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready, alive as long as samples come, no longer; and the open sound is logged at the end."""
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    reader, writer = os.pipe()
    options = ["--input", "-", "--live", "--rate", str(RATE_HZ), "--csv", "log.csv", *only_siren()]
    with running(*options, cwd=tmp_path, stdin=reader) as run:
        os.close(reader)
        before = manager.wait_for("READY=1")
        assert "WATCHDOG=1" not in [*before, *manager.listen(1.0)], "alive, but nothing has arrived"

        data, lines = pcm(siren(3.0)), []
        while data:
            os.write(writer, data[:RATE_HZ])
            data = data[RATE_HZ:]
            lines += manager.listen(0.5)
        assert 4 <= lines.count("WATCHDOG=1") <= 9, lines
        assert any(re.match(r"STATUS=listening since \d\d:\d\d: stdin, \d+ events?", line) for line in lines)

        manager.listen(0.5)
        assert "WATCHDOG=1" not in manager.listen(1.0), "alive, but nothing arrives any more"

        os.write(writer, pcm(siren(1.5)))
        manager.wait_for("WATCHDOG=1")
        began = time.monotonic()
        done = run.finish(signal.SIGTERM)
        lasted_s = time.monotonic() - began
    os.close(writer)
    assert done.status == 0, done
    assert lasted_s < 2.0
    assert "STOPPING=1" in manager.listen(0.2)
    manager.socket.close()
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert rows, "the sound that was going on is not in the log"


def test_the_status_tells_of_trouble_with_the_log() -> None:
    model, trouble = load_model(), "No space left on device, 3 rows wait"
    each = (0.5,) * len(model.labels)
    monitor = Monitor(model, each, each, log_trouble=lambda: trouble)
    assert f"cannot write the log: {trouble}" in status_line(monitor)


# The unit


@pytest.fixture
def run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """The command in the test's own process and folder."""
    monkeypatch.chdir(tmp_path)
    return InProcess(capsys)


def text_of(*arguments: str, **changes: object) -> str:
    return unit_text(Service(("/opt/esc-listen/bin/esc-listen",), arguments, **changes))  # type: ignore[arg-type]


def setting(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def printed(run: InProcess, *arguments: str) -> str:
    done = run("service", "--print", *arguments)
    assert (done.status, done.err) == (0, ""), done
    return done.out


def test_print_only_prints(tmp_path: Path, run_here: InProcess) -> None:
    text = printed(run_here)
    assert setting(text, "Type") == ["notify"]
    assert setting(text, "ExecStart") == [f"{COMMAND} --plain --wait"]
    assert setting(text, "User") == ["esc-listen"]
    assert setting(text, "ReadWritePaths") == []
    assert list(tmp_path.iterdir()) == []


def test_options_find_their_way_into_the_unit(tmp_path: Path, run_here: InProcess) -> None:
    (tmp_path / "listen.toml").write_text("[events]\nthreshold = 0.8\n")
    options = ["--user", "pi", "--device", "USB mic", "--csv", "/data/log/home.csv"]
    text = printed(run_here, *options, "--config", "listen.toml", "--", "--labels", "dog,siren")
    assert setting(text, "User") == ["pi"]
    (command,) = setting(text, "ExecStart")
    assert command == (
        f'{COMMAND} --plain --wait --config {tmp_path}/listen.toml --device "USB mic" '
        "--csv /data/log/home.csv --labels dog,siren"
    )
    assert setting(text, "ReadWritePaths") == ["/data/log"]


def test_a_log_that_the_configuration_names_may_be_written_too(tmp_path: Path, run_here: InProcess) -> None:
    (tmp_path / "listen.toml").write_text('[log]\ncsv = "/data/home.csv"\njournal = "/srv/j.jsonl"\n')
    text = printed(run_here, "--config", "listen.toml")
    assert setting(text, "ReadWritePaths") == ["/data", "/srv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "Robert'); DROP"], "not a name of a user"),
        (["--", "--demo"], "leave out --demo"),
        (["--", "--list-devices"], "leave out --demo"),
        (["--", "--input", "a.wav"], "leave out --input"),
        (["--", "--model", "mine.tflite"], "give the whole path"),
        (["--config", "nowhere.toml"], "cannot read the configuration"),
        (["--device", "a\nb"], "control characters"),
    ],
)
def test_what_makes_no_sense_in_a_service_is_refused(
    run_here: InProcess, arguments: list[str], message: str
) -> None:
    assert_refused(run_here("service", "--print", *arguments), message)


def test_a_wrong_option_for_listening_is_wrong_usage(run_here: InProcess) -> None:
    assert run_here("service", "--print", "--", "--nonsense").status == 2
    assert run_here("service").status == 2


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain-word_1,2", "plain-word_1,2"),
        ("two words", '"two words"'),
        ("", '""'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("Müller's", '"Müller\'s"'),
        (";", '";"'),
    ],
)
def test_words_are_quoted_for_systemd(word: str, written: str) -> None:
    assert quoted(word) == written


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        skip_or_fail("there is no systemd-analyze (apt: systemd)")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    odd = ["--device", "50 % of $a \"mic\" \\ 'x'"]
    service = Service(("/bin/true",), ("--plain", *odd), writes=(Path("/srv/my %n $x log/a.csv"),))
    path = tmp_path / "esc-listen.service"
    path.write_text(unit_text(service))
    done = systemd_analyze("verify", "--man=no", path)
    # It also complains about other units of the machine.
    assert "esc-listen" not in done.stderr, done.stderr
    path.write_text(unit_text(service).replace("ProtectSystem=strict", "ProtectSystem=sometimes"))
    assert "esc-listen" in systemd_analyze("verify", "--man=no", path).stderr


def test_the_unit_is_shut_off_well(tmp_path: Path) -> None:
    path = tmp_path / "esc-listen.service"
    path.write_text(text_of("--plain"))
    done = systemd_analyze("security", "--offline=true", "--no-pager", path)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposure) < 2.0


# Installing


def test_installing_needs_root(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "import streamer.cli, streamer.service\n"
        "if os.geteuid() == 0:\n"
        "    os.setuid(65534)\n"
        "sys.exit(streamer.cli.main(['service', '--install']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("esc-listen: --install needs root; run it as: sudo /")
    assert done.stderr.count("\n") == 1


def test_a_unit_is_written_once_and_never_overwritten_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "esc-listen.service"
    assert write_unit("one", path) == f"wrote {path}"
    assert path.stat().st_mode & 0o777 == 0o644
    assert write_unit("one", path) == f"{path} is already as it should be"
    with pytest.raises(EscListenError, match="is different, perhaps changed by hand"):
        write_unit("two", path)
    assert path.read_text() == "one"
    assert write_unit("two", path, replace=True) == f"wrote {path}; the old one is esc-listen.service.old"
    assert path.read_text() == "two"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "esc-listen.service.old"]
    assert (tmp_path / "esc-listen.service.old").read_text() == "one"


def test_a_folder_for_units_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EscListenError, match=r"^cannot write .*No such file or directory$"):
        write_unit("one", tmp_path / "nowhere" / "esc-listen.service")


def require_root() -> None:
    if os.geteuid() != 0:
        skip_or_fail("needs root")


def test_the_user_is_made_by_systemd(tmp_path: Path) -> None:
    require_root()
    if not shutil.which("systemd-sysusers"):
        skip_or_fail("there is no systemd-sysusers (apt: systemd)")
    (tmp_path / "etc").mkdir()
    assert ensure_user("esc-listen-test", tmp_path) == ["made the user esc-listen-test"]
    (line,) = (
        line
        for line in (tmp_path / "etc" / "passwd").read_text().splitlines()
        if line.startswith("esc-listen-test:")
    )
    assert line.endswith(":/var/lib/esc-listen:/usr/sbin/nologin")
    assert 0 < int(line.split(":")[2]) < 1_000


def test_a_user_that_is_there_is_left_alone(tmp_path: Path) -> None:
    assert ensure_user(pwd.getpwuid(os.geteuid()).pw_name, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's own ones, outside of the folders for
    temporary files."""
    require_root()
    folder = Path("/var/lib") / f"esc-listen-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def service_in(folder: Path, **changes: object) -> Service:
    program = folder / "esc-listen"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    return Service((str(program),), ("--plain",), "nobody", **changes)  # type: ignore[arg-type]


def test_what_the_user_can_reach_is_tried_out(open_folder: Path) -> None:
    logs, config = open_folder / "logs", open_folder / "listen.toml"
    logs.mkdir()
    config.write_text("")
    log = logs / "home.csv"
    service = service_in(open_folder, reads=(config,), writes=(log,))
    with pytest.raises(EscListenError, match=f"user nobody cannot write to {logs}; give it a folder"):
        check_reach(service)
    shutil.chown(logs, "nobody")
    check_reach(service)
    log.write_text("")
    with pytest.raises(EscListenError, match=f"cannot write to {log}: sudo chown nobody {log}"):
        check_reach(service)
    shutil.chown(log, "nobody")
    check_reach(service)
    config.chmod(0o600)
    with pytest.raises(EscListenError, match=f"cannot read {config}"):
        check_reach(service)


def test_a_program_in_a_closed_home_is_refused_with_a_way_out(open_folder: Path) -> None:
    service = service_in(open_folder)
    check_reach(service)
    open_folder.chmod(0o700)
    with pytest.raises(EscListenError, match=r"the user nobody cannot run .* /opt/esc-listen"):
        check_reach(service)


def test_a_program_among_temporary_files_is_refused() -> None:
    with pytest.raises(EscListenError, match="does not see /tmp/listen/bin"):
        check_reach(Service(("/tmp/listen/bin/esc-listen",), (), pwd.getpwuid(os.geteuid()).pw_name))


def test_a_user_name_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="not a name of a user"):
        Service(("/bin/true",), (), "root\nExecStart=/bin/sh")
