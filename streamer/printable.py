"""Text that is safe to show on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters written out, as ``\\x1b``; line feeds too.

    Names of files and devices may hold anything, also what a terminal takes for a command.
    """
    return "".join(c if c.isprintable() or c == " " else _written_out(c) for c in text)


def _written_out(character: str) -> str:
    # A byte of a name that is no UTF-8 comes as half of a surrogate pair; whoever prints replaces it.
    return (
        character if "\ud800" <= character <= "\udfff" else character.encode("unicode_escape").decode("ascii")
    )
