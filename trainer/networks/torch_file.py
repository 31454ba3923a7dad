"""Weights from a file that PyTorch wrote, without PyTorch and without trusting the file.

Such a file is a zip archive of uncompressed members: one pickle, which names tensors, and one member for
the numbers of each. A pickle can call whatever it names; this one may name nothing but what tensors are
made of.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from trainer.networks.shape import NetworkError

STORAGES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
"""PyTorch's names of numbers, and NumPy's."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name.

    Raises:
        NetworkError: it cannot be read, is no such file, or wants to be more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise NetworkError(f"{path} is no file of PyTorch weights: it is compressed")
            pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
            if len(pickles) != 1:
                raise NetworkError(f"{path} is no file of PyTorch weights: it holds no data.pkl")
            folder = pickles[0].removesuffix("data.pkl")
            with archive.open(pickles[0]) as stream:
                tensors = _TensorUnpickler(stream, archive, folder).load()
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise NetworkError(f"{path} is not to be trusted: {error}") from error
    except (
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise NetworkError(
            f"{path} is damaged or no file of PyTorch weights ({type(error).__name__}); fetch it again"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, np.ndarray) for name, tensor in tensors.items()
    ):
        raise NetworkError(f"{path} holds something else than tensors with names")
    return dict(tensors)


class _TensorUnpickler(pickle.Unpickler):
    """Reads a pickle that names only tensors, their storages and ordered dictionaries."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}"[:200])

    def persistent_load(self, reference: Any) -> np.ndarray:
        """The numbers of one storage."""
        kind, numbers, key, _, count = reference
        if kind != "storage" or numbers not in STORAGES.values():
            raise pickle.UnpicklingError("it refers to something else than numbers")
        content = self._archive.read(f"{self._folder}data/{key}")
        values = np.frombuffer(content, numbers)
        if len(values) != count:
            raise ValueError("a storage is too short or too long")
        return values


def _tensor(
    storage: np.ndarray,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: object,
) -> np.ndarray:
    """A tensor of a run of consecutive numbers."""
    consecutive = tuple(math.prod(size[at + 1 :]) for at in range(len(size)))
    # The step along an axis of length 1 says nothing.
    if any(n > 1 and step != wanted for n, step, wanted in zip(size, stride, consecutive, strict=True)):
        raise ValueError("a tensor's numbers are not consecutive")
    if min((offset, *size)) < 0:
        raise ValueError("a negative size")
    return storage[offset : offset + math.prod(size)].reshape(size).copy()
