"""What the commands of both systems keep, and how images go to the asker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydicom
import SimpleITK as sitk

from breastpredict.dicom.ultrasound_file import text_of
from breastpredict.files import write_atomic

PATIENT = "PatientName PatientID PatientBirthDate StudyDate StudyDescription".split()
"""What the reader is told of whose study it is."""

T = TypeVar("T")


class Kept(Generic[T]):
    """The last thing of a kind that was made, as long as its files are the same."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._made: list[T] = []

    def get(self, make: Callable[[], T], files: Iterable[Path], *key: Any) -> T:
        """What was made before, where key and files are those of before; else a new one.

        Args:
            make: makes it.
            files: what it is made of.
            key: what else it depends on.
        """
        now = (*key, *_stamps(files))
        if self._key != now:
            self._key, self._made = None, []
            self._made = [make()]
            self._key = now
        return self._made[0]


def run_files(run: str) -> list[Path]:
    """The files of a run's bundles."""
    return sorted(path for path in Path(run).glob("*/*/*") if path.is_file())


def patient_of(header: pydicom.Dataset | None) -> dict[str, str]:
    """Whose study a file is of; empty texts where that is not known."""
    return {keyword: text_of(header, keyword) for keyword in PATIENT}


def write_image(image: sitk.Image, folder: str, name: object) -> str:
    """Write an image for the asker, not compressed; returns the file."""
    path = Path(folder) / f"{name}.nrrd"
    with write_atomic(path) as temporary:
        sitk.WriteImage(image, str(temporary), False)
    return str(path)


def _stamps(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """What tells that a file is another than before."""
    found = [(os.path.abspath(path), path.stat()) for path in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
