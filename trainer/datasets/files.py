"""Sound files in folders, found with one listing a folder."""

from __future__ import annotations

from pathlib import Path

from streamer.sources.containers import SOUND_SUFFIXES, is_called_sound


def is_hidden(path: Path) -> bool:
    """Whether a name begins with a dot, like the ``._name`` twins that macOS leaves in archives."""
    return path.name.startswith(".")


def is_sound(path: Path) -> bool:
    """Whether a visible file is called as a sound file is: one that the listener hears, too."""
    return is_called_sound(path)


def entries_of(folder: Path, few: int = 4) -> str:
    """A few names in a folder, for a message."""
    try:
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not is_hidden(path))
    except OSError:
        return "no such folder"
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return ", ".join(names[:few]) + more if names else "nothing"


class SoundFiles:
    """The sound files of one folder, whatever their format."""

    def __init__(self, folder: Path) -> None:
        """List the folder; one that does not exist is empty."""
        self.folder = folder
        self._names: set[str] = set()
        self._by_stem: dict[str, Path] = {}
        found = [path for path in folder.iterdir() if is_sound(path)] if folder.is_dir() else []
        for path in sorted(found, key=lambda path: SOUND_SUFFIXES.index(path.suffix.lower())):
            self._names.add(path.name)
            self._by_stem.setdefault(path.stem, path)

    def find(self, name: str) -> Path | None:
        """The file of that name, or else the one that differs in its format only."""
        if name in self._names:
            return self.folder / name
        return self._by_stem.get(Path(name).stem)
