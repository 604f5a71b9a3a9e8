"""DICOM files read by pydicom without making room for more than they hold."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pydicom
from pydicom.filereader import read_partial


class Bounded(io.BufferedReader):
    """A file of which no more can be asked for than it holds.

    Python makes room for all that is asked for before it reads, and pydicom asks for what an
    element states: a damaged length takes four gigabytes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes, all that are left where it is negative or None."""
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def read_dataset(path: Path, **options: Any) -> pydicom.Dataset:
    """``pydicom.dcmread`` of a file that may be damaged.

    Raises:
        OSError: the file cannot be read.
        Exception: pydicom raises many kinds on damage.
    """
    with Bounded(path) as file:
        return pydicom.dcmread(file, **options)


def read_meta(path: Path) -> pydicom.Dataset:
    """The file meta information alone; raises as `read_dataset` does."""
    with Bounded(path) as file:
        return read_partial(file, lambda tag, vr, length: tag.group != 2).file_meta
