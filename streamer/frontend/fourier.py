"""The Fourier transform of real frames, by the fastest library that is installed.

SciPy's transform takes half the time of NumPy's, because it works on several frames at once. Importing
``scipy.fft`` would take a third of a second and 30 MB for other things, so its compiled module is loaded
by itself. Where SciPy keeps it elsewhere, NumPy's transform serves as well.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ComplexArray = NDArray[np.complex64]

MODULE = "pypocketfft"
FOLDER = "fft/_pocketfft"

LANES = 4
"""Frames that SciPy transforms at once. The rest of a batch would take another path, whose last bits might
differ, so batches are whole multiples of this."""


@cache
def load_pocketfft() -> Any:
    """SciPy's compiled transform, or None where it is not found."""
    scipy = importlib.util.find_spec("scipy")
    for folder in (scipy.submodule_search_locations or []) if scipy else []:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / FOLDER / (MODULE + suffix)
            spec = importlib.util.spec_from_file_location(MODULE, path) if path.is_file() else None
            if spec is None or spec.loader is None:
                continue
            try:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                module.r2c(np.ones((LANES, 8), np.float32), (1,), True, 0, None, 1)
            except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
                continue
            return module
    return None


class RealTransform:
    """Transforms batches of up to `most` frames of `samples` samples each, in memory of its own."""

    def __init__(self, most: int, samples: int) -> None:
        rows = -(-most // LANES) * LANES
        self.frames = np.zeros((rows, samples), np.float32)
        """Where the frames are put, from the first row on."""

        # numpy's stub allows only complex128 as `out`.
        self._spectrum: Any = np.empty((rows, samples // 2 + 1), np.complex64)
        self._pocketfft = load_pocketfft()

    def __call__(self, count: int) -> ComplexArray:
        """Spectra of the first `count` frames, shape (count, samples // 2 + 1); valid until the next call."""
        if self._pocketfft is None:
            np.fft.rfft(self.frames[:count], out=self._spectrum[:count])
        else:
            rows = -(-count // LANES) * LANES
            forward, unscaled, threads = True, 0, 1
            self._pocketfft.r2c(self.frames[:rows], (1,), forward, unscaled, self._spectrum[:rows], threads)
        spectra: ComplexArray = self._spectrum[:count]
        return spectra
