"""What the command leaves alone: the network, and every file that nobody has named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from command import esc_listen, running, wait_until
from sounds import RATE_HZ, only_siren, pcm, siren, write_siren


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ([], {"esc-events.csv", "esc-events.journal.jsonl"}),
        (["--no-csv"], set()),
        (["--csv", "home.csv", "--no-journal"], {"home.csv"}),
        (["--csv", "home.csv", "--journal", "j.jsonl"], {"home.csv", "j.jsonl"}),
    ],
)
def test_only_the_files_that_were_named_are_written(
    tmp_path: Path, options: list[str], written: set[str]
) -> None:
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")}
    here = tmp_path / "here"
    for folder in (here, *folders.values()):
        folder.mkdir()
    environment = {name: str(folder) for name, folder in folders.items()}
    arguments = ["--input", "-", "--live", "--rate", str(RATE_HZ), *options, *only_siren()]
    done = esc_listen(*arguments, cwd=here, stdin=pcm(siren(3.0)), environment=environment)
    assert done.status == 0, done
    assert len(done.out_lines) == 1
    assert files_in(tmp_path) == {f"here/{name}" for name in written}


def test_a_recording_needs_one_file(tmp_path: Path) -> None:
    write_siren(tmp_path / "siren.wav", 3.0)
    assert esc_listen("--input", "siren.wav", *only_siren(), cwd=tmp_path).status == 0
    assert files_in(tmp_path) == {"siren.wav", "esc-events.csv"}


def internet_sockets() -> set[str]:
    """Inodes of all sockets of the internet protocols."""
    tables = [Path("/proc/net") / name for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()]
    return {words[9] for words in lines if len(words) > 9 and words[9].isdigit()}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells which sockets there are")
def test_no_socket_leads_to_a_network(tmp_path: Path) -> None:
    with running(
        "--input", "-", "--live", "--rate", str(RATE_HZ), cwd=tmp_path, stdin=subprocess.PIPE
    ) as run:
        assert run.process.stdin is not None
        run.process.stdin.write(pcm(siren(3.0)))
        run.process.stdin.flush()
        csv = tmp_path / "esc-events.csv"
        wait_until(lambda: (tmp_path / f"{csv.name}.open").exists(), "it hears something")
        targets = [str(link.readlink()) for link in Path(f"/proc/{run.process.pid}/fd").iterdir()]
        assert any(target.endswith(csv.name) for target in targets)
        sockets = {found[1] for target in targets if (found := re.fullmatch(r"socket:\[(\d+)\]", target))}
        assert not sockets & internet_sockets()
        run.process.stdin.close()
        assert run.finish().status == 0
