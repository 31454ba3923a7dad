"""What can go wrong in the laboratory, each reported as one clear line."""

from __future__ import annotations


class ExportError(Exception):
    """A network cannot be exported as it was asked for."""
