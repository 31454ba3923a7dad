"""``esc-listen service``: a systemd unit, printed or installed."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template

from streamer.errors import EscListenError, SettingsError
from streamer.settings import Settings, read_settings

NAME = "esc-listen"
STATE_FOLDER = Path("/var/lib") / NAME
UNIT_PATH = Path("/etc/systemd/system") / f"{NAME}.service"

UNIT = Template("""\
# Written by esc-listen service. For changes of your own: sudo systemctl edit esc-listen
[Unit]
Description=Hears environmental sounds and logs them (esc-listen)
After=sound.target
# What fails at once fails again and again: give up then. Restarts by the watchdog are too rare for that.
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart=$command
ExecReload=/bin/kill -HUP $$MAINPID
Restart=on-failure
RestartSec=10
# Wrong usage does not get better by trying again.
RestartPreventExitStatus=2
# Fed by samples that arrive. The program itself reopens the microphone, every half a minute at least; a
# new process is the last thing to try. SIGTERM lets it finish its log if it still can.
WatchdogSec=300
WatchdogSignal=SIGTERM
TimeoutStopSec=10

User=$user
SupplementaryGroups=audio
StateDirectory=esc-listen
StateDirectoryMode=0755
WorkingDirectory=$state
UMask=0022
LimitCORE=0

# It may write its log and nothing else.
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
$writable
# It may record, and talk to a sound server on this machine; never to a network.
DevicePolicy=closed
DeviceAllow=char-alsa rw
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any

# It has no rights that a program of any user does not have. The processor's description in /proc must
# stay visible: the network library chooses its kernels by it (hence no ProcSubset). The sound library
# calls back through code that it makes at run time (hence no MemoryDenyWriteExecute).
NoNewPrivileges=yes
CapabilityBoundingSet=
LockPersonality=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
""")


@dataclass(frozen=True)
class Service:
    """What the unit runs."""

    program: tuple[str, ...]
    """The command without its arguments; the first is an absolute path."""

    arguments: tuple[str, ...]
    """Options of ``esc-listen``."""

    user: str = NAME
    reads: tuple[Path, ...] = ()
    """Absolute paths of the files that the arguments name."""

    writes: tuple[Path, ...] = ()
    """Absolute paths of the files that it appends to."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders beside its own one that it must be able to write to."""
        return tuple(sorted({path.parent for path in self.writes if not path.is_relative_to(STATE_FOLDER)}))

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", self.user):
            raise SettingsError(f"--user {self.user!r}: not a name of a user, as in --user {NAME}")
        for text in (*self.program, *self.arguments, *map(str, self.folders)):
            if any(ord(character) < 32 for character in text):
                raise SettingsError(f"{text!r} has control characters, which a systemd unit cannot hold")


def quoted(text: str) -> str:
    """A word as systemd reads it back, see "command lines" in ``systemd.service(5)``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = re.fullmatch(r"[\w@%+=:,./-]+", escaped)
    return escaped if plain else f'"{escaped}"'


def unit_text(service: Service) -> str:
    """The unit file."""
    # In ReadWritePaths a $ has no meaning; a folder that is missing must not keep us from starting.
    folders = [quoted(str(folder)).replace("$$", "$") for folder in service.folders]
    return UNIT.substitute(
        command=" ".join(map(quoted, (*service.program, *service.arguments))),
        user=service.user,
        state=STATE_FOLDER,
        writable="".join(f"ReadWritePaths={folder}\n" for folder in folders),
    )


def this_program() -> tuple[str, ...]:
    """The command that is running now, for a unit."""
    beside = Path(sys.executable).with_name("esc-listen")
    return (str(beside),) if beside.is_file() else (sys.executable, "-m", "streamer.cli")


def service_of(options: argparse.Namespace) -> Service:
    """The service that the options describe.

    Raises:
        SettingsError: what it shall do does not work in a service.
    """
    from streamer.cli import build_parser as build_listen_parser
    from streamer.cli import with_options

    config = str(Path(options.config).resolve()) if options.config else None
    given = [
        *("--plain", "--wait"),
        *(("--config", config) if config else ()),
        *(("--device", options.device) if options.device else ()),
        *(("--csv", options.csv) if options.csv else ()),
        *options.more,
    ]
    listening = build_listen_parser().parse_intermixed_args(given)
    if listening.demo or listening.list_devices or listening.list_models or listening.screenshot:
        raise SettingsError("a service listens: leave out --demo, --list-... and --screenshot")
    settings = with_options(
        read_settings(Path(listening.config)) if listening.config else Settings(), listening
    )
    if settings.source.input != ("mic",):
        raise SettingsError("a service listens to a microphone: leave out --input")
    model = Path(settings.model.name)
    if model.suffix == ".tflite" and not model.is_absolute():
        raise SettingsError(f"--model {model}: give the whole path; a service does not run in this folder")
    read = [Path(listening.config)] if listening.config else []
    return Service(
        this_program(),
        tuple(given),
        options.user,
        tuple(read + ([model] if model.is_absolute() else [])),
        written_files(settings),
    )


def written_files(settings: Settings) -> tuple[Path, ...]:
    """What a listener with these settings writes; relative paths lie in the state folder."""
    log = settings.log
    return tuple(STATE_FOLDER / path for path in (log.csv, log.journal) if path not in ("", "auto"))


def install(service: Service, replace: bool) -> list[str]:
    """Make the user, check that it can do the work, write the unit.

    Returns:
        What was done, a line each.

    Raises:
        EscListenError: no right to do it, or the service could not work.
    """
    if os.geteuid() != 0:
        raise EscListenError(
            f"--install needs root; run it as: sudo {' '.join(service.program)} service --install ..."
        )
    done = [*ensure_user(service.user)]
    check_reach(service)
    done.append(write_unit(unit_text(service), UNIT_PATH, replace))
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    return done


def ensure_user(name: str, root: Path = Path("/")) -> list[str]:
    """Make a system user without a password, if there is none of this name.

    Args:
        name: of the user.
        root: the system that it belongs to.

    Raises:
        EscListenError: it cannot be made.
    """
    with contextlib.suppress(KeyError):
        pwd.getpwnam(name)
        return []
    line = f'u {name} - "esc-listen" {STATE_FOLDER} /usr/sbin/nologin'
    try:
        subprocess.run(
            ["systemd-sysusers", f"--root={root}", "--inline", line],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise EscListenError(f"there is no systemd-sysusers here; make the user {name} yourself") from error
    except subprocess.CalledProcessError as error:
        raise EscListenError(f"cannot make the user {name}: {error.stderr.strip()}") from error
    return [f"made the user {name}"]


def check_reach(service: Service) -> None:
    """Try, as the user of the service, what it will have to do.

    Raises:
        EscListenError: the user cannot start the program, read a file or write to a folder.
    """
    user = pwd.getpwnam(service.user)

    def succeeds(*command: str) -> bool:
        try:
            done = subprocess.run(
                command, capture_output=True, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=()
            )
        except OSError:
            return False
        return done.returncode == 0

    where = Path(service.program[0])
    move = "sudo python3 -m venv /opt/esc-listen && sudo /opt/esc-listen/bin/pip install ."
    if where.is_relative_to("/tmp") or where.is_relative_to("/var/tmp"):
        raise EscListenError(f"a service does not see {where.parent}; install it elsewhere: {move}")
    if not succeeds(*service.program, "--list-models"):
        raise EscListenError(
            f"the user {service.user} cannot run {where} (a home folder is closed to others); "
            f"install it for all: {move} -- or name the user that owns it with --user"
        )
    for path in service.reads:
        if not succeeds("test", "-r", str(path)):
            raise EscListenError(
                f"the user {service.user} cannot read {path}; move it, or open it: chmod a+r"
            )
    for folder in service.folders:
        if not succeeds("test", "-w", str(folder)):
            raise EscListenError(
                f"the user {service.user} cannot write to {folder}; give it a folder of its own: "
                f"sudo install -d -o {service.user} FOLDER, or leave out --csv to log in {STATE_FOLDER}"
            )
    for path in service.writes:
        if path.exists() and not succeeds("test", "-w", str(path)):
            raise EscListenError(
                f"the user {service.user} cannot write to {path}: sudo chown {service.user} {path}"
            )


def write_unit(text: str, path: Path, replace: bool = False) -> str:
    """Write the unit; tells what was done.

    Raises:
        EscListenError: there is another one, or no right to write.
    """
    try:
        there = path.read_text(encoding="utf-8") if path.exists() else None
        if there == text:
            return f"{path} is already as it should be"
        if there is not None and not replace:
            raise EscListenError(
                f"{path} is different, perhaps changed by hand: compare it with what --print gives; "
                f"--replace puts the new one in its place and keeps the old one as {path.name}.old"
            )
        if there is not None:
            path.replace(path.with_name(f"{path.name}.old"))
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise EscListenError(f"cannot write {path}: {error.strerror}") from error
    return f"wrote {path}" if there is None else f"wrote {path}; the old one is {path.name}.old"


def build_parser() -> argparse.ArgumentParser:
    """The options of ``esc-listen service``."""
    parser = argparse.ArgumentParser(
        prog="esc-listen service",
        description="Print or install a systemd service that listens to a microphone.",
        epilog="example: sudo esc-listen service --install --device usb -- --labels dog,siren",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--print", action="store_true", help="print the unit and do nothing")
    what.add_argument("--install", action="store_true", help="make the user and install the unit (as root)")
    parser.add_argument("--user", default=NAME, metavar="NAME", help=f"it runs as this user (default {NAME})")
    parser.add_argument("--device", metavar="NAME", help="microphone: part of its name")
    parser.add_argument("--csv", metavar="PATH", help=f"the event log (default in {STATE_FOLDER})")
    parser.add_argument("--config", metavar="TOML", help="settings; see esc-listen config --print-default")
    parser.add_argument("--replace", action="store_true", help="install over a unit that is different")
    parser.add_argument("--debug", action="store_true", help="show the full traceback when it fails")
    parser.add_argument("more", nargs="*", metavar="-- OPTION", help="more options of esc-listen")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run ``esc-listen service``."""
    service = service_of(options)
    if options.print:
        print(unit_text(service), end="")
        return 0
    for line in install(service, options.replace):
        print(line)
    for path in service.writes:
        print(f"it will write to {path}")
    print(f"start it, now and at every boot:  sudo systemctl enable --now {NAME}")
    print(f"after a change:                   sudo systemctl restart {NAME}")
    print(f"see how it does:                  systemctl status {NAME}")
    print(f"what it hears:                    journalctl -u {NAME} -f")
    return 0
