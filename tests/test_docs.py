"""What the documents say exists: the files that they link to, the commands and options that they show."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from streamer import cli as listen_cli
from trainer import cli as train_cli

REPOSITORY = Path(__file__).parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:src|srcset|href)=\"([^\"]+)\"")
ELSEWHERE = re.compile(r"^[a-z]+:")
CONTROLS = re.compile(r"^[|&;()<>]+$")


def words_of(line: str) -> list[str]:
    """A line of shell in words; ``|``, ``&&`` and their like are words of their own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def invocations(text: str) -> Iterator[list[str]]:
    """Every call of esc-train or esc-listen in the shell blocks of a document, beginning with the name."""
    for language, block in FENCE.findall(text):
        if language not in ("sh", "bash", "shell"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command: list[str] = []
            for word in [*words_of(line), ";"]:
                if not CONTROLS.match(word):
                    command.append(word)
                    continue
                while command and (command[0] in ("sudo", "do") or re.match(r"^[A-Z_]+=", command[0])):
                    del command[0]
                if command and Path(command[0]).name in ("esc-train", "esc-listen"):
                    yield [Path(command[0]).name, *command[1:]]
                command = []


def parser_of(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The very parser that takes these words, and those of them that it takes.

    Raises:
        ValueError: there is no such subcommand.
    """
    program, *rest = words
    if program == "esc-listen":
        if rest and rest[0] in listen_cli.COMMANDS:
            module = importlib.import_module(listen_cli.COMMANDS[rest[0]])
            parser: argparse.ArgumentParser = module.build_parser()
            return parser, rest[1:]
        return listen_cli.build_parser(), rest
    for action in train_cli.build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            if not rest or rest[0] not in action.choices:
                raise ValueError(f"esc-train has no subcommand {rest[:1]}")
            return action.choices[rest[0]], rest[1:]
    raise AssertionError("esc-train has no subcommands at all")


def problem_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Why a call would be refused, or nothing. What ``...`` or a variable stands for is not asked."""
    try:
        parser, rest = parser_of(words)
    except ValueError as error:
        return str(error)
    if any(word == "..." or "$" in word for word in rest):
        own = rest[: rest.index("--")] if "--" in rest else rest
        given = [word.partition("=")[0] for word in own if word.startswith("--")]
        unknown = [option for option in given if option not in parser._option_string_actions]
        return f"unknown: {', '.join(unknown)}" if unknown else ""
    parser.allow_abbrev = False
    try:
        parser.parse_args(rest)
    except SystemExit as end:
        said = capsys.readouterr().err.strip().splitlines()
        return said[-1] if end.code else ""
    return ""


def anchors_of(document: Path) -> set[str]:
    """What links may name behind ``#``: headings as they become identifiers."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path, text: str) -> list[str]:
    """Links and pictures of a document that lead nowhere; addresses of other machines are not tried."""
    broken = []
    for found in LINK.finditer(FENCE.sub("", text)):
        target = found[1] or found[2]
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors_of(path)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    assert broken_links(document, document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_are_understood(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {}
    for words in invocations(document.read_text(encoding="utf-8")):
        if problem := problem_of(words, capsys):
            refused[shlex.join(words)] = problem
    assert refused == {}


def test_commands_are_found_in_documents_at_all() -> None:
    found = [words for document in DOCUMENTS for words in invocations(document.read_text(encoding="utf-8"))]
    assert {"esc-train", "esc-listen"} == {words[0] for words in found}
    assert len(found) > 20


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("esc-train fly there", "no subcommand"),
        ("esc-train fit house.toml --data folder=house --out runs --epochs 3", "--epochs"),
        ("esc-train fit house.toml --dat folder=house --out runs", "--dat"),
        ("esc-train fit ... --epochs 3", "--epochs"),
        ("for n in 1 2; do esc-train fit tiny --out $n --epochs 3; done", "--epochs"),
        ("scripts/setup && .venv/bin/esc-listen --quietly", "--quietly"),
        ("esc-train evaluate model.tflite", "--data"),
        ("sudo esc-listen service --install --labels dog", "--labels"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = invocations(f"text\n\n```sh\n{line}\n```\n")
    assert complaint in problem_of(words, capsys)


@pytest.mark.parametrize(
    "line",
    [
        "esc-train export runs/house ... --out house.tflite",
        "arecord -t raw | .venv/bin/esc-listen --input - --rate 44100   # live",
        "esc-train fit tiny --data esc50=ESC-50 \\\n    --out runs/tiny",
        "esc-listen service --install --device usb -- --labels dog",
        "esc-train mix --data esc50=ESC-50 --style free --seed $seed --out mixes-$seed",
        "esc-listen --help",
    ],
)
def test_a_right_command_is_left_alone(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = invocations(f"```sh\n{line}\n```\n")
    assert problem_of(words, capsys) == ""


def test_a_lost_picture_and_a_lost_heading_are_noticed(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    (tmp_path / "there.svg").touch()
    text = """# One heading
[up](#one-heading) [gone](#another-heading) ![here](there.svg) ![lost](lost.svg) [out](https://example.org)
```
[not a link](nowhere.md)
```
<img src="lost.png">
"""
    document.write_text(text, encoding="utf-8")
    assert broken_links(document, text) == ["#another-heading", "lost.svg", "lost.png"]
