"""Writing slides as DICOM: VL Whole Slide Microscopy, one TILED_FULL instance per level.

Sources: PS3.3 A.32.8 (the object), C.8.12.4 (image), C.8.12.5 (optical path), C.7.6.22 (specimen);
CP-1742 and PS3.3 C.7.6.17.3 (TILED_FULL).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

from breastpredict.phantom.pcr_pyramid import levels_of, tile_of
from breastpredict.phantom.pcr_us_dicom import (
    PhantomHeader,
    common_header,
    jpeg,
    save_dicom,
    set_lossy,
)

_THICKNESS_MM = 0.004


def write_wsi(
    folder: Path, pixels: NDArray[np.uint8], pixel_um: float, header: PhantomHeader
) -> tuple[Path, ...]:
    """Write a slide's levels below ``folder``; the same input gives the same bytes.

    Args:
        folder: made if missing.
        pixels: uint8 ``[row, column, RGB]`` of level 0.
        pixel_um: micrometres per pixel.
        header: of the study.

    Returns:
        The files, level 0 first.
    """
    files = []
    for number, level in enumerate(levels_of(pixels)):
        path = folder / f"level{number}.dcm"
        _write_level(path, level, number, pixels.shape, pixel_um, tile_of(pixels), header)
        files.append(path)
    return tuple(files)


def _write_level(
    path: Path,
    level: NDArray[np.uint8],
    number: int,
    whole: Sequence[int],
    pixel_um: float,
    side: int,
    header: PhantomHeader,
) -> None:
    rows, columns = level.shape[:2]
    tiles = _tiles(level, side)
    streams = [jpeg(tile, "4:2:2", 88) for tile in tiles]
    width, height = (n * pixel_um / 1000 for n in (whole[1], whole[0]))
    data = common_header(header, "SM")
    data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = header.uid("level", number)
    data.InstanceNumber = number + 1
    kind = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    if number:
        kind = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    data.ImageType = kind
    data.Manufacturer = data.ManufacturerModelName = "BreastPredict phantom"
    data.DeviceSerialNumber = "0"
    data.FrameOfReferenceUID = header.uid("frame of reference", "SM")
    data.PositionReferenceIndicator = "SLIDE_CORNER"
    _specimen(data, header)
    data.Rows = data.Columns = side
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = rows, columns
    data.TotalPixelMatrixFocalPlanes = data.NumberOfOpticalPaths = 1
    data.ImagedVolumeWidth, data.ImagedVolumeHeight = width, height
    data.ImagedVolumeDepth = _THICKNESS_MM * 1000
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "20", "40"
    data.TotalPixelMatrixOriginSequence = [origin]
    data.ImageOrientationSlide = ["0", "-1", "0", "-1", "0", "0"]
    data.VolumetricProperties, data.FocusMethod = "VOLUME", "AUTO"
    data.SpecimenLabelInImage = data.BurnedInAnnotation = data.ExtendedDepthOfField = "NO"
    data.AcquisitionContextSequence = []
    data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
    data.PhotometricInterpretation = "YBR_FULL_422"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.NumberOfFrames = len(tiles)
    set_lossy(data, sum(tile.nbytes for tile in tiles) / sum(map(len, streams)))
    _dimensions(data, header)
    data.OpticalPathSequence = [_optical_path()]
    data.SharedFunctionalGroupsSequence = [_shared(kind, width / columns, height / rows)]
    data.PixelData = encapsulate(streams)
    data["PixelData"].VR = "OB"
    save_dicom(data, path, JPEGBaseline8Bit)


def _tiles(level: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """Tiles in the order of TILED_FULL: along the rows; beyond the slide there is glass."""
    rows, columns = (-(-n // side) * side for n in level.shape[:2])
    full = np.full((rows, columns, 3), 243, np.uint8)
    full[: level.shape[0], : level.shape[1]] = level
    return [
        full[y : y + side, x : x + side]
        for y in range(0, rows, side)
        for x in range(0, columns, side)
    ]


def _specimen(data: Dataset, header: PhantomHeader) -> None:
    data.ContainerIdentifier = f"{header.patient_id}-1"
    data.IssuerOfTheContainerIdentifierSequence = []
    data.ContainerTypeCodeSequence = [_code(Code("433466003", "SCT", "Microscope slide"))]
    specimen = Dataset()
    specimen.SpecimenIdentifier = f"{header.patient_id}-1"
    specimen.SpecimenUID = header.uid("specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    specimen.PrimaryAnatomicStructureSequence = [_code(codes.SCT.Breast)]
    data.SpecimenDescriptionSequence = [specimen]


def _dimensions(data: Dataset, header: PhantomHeader) -> None:
    organization = header.uid("dimensions")
    item = Dataset()
    item.DimensionOrganizationUID = organization
    data.DimensionOrganizationSequence = [item]
    data.DimensionOrganizationType = "TILED_FULL"
    data.DimensionIndexSequence = []
    for keyword in ("RowPositionInTotalImagePixelMatrix", "ColumnPositionInTotalImagePixelMatrix"):
        index = Dataset()
        index.DimensionOrganizationUID = organization
        index.DimensionIndexPointer = keyword
        index.FunctionalGroupPointer = "PlanePositionSlideSequence"
        data.DimensionIndexSequence.append(index)


def _optical_path() -> Dataset:
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [_code(codes.DCM.BrightfieldIllumination)]
    path.IlluminationColorCodeSequence = [_code(Code("414298005", "SCT", "Full Spectrum"))]
    path.ICCProfile = _srgb()
    return path


def _shared(kind: Sequence[str], width_mm: float, height_mm: float) -> Dataset:
    """Functional groups of all tiles."""
    measures = Dataset()
    measures.PixelSpacing = [f"{height_mm:.8f}", f"{width_mm:.8f}"]
    measures.SliceThickness = f"{_THICKNESS_MM}"
    frame = Dataset()
    frame.FrameType = list(kind)
    optical = Dataset()
    optical.OpticalPathIdentifier = "1"
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame]
    shared.OpticalPathIdentificationSequence = [optical]
    return shared


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


@cache
def _srgb() -> bytes:
    """The profile of sRGB, with a fixed date in its header (ICC.1, 7.2.8): same bytes always."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"\x07\xe4\x00\x01\x00\x01" + bytes(6)
    return bytes(profile)
