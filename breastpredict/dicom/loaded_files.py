"""The pixels of volumes that are no DICOM, read slice by slice where the file allows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.itk import check_real, open_image, read_image
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry

_DETACHED = (".mhd", ".nhdr", ".hdr")
"""Headers whose pixels lie in a file of the same name beside them."""


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
            InputError: the file cannot be read any more, or a value is not finite.
        """
        values = self._read(start, stop)
        if not np.isfinite(values).all():
            raise InputError("The volume holds values that are not finite", path=self.name)
        return values

    def _read(self, start: int, stop: int) -> NDArray[np.float32]:
        if self.image is not None:
            array = sitk.GetArrayViewFromImage(self.image)[start:stop]
            return np.array(array, dtype=np.float32)
        assert self.file is not None
        reader = _reader(self.file, whole=False)
        index, size = [0] * reader.GetDimension(), list(reader.GetSize())
        index[2], size[2] = start, stop - start
        if reader.GetDimension() == 4:
            index[3], size[3] = (self.frame or 1) - 1, 0
        # Only the region is read where the format allows it.
        reader.SetExtractIndex(index)
        reader.SetExtractSize(size)
        image = read_image(reader, self.file, "The volume is damaged")
        if image.GetNumberOfComponentsPerPixel() > 1:
            image = sitk.VectorIndexSelectionCast(image, (self.frame or 1) - 1)
        return sitk.GetArrayFromImage(image).astype(np.float32, copy=False)


def pixels_of(volume: sitk.Image | Path, frame: int | None = None) -> LoadedPixels:
    """Where a volume's pixels are, its geometry checked.

    Args:
        volume: the image, or its file.
        frame: 1-based, in a file that holds several volumes.

    Raises:
        InputError: the file is damaged, states no spacing, or the frame is not in it.
    """
    if isinstance(volume, sitk.Image):
        check_real(volume, "loaded volume")
        if volume.GetDimension() != 3 or volume.GetNumberOfComponentsPerPixel() > 1:
            raise InputError("This is no volume of single values", path="loaded volume")
        return LoadedPixels(volume, None, None, _geometry_of(volume, "loaded volume"))
    file = Path(volume)
    reader = _reader(file, whole=True)
    count = reader.GetDimension()
    if count not in (3, 4) or (count == 4 and reader.GetNumberOfComponents() > 1):
        raise InputError("The file holds no volume", path=file)
    several = reader.GetSize()[3] if count == 4 else reader.GetNumberOfComponents()
    if several > 1 and frame is None:
        raise InputError(
            f"The file holds {several} volumes", path=file, remedy="Say which in the column frame"
        )
    if frame is not None and frame > several:
        raise InputError(f"The file holds {several} volumes, not {frame}", path=file)
    return LoadedPixels(None, file, frame, _geometry_of(reader, str(file)))


def files_of(file: Path) -> list[Path]:
    """The file and what it cannot be read without."""
    if file.suffix.lower() not in _DETACHED:
        return [file]
    beside = sorted(file.parent.iterdir()) if file.parent.is_dir() else []
    return [file, *(o for o in beside if o.name.startswith(f"{file.stem}.") and o != file)]


def _reader(file: Path, whole: bool) -> sitk.ImageFileReader:
    try:
        with open(file, "rb") as opened:
            is_dicom = opened.read(132)[128:] == b"DICM"
    except OSError as error:
        raise InputError(f"It cannot be read ({error.strerror})", path=file) from error
    if is_dicom:
        raise InputError(
            "The volume is a DICOM file", path=file, remedy="Give the folder of the DICOM study"
        )
    return open_image(
        file,
        "The volume is damaged or of an unknown kind",
        "Give NRRD, NIfTI, MetaImage or a Slicer sequence",
        whole=whole,
    )


def _geometry_of(volume: Any, name: str) -> Geometry:
    """The grid of the first three axes of an image, or of what a reader has found out.

    Raises:
        InputError: its file states no voxel size, or axes that are not perpendicular.
    """
    count = volume.GetDimension()
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
    try:
        return Geometry((i, j, k), (a, b, c), (x, y, z), tuple(axes.ravel().tolist()))
    except InputError as error:
        raise InputError(error.problem, path=name) from error
