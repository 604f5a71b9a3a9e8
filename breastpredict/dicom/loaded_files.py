"""The pixels of volumes that are no DICOM, read slice by slice where the file allows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.itk import quietly
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry


@dataclass(frozen=True)
class LoadedPixels:
    """The slices of an image, or of one volume of a file."""

    image: sitk.Image | None
    file: Path | None
    frame: int | None
    geometry: Geometry

    @property
    def name(self) -> str:
        return "loaded volume" if self.file is None else str(self.file)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Slices ``[start, stop)`` as ``[k, j, i]``.

        Raises:
            InputError: the file cannot be read any more.
        """
        if self.image is not None:
            array = sitk.GetArrayViewFromImage(self.image)[start:stop]
            return np.asarray(array, dtype=np.float32)
        assert self.file is not None
        reader = _reader(self.file)
        index, size = [0] * reader.GetDimension(), list(reader.GetSize())
        index[2], size[2] = start, stop - start
        if reader.GetDimension() == 4:
            index[3], size[3] = (self.frame or 1) - 1, 0
        if reader.GetNumberOfComponents() == 1:  # only the region is read where the format allows
            reader.SetExtractIndex(index)
            reader.SetExtractSize(size)
            return np.asarray(sitk.GetArrayFromImage(_executed(reader, self.file)), np.float32)
        whole = _executed(reader, self.file)
        part = sitk.VectorIndexSelectionCast(whole, (self.frame or 1) - 1)
        return np.asarray(sitk.GetArrayViewFromImage(part)[start:stop], np.float32)


def pixels_of(volume: sitk.Image | Path, frame: int | None = None) -> LoadedPixels:
    """Where a volume's pixels are, its geometry checked.

    Args:
        volume: the image, or its file.
        frame: 1-based, in a file that holds several volumes.

    Raises:
        InputError: the file is damaged, states no spacing, or the frame is not in it.
    """
    if isinstance(volume, sitk.Image):
        return LoadedPixels(volume, None, None, _geometry_of(volume, "loaded volume"))
    file = Path(volume)
    reader = _reader(file)
    several = reader.GetSize()[3] if reader.GetDimension() == 4 else reader.GetNumberOfComponents()
    if reader.GetDimension() not in (3, 4) or (
        reader.GetDimension() == 4 and reader.GetNumberOfComponents() > 1
    ):
        raise InputError("The file holds no volume", path=file)
    if several > 1 and frame is None:
        raise InputError(
            f"The file holds {several} volumes", path=file, remedy="Say which in the column frame"
        )
    if frame is not None and frame > several:
        raise InputError(f"The file holds {several} volumes, not {frame}", path=file)
    return LoadedPixels(None, file, frame, _geometry_of(reader, str(file)))


def _reader(file: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        with quietly():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            "The volume is damaged or of an unknown kind",
            path=file,
            remedy="Give NRRD, NIfTI, MetaImage or a Slicer sequence",
        ) from error
    return reader


def _executed(reader: sitk.ImageFileReader, file: Path) -> sitk.Image:
    try:
        with quietly():
            image: sitk.Image = reader.Execute()
            return image
    except RuntimeError as error:
        raise InputError("The volume is damaged", path=file) from error


def _geometry_of(volume: Any, name: str) -> Geometry:
    """The grid of the first three axes of an image, or of what a reader has found out.

    Raises:
        InputError: it is no volume, or its file states no voxel size.
    """
    count = volume.GetDimension()
    if count not in (3, 4):
        raise InputError("This is no volume", path=name)
    axes = np.array(volume.GetDirection()).reshape(count, count)[:3, :3]
    spacing, origin = volume.GetSpacing()[:3], volume.GetOrigin()[:3]
    if set(spacing) == {1.0} and not np.any(origin) and np.array_equal(np.abs(axes), np.eye(3)):
        raise InputError(
            "The volume states neither voxel size nor place",
            path=name,
            remedy="Save it with its geometry",
        )
    i, j, k = volume.GetSize()[:3]
    (x, y, z), (a, b, c) = origin, spacing
    return Geometry((i, j, k), (a, b, c), (x, y, z), tuple(axes.ravel().tolist()))
