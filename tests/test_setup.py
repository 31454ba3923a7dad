"""`scripts/setup` on machines that lack something: one line that says what, and no ruins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import PATIENCE_S, Finished
from conftest import REPOSITORY

PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
TOOLS = ("sh", "dirname", "basename", "id", "env")

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "esc-listen"
version = "0"
"""

BACKEND = '''\
"""Builds a wheel with nothing in it, without a network."""
import zipfile


def build_wheel(folder, settings=None, metadata=None):
    name = "esc_listen-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        info = "esc_listen-0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: esc-listen\\nVersion: 0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''


@dataclass(frozen=True)
class Machine:
    """A machine with a checkout, and with no programs but those it was given."""

    root: Path

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def venv(self) -> Path:
        return self.checkout / ".venv"

    def program(self, name: str, script: str) -> None:
        """Give it a program, as a shell script."""
        path = self.root / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, *arguments: str, **environment: str) -> Finished:
        """Run `scripts/setup` there."""
        done = subprocess.run(
            [self.checkout / "scripts/setup", *arguments],
            cwd=self.root,
            env={"PATH": str(self.root / "bin"), "HOME": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    (machine.checkout / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts/setup", machine.checkout / "scripts")
    (machine.checkout / "pyproject.toml").write_text(PROJECT)
    (machine.checkout / "backend.py").write_text(BACKEND)
    return machine


def with_python(machine: Machine, *, venv: bool = True) -> None:
    """Give it our Python; without `venv` as Debian's is without python3-venv."""
    (machine.root / "hidden").mkdir(exist_ok=True)
    (machine.root / "hidden/ensurepip.py").write_text("raise ImportError('kept outside Python')\n")
    hide = "" if venv else f"PYTHONPATH={machine.root / 'hidden'} "
    machine.program("python3", f'{hide}exec "{PYTHON}" "$@"')


def one_line(done: Finished) -> str:
    """It stopped with status 1; the line that says why."""
    assert done.status == 1, done
    lines = [line for line in done.err.splitlines() if "no PortAudio" not in line and "no ffmpeg" not in line]
    assert len(lines) == 1, done.err
    return lines[0]


def test_no_python(machine: Machine) -> None:
    line = one_line(machine.setup())
    assert line.startswith("setup: Python 3.11 or later is needed, here is none;")
    assert "apt install python3 python3-venv" in line
    assert not machine.venv.exists()


def test_a_python_that_is_too_old(machine: Machine) -> None:
    machine.program("python3", '[ "$1" = --version ] && echo "Python 3.9.2" || exit 1')
    line = one_line(machine.setup())
    assert "Python 3.11 or later is needed, here is 3.9.2" in line
    assert not machine.venv.exists()


def test_a_later_python_beside_an_old_one_is_found(machine: Machine) -> None:
    machine.program("python3", '[ "$1" = --version ] && echo "Python 3.9.2" || exit 1')
    machine.program("python3.12", f'exec "{PYTHON}" "$@"')
    assert machine.setup().status == 0


def test_the_python_that_was_asked_for(machine: Machine) -> None:
    with_python(machine)
    assert "here is none" in one_line(machine.setup(ESC_PYTHON="python9"))


def test_a_missing_package_and_nobody_who_may_install_it(machine: Machine) -> None:
    with_python(machine, venv=False)
    machine.program("apt-get", "exit 100")
    machine.program("id", "echo 1000")
    line = one_line(machine.setup())
    assert "only root can install it: apt install python3-venv" in line
    assert not machine.venv.exists()


def test_a_missing_package_and_a_sudo_that_refuses(machine: Machine) -> None:
    with_python(machine, venv=False)
    machine.program("apt-get", "exit 100")
    machine.program("id", "echo 1000")
    machine.program("sudo", "exit 1")
    done = machine.setup()
    assert done.status == 1
    assert "apt install python3-venv" in done.err.splitlines()[-1]
    assert not machine.venv.exists()


def test_a_missing_package_is_installed(machine: Machine) -> None:
    with_python(machine, venv=False)
    machine.program("id", "echo 1000")
    machine.program("sudo", 'exec "$@"')
    whole = machine.root / "bin/python3"
    machine.program(
        "apt-get",
        f'echo "$@" >>{machine.root}/asked\n'
        f'''[ "$1" = update ] || printf '#!/bin/sh\\nexec "{PYTHON}" "$@"\\n' >{whole}''',
    )
    done = machine.setup()
    assert done.status == 0, done
    assert "python3-venv" in (machine.root / "asked").read_text().splitlines()[1]


def test_it_says_what_it_does_and_what_comes_next(machine: Machine) -> None:
    with_python(machine)
    done = machine.setup()
    assert done.status == 0, done
    steps = done.out_lines
    assert "making .venv with Python" in steps[-3]
    assert "installing . into .venv; the first time about" in steps[-2]
    assert steps[-2].endswith("MB are downloaded")
    assert steps[-1] == "setup: done; next: .venv/bin/esc-listen --demo"
    again = machine.setup()
    assert again.status == 0
    assert "making" not in again.out


@pytest.mark.parametrize("ruin", ["without pip", "python is gone", "an empty folder"])
def test_a_half_made_environment_is_repaired(machine: Machine, ruin: str) -> None:
    with_python(machine)
    if ruin == "without pip":
        command = [PYTHON, "-m", "venv", "--without-pip", machine.venv]
        subprocess.run(command, check=True, timeout=PATIENCE_S)
    else:
        (machine.venv / "bin").mkdir(parents=True)
    if ruin == "python is gone":
        (machine.venv / "bin/python").symlink_to("/nonexistent/python3")
        (machine.venv / "bin/python3").symlink_to("python")
    done = machine.setup()
    assert done.status == 0, done
    pip = [machine.venv / "bin/pip", "show", "esc-listen"]
    assert subprocess.run(pip, capture_output=True, timeout=PATIENCE_S, check=False).returncode == 0


def test_without_a_network_it_says_so_and_can_be_run_again(machine: Machine) -> None:
    with_python(machine)
    project = machine.checkout / "pyproject.toml"
    project.write_text(PROJECT.replace("requires = []", 'requires = ["setuptools"]'))
    done = machine.setup(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert done.status == 1
    assert "could not install everything" in done.err.splitlines()[-1]
    project.write_text(PROJECT)
    assert machine.setup().status == 0


def test_an_unknown_choice(machine: Machine) -> None:
    done = machine.setup("tests")
    assert done.status == 2
    assert done.err == "setup: unknown choice tests; use run, test, train or dev\n"
