"""SimpleITK without its own words, and on files that may hold anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from breastpredict.dicom.complete import check_complete
from breastpredict.errors import InputError

MAXIMUM_VALUES = 2**31
"""Of a file: twenty phases of 512 × 512 × 400 voxels. What states more is damaged."""


@contextmanager
def quietly() -> Iterator[None]:
    """ITK and GDCM print what they raise as well; nothing is printed in the block."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def open_image(
    path: Path, damaged: str, remedy: str, *, whole: bool = True
) -> sitk.ImageFileReader:
    """A reader that has read the header of an image file.

    Args:
        path: the file.
        damaged: what is said of a file that cannot be read.
        remedy: what is said to do about it.
        whole: find out whether the file holds all its voxels, which takes as long as reading a
            compressed one.

    Raises:
        InputError: damaged, of an unknown kind, or of an absurd size.
    """
    if whole:
        check_complete(path, damaged)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quietly():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            damaged, remedy = "The axes of the image are not perpendicular", "Resample it"
        raise InputError(damaged, path=path, remedy=remedy) from error
    values = (
        float(np.prod(np.array(reader.GetSize(), dtype=float))) * reader.GetNumberOfComponents()
    )
    if values > MAXIMUM_VALUES:
        raise InputError(f"The image states an absurd size ({values:.2g} values)", path=path)
    check_real(reader, path)
    return reader


def check_real(image: sitk.Image | sitk.ImageFileReader, path: str | Path) -> None:
    """Raise InputError for an image of complex numbers."""
    kind = image.GetPixelID()  # type: ignore[no-untyped-call]
    if kind in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(
            "The image holds complex numbers", path=path, remedy="Give the magnitude image"
        )


def read_image(reader: sitk.ImageFileReader, path: Path, damaged: str) -> sitk.Image:
    """What an opened reader is set to read.

    Raises:
        InputError: the pixels are damaged.
    """
    try:
        with quietly():
            image: sitk.Image = reader.Execute()
            return image
    except RuntimeError as error:
        raise InputError(damaged, path=path) from error
