"""Fetching: from real servers that cut, refuse and forget; archives that are not to be trusted."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import wait_until
from conftest import skip_or_fail
from disks import small_disk, unwritable_folder
from test_datasets import ESC50_COLUMNS, ESC50_ROWS, URBANSOUND8K_COLUMNS, URBANSOUND8K_ROWS

import trainer.download
from trainer.cli import main
from trainer.commands.fetch import DATASETS, NETWORKS
from trainer.datasets import read_dataset
from trainer.datasets.fetch import ARCHIVES, Archive, fetch, fetch_archive
from trainer.download import URL_VARIABLE, FetchError
from trainer.networks.published import PUBLISHED, Published, fetch_published

NOISE = os.urandom(400_000)
"""What makes archives large: nothing compresses it."""


def table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([columns, *rows])
    return file.getvalue().encode()


ESC50_FILES = {
    "ESC-50-33c8/README.md": b"ESC-50",
    "ESC-50-33c8/.github/stale.yml": b"-",
    "ESC-50-33c8/meta/esc50.csv": table(ESC50_COLUMNS, ESC50_ROWS),
    **{f"ESC-50-33c8/audio/{row[0]}": NOISE[at:] for at, row in enumerate(ESC50_ROWS)},
}
URBANSOUND8K_FILES = {
    "UrbanSound8K/UrbanSound8K_README.txt": b"UrbanSound8K",
    "UrbanSound8K/audio/.DS_Store": b"-",
    "UrbanSound8K/metadata/UrbanSound8K.csv": table(URBANSOUND8K_COLUMNS, URBANSOUND8K_ROWS),
    **{f"UrbanSound8K/audio/fold{row[5]}/{row[0]}": NOISE[at:] for at, row in enumerate(URBANSOUND8K_ROWS)},
}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


ESC50_ZIP = zipped(ESC50_FILES)
URBANSOUND8K_TAR = tarred(URBANSOUND8K_FILES)


def small(name: str, packed: bytes) -> Archive:
    """A published archive whose content is a handful of clips."""
    archive = ARCHIVES[name]
    return replace(
        archive,
        clips=len(ESC50_ROWS if name == "esc50" else URBANSOUND8K_ROWS),
        packed_bytes=0,
        unpacked_bytes=0,
        md5=hashlib.md5(packed).hexdigest() if archive.md5 else None,
    )


@dataclass
class Server:
    """A web server with one file, and manners of its own."""

    url: str = ""
    content: bytes = b""
    ranges: bool = True
    chunked: bool = False
    """Does not say how long the file is, as GitHub does with archives."""

    cut_after: int | None = None
    """Bytes of each answer after which the connection breaks."""

    wait_after: int | None = None
    """Bytes after which nothing more comes."""

    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    """The range of each request."""

    released: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Answers for `Server`."""

    protocol_version = "HTTP/1.1"
    manners: Server

    def do_GET(self) -> None:
        self.close_connection = True
        server = self.manners
        server.asked.append(self.headers["Range"])
        if server.status != 200:
            self.send_error(server.status)
            return
        first = 0
        if self.headers["Range"] and server.ranges:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])
            assert match
            first = int(match[1])
            if first >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        rest = server.content[first:]
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        sent = rest[: server.cut_after][: server.wait_after]
        if server.chunked:
            for start in range(0, len(sent), 50_000):
                piece = sent[start : start + 50_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if sent == rest:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(sent)
        self.wfile.flush()
        if server.wait_after is not None:
            server.released.wait(30)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine; fetching asks it instead of the published addresses."""
    manners = Server()
    handler = type("HandlerOfOne", (Handler,), {"manners": manners})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        manners.url = f"http://127.0.0.1:{http.server_port}/mirror"
        monkeypatch.setenv(URL_VARIABLE, manners.url)
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield manners
        finally:
            manners.released.set()
            http.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between attempts here."""
    monkeypatch.setattr(trainer.download, "PAUSE_S", 0.0)


def refusal(archive: Archive, to: Path) -> str:
    """The line with which fetching ends."""
    with pytest.raises(FetchError) as caught:
        fetch_archive(archive, to)
    line = str(caught.value)
    assert "\n" not in line
    return line


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What works


@pytest.mark.parametrize(
    ("name", "packed"), [("esc50", ESC50_ZIP), ("urbansound8k", URBANSOUND8K_TAR)], ids=["zip", "tar"]
)
def test_a_dataset_is_fetched_once(server: Server, tmp_path: Path, name: str, packed: bytes) -> None:
    server.content = packed
    to = tmp_path / "data" / "here"
    assert fetch_archive(small(name, packed), to) == to
    clips = read_dataset(name, to)
    assert [clip.path.read_bytes() for clip in clips] == [NOISE[at:] for at in range(len(clips))]
    # No archive, no outer folder, nothing hidden is left.
    assert not [name for name in names(to) if "/." in f"/{name}" or "gz" in name or "zip" in name]
    assert {path.name for path in to.iterdir()} == {"audio", *small(name, packed).folders} | {
        "README.md" if name == "esc50" else "UrbanSound8K_README.txt"
    }
    assert fetch_archive(small(name, packed), to) == to
    assert server.asked == [None]


def test_a_server_that_does_not_say_how_long_a_file_is(server: Server, tmp_path: Path) -> None:
    server.content, server.chunked, server.ranges = ESC50_ZIP, True, False
    fetch_archive(small("esc50", ESC50_ZIP), tmp_path)
    assert len(read_dataset("esc50", tmp_path)) == 4


def test_an_address_that_was_given_comes_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = ESC50_ZIP
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9/nothing")
    fetch_archive(small("esc50", ESC50_ZIP), tmp_path, f"{server.url}/")
    assert server.asked == [None]


def test_a_broken_connection_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.content, server.cut_after = URBANSOUND8K_TAR, 400_000
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert len(read_dataset("urbansound8k", tmp_path)) == 3
    assert server.asked == [None, "bytes=400000-", "bytes=800000-", "bytes=1200000-"]


def test_a_finished_archive_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ESC-50.zip").write_bytes(ESC50_ZIP)
    (tmp_path / ".unpacking" / "audio").mkdir(parents=True)  # It was stopped while it was unpacked.
    (tmp_path / ".unpacking" / "audio" / "1-100-A-0.wav").write_bytes(b"half")
    fetch_archive(small("esc50", ESC50_ZIP), tmp_path)
    assert server.asked == []
    assert read_dataset("esc50", tmp_path)[0].path.read_bytes() == NOISE


# Parts of earlier attempts


@pytest.mark.parametrize("there", [1, 300_000, len(URBANSOUND8K_TAR) - 1])
def test_a_part_is_continued(server: Server, tmp_path: Path, there: int) -> None:
    server.content = URBANSOUND8K_TAR
    (tmp_path / "UrbanSound8K.tar.gz.part").write_bytes(URBANSOUND8K_TAR[:there])
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert server.asked == [f"bytes={there}-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.content, server.ranges = URBANSOUND8K_TAR, False
    (tmp_path / "UrbanSound8K.tar.gz.part").write_bytes(b"something else" * 30_000)
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert server.asked == ["bytes=420000-"]


def test_a_part_that_is_the_whole_is_complete(server: Server, tmp_path: Path) -> None:
    server.content = URBANSOUND8K_TAR
    (tmp_path / "UrbanSound8K.tar.gz.part").write_bytes(URBANSOUND8K_TAR)
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert server.asked == [f"bytes={len(URBANSOUND8K_TAR)}-"]


def test_a_part_that_is_longer_than_the_whole_is_none(server: Server, tmp_path: Path) -> None:
    server.content = URBANSOUND8K_TAR
    (tmp_path / "UrbanSound8K.tar.gz.part").write_bytes(URBANSOUND8K_TAR + b"more")
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert server.asked == [f"bytes={len(URBANSOUND8K_TAR) + 4}-", None]


# Connections


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_that_never_gets_farther(server: Server, tmp_path: Path, chunked: bool) -> None:
    server.content, server.ranges, server.chunked = URBANSOUND8K_TAR, False, chunked
    server.cut_after = 500_000
    line = refusal(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert line.startswith("no connection to 127.0.0.1 after 0.5 MB: it broke off; ")
    assert line.endswith("the same command continues")
    assert len(server.asked) == 5
    # What came is there, and the same command continues.
    assert (tmp_path / "UrbanSound8K.tar.gz.part").read_bytes() == URBANSOUND8K_TAR[:500_000]
    server.ranges, server.cut_after = True, None
    fetch_archive(small("urbansound8k", URBANSOUND8K_TAR), tmp_path)
    assert server.asked[5:] == ["bytes=500000-"]


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9")
    line = refusal(small("esc50", ESC50_ZIP), tmp_path)
    assert line.startswith("no connection to 127.0.0.1: Connection refused; check the network")


def test_a_server_that_falls_silent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.download, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(trainer.download, "PATIENCE", 1)
    server.content, server.ranges, server.wait_after = ESC50_ZIP, False, 300_000
    line = refusal(small("esc50", ESC50_ZIP), tmp_path)
    assert line.startswith("no connection to 127.0.0.1 after 0.3 MB: timed out; ")
    assert (tmp_path / "ESC-50.zip.part").read_bytes() == ESC50_ZIP[:300_000]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, rf"/mirror/ESC-50\.zip is not there any more \(404\); set {URL_VARIABLE} to"),
        (503, r"cannot be downloaded now: 503 Service Unavailable; try again later"),
    ],
)
def test_a_server_that_refuses(server: Server, tmp_path: Path, status: int, message: str) -> None:
    server.status = status
    assert re.search(message, refusal(small("esc50", ESC50_ZIP), tmp_path))
    assert len(server.asked) == 1


def test_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "mirror")
    assert "mirror/ESC-50.zip is no address" in refusal(small("esc50", ESC50_ZIP), tmp_path)


def test_an_unknown_dataset(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no dataset 'birds' to fetch; known are esc50, urbansound8k"):
        fetch("birds", tmp_path)
    assert names(tmp_path) == []


def test_stopped_by_the_user(server: Server, tmp_path: Path) -> None:
    server.content, server.wait_after = ESC50_ZIP, 600_000
    program = (
        "from pathlib import Path; from trainer.datasets.fetch import fetch; "
        f"fetch('esc50', Path({str(tmp_path)!r}))"
    )
    # As at a keyboard; a shell may have started the tests with the signal ignored.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {program}"
    running = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    part = tmp_path / "ESC-50.zip.part"
    try:
        wait_until(lambda: part.is_file() and part.stat().st_size > 0, "the download begins")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    finally:
        running.kill()
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    there = part.stat().st_size
    assert part.read_bytes() == ESC50_ZIP[:there]
    server.wait_after = None
    fetch_archive(small("esc50", ESC50_ZIP), tmp_path)
    assert server.asked[1:] == [f"bytes={there}-"]


# Archives that are not what they should be


def test_an_archive_with_another_checksum(server: Server, tmp_path: Path) -> None:
    server.content = tarred(URBANSOUND8K_FILES | {"UrbanSound8K/more.txt": b"more"})
    archive = small("urbansound8k", URBANSOUND8K_TAR)
    packed = tmp_path / "UrbanSound8K.tar.gz"
    for _ in range(2):
        line = refusal(archive, tmp_path)
        assert line.startswith(f"{packed} is not what was published: its MD5 is ")
        assert line.endswith(f"expected {archive.md5}; remove it to download it again")
        assert packed.read_bytes() == server.content
    assert len(server.asked) == 1
    packed.unlink()
    server.content = URBANSOUND8K_TAR
    fetch_archive(archive, tmp_path)
    assert len(read_dataset("urbansound8k", tmp_path)) == 3


def flipped(packed: bytes, at: int) -> bytes:
    return packed[:at] + bytes([packed[at] ^ 0x10]) + packed[at + 1 :]


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("esc50", flipped(ESC50_ZIP, len(ESC50_ZIP) // 2)),
        ("esc50", ESC50_ZIP[:-2_000]),
        ("esc50", b"<html>come back later</html>"),
        ("urbansound8k", flipped(URBANSOUND8K_TAR, len(URBANSOUND8K_TAR) // 2)),
        ("urbansound8k", URBANSOUND8K_TAR[:-2_000]),
        ("urbansound8k", b"<html>come back later</html>"),
    ],
)
def test_a_damaged_archive(server: Server, tmp_path: Path, name: str, packed: bytes) -> None:
    # With the right checksum, so that the archive's own ones have to tell.
    server.content = packed
    archive = small(name, packed)
    line = refusal(archive, tmp_path)
    assert line.startswith(f"{tmp_path / archive.file} ")
    assert "damaged" in line or "does not hold" in line
    assert line.endswith("remove it to download it again")
    assert not (tmp_path / "audio").exists()
    assert (tmp_path / archive.file).read_bytes() == packed


@pytest.mark.parametrize("without", ["audio/1-100-A-0.wav", "meta/esc50.csv"])
def test_an_archive_that_lacks_something(server: Server, tmp_path: Path, without: str) -> None:
    server.content = zipped({name: x for name, x in ESC50_FILES.items() if not name.endswith(without)})
    line = refusal(small("esc50", server.content), tmp_path)
    assert f"{tmp_path}/ESC-50.zip does not hold the 4 clips of ESC-50" in line


@pytest.mark.parametrize(
    "path",
    [
        "ESC-50/../../escaped.txt",
        "../escaped.txt",
        "/tmp/escaped.txt",
        "C:/escaped.txt",
        "a\\..\\..\\escaped.txt",
    ],
)
@pytest.mark.parametrize("name", ["esc50", "urbansound8k"])
def test_an_archive_with_a_path_outside(server: Server, tmp_path: Path, name: str, path: str) -> None:
    pack = zipped if name == "esc50" else tarred
    server.content = pack({path: b"evil"} | (ESC50_FILES if name == "esc50" else URBANSOUND8K_FILES))
    to = tmp_path / "a" / "b"
    assert "is not to be trusted: it holds " in refusal(small(name, server.content), to)
    assert [found for found in names(tmp_path) if "escaped" in found] == []
    assert not Path("/tmp/escaped.txt").exists()


def test_links_and_devices_are_not_unpacked(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for kind, name in ((tarfile.SYMTYPE, "out"), (tarfile.FIFOTYPE, "pipe")):
            member = tarfile.TarInfo(f"UrbanSound8K/{name}")
            member.type, member.linkname = kind, "../.."
            archive.addfile(member)
        for name, content in ({"./UrbanSound8K/out/x.txt": b"x"} | URBANSOUND8K_FILES).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    server.content = packed.getvalue()
    fetch_archive(small("urbansound8k", server.content), tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "out" / "x.txt").read_bytes() == b"x"
    assert not (tmp_path / "a" / "b" / "pipe").exists()
    assert not (tmp_path / "x.txt").exists()


# Folders and disks

Place = Callable[[Path], Path]


def test_a_folder_with_something_else_in_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "mine.wav").write_bytes(b"mine")
    line = refusal(small("esc50", ESC50_ZIP), tmp_path)
    assert line.startswith(f"{tmp_path / 'audio'} belongs to an incomplete ESC-50 or to something else")
    assert server.asked == []
    assert names(tmp_path) == ["audio/mine.wav"]


def test_a_folder_that_cannot_be_written_to(server: Server, tmp_path: Path) -> None:
    with unwritable_folder(tmp_path) as folder:
        assert refusal(small("esc50", ESC50_ZIP), folder / "data").startswith(
            f"cannot write to {folder / 'data'}: "
        )
    (tmp_path / "file").write_text("")
    assert "File exists" in refusal(small("esc50", ESC50_ZIP), tmp_path / "file")


def test_too_little_room_is_seen_before_the_download(server: Server, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        archive = replace(small("esc50", ESC50_ZIP), packed_bytes=645_000_000, unpacked_bytes=900_000_000)
        line = refusal(archive, disk)
        assert line.startswith(f"{disk} has 0.0 GB free, but ESC-50 needs 1.5 GB until it is unpacked")
    assert server.asked == []


def test_a_disk_that_gets_full(server: Server, tmp_path: Path) -> None:
    server.content = ESC50_ZIP
    with small_disk(tmp_path) as disk:
        line = refusal(small("esc50", ESC50_ZIP), disk)
        assert line.startswith(f"cannot write to {disk}: No space left on device; ")
        assert names(disk) == ["ESC-50.zip.part"]


# Networks

WEIGHTS = NOISE[:300_000]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    """A published network whose file is small noise."""
    network = replace(
        PUBLISHED["efficientat-mn04"],
        size_bytes=len(WEIGHTS),
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    )
    monkeypatch.setitem(PUBLISHED, network.name, network)
    return network


def test_the_command_line_knows_what_can_be_fetched() -> None:
    assert set(DATASETS) == set(ARCHIVES)
    assert set(NETWORKS) == set(PUBLISHED)


def test_a_network_is_fetched_once(
    server: Server, tmp_path: Path, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = WEIGHTS
    to = tmp_path / "networks" / "here"
    for _ in range(2):
        assert main(["fetch", published.name, "--to", str(to)]) == 0
        assert capsys.readouterr().out == f"{to / published.file}; licence MIT\n"
    assert (to / published.file).read_bytes() == WEIGHTS
    assert names(to) == [published.file]
    assert server.asked == [None]


def test_a_part_of_a_network_is_continued(server: Server, tmp_path: Path, published: Published) -> None:
    server.content, server.cut_after = WEIGHTS, 100_000
    (tmp_path / f"{published.file}.part").write_bytes(WEIGHTS[:70_000])
    assert fetch_published(published.name, tmp_path).read_bytes() == WEIGHTS
    assert server.asked == ["bytes=70000-", "bytes=170000-", "bytes=270000-"]


def test_a_network_with_another_checksum_is_refused(
    server: Server, tmp_path: Path, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = flipped(WEIGHTS, 1_000)
    file = tmp_path / published.file
    for _ in range(2):
        assert main(["fetch", published.name, "--to", str(tmp_path)]) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"{file} is not what was published: its SHA-256 is " in said
        assert said.endswith(f"expected {published.sha256}; remove it to download it again")
    assert len(server.asked) == 1
    file.unlink()
    server.content = WEIGHTS
    assert fetch_published(published.name, tmp_path) == file


def test_a_network_that_is_not_there(server: Server, tmp_path: Path, published: Published) -> None:
    server.status = 404
    with pytest.raises(FetchError, match=rf"{published.file} is not there any more \(404\); set"):
        fetch_published(published.name, tmp_path)
    with pytest.raises(FetchError, match="no network 'ear' to fetch; known are efficientat-mn04"):
        fetch_published("ear", tmp_path)
    with (
        unwritable_folder(tmp_path) as folder,
        pytest.raises(FetchError, match=f"cannot write to {folder / 'here'}: "),
    ):
        fetch_published(published.name, folder / "here")


@pytest.mark.recordings
def test_the_published_network_has_the_stated_checksum(
    server: Server, tmp_path: Path, esc_data: Path
) -> None:
    network = PUBLISHED["efficientat-mn04"]
    there = esc_data.parent / "peers" / network.file
    if not there.is_file():
        skip_or_fail(f"there is no {there}")
    server.content = there.read_bytes()
    assert len(server.content) == network.size_bytes
    assert fetch_published(network.name, tmp_path).read_bytes() == server.content
