"""Small slides for tests: drawn tissue, and writers of pyramids in TIFF and in DICOM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid
from scipy import ndimage

from breastpredict.errors import InputError
from breastpredict.pathology import open_slide

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SECRET = "ROSALIND-4711"
"""Planted where identifiers stand."""

GLASS = (244, 243, 245)
LABEL_COLOUR = (10, 250, 30)
"""Of planted labels and macro images: no pixel of tissue has it."""


def tissue(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """H&E-like: pink stroma with fibres, purple nuclei of about 14 pixels, a little glass."""
    random = np.random.default_rng(seed)
    # Fibres: noise stretched along the rows.
    noise = random.normal(size=(2, rows, columns)).astype(np.float32)
    eosin = 0.45 + 2.0 * ndimage.gaussian_filter(noise[0], (1.2, 5), truncate=3)
    nuclei = np.zeros((rows, columns), np.float32)
    count = max(1, rows * columns // 500)
    nuclei[random.integers(0, rows, count), random.integers(0, columns, count)] = 1
    nuclei = (ndimage.gaussian_filter(nuclei, 2.5, truncate=2.5) > 0.005).astype(np.float32)
    texture = 1 + 0.25 * noise[1]
    amounts = np.stack([ndimage.gaussian_filter(nuclei, 0.7) * texture, eosin]).clip(0)
    # Optical densities of haematoxylin and eosin (Ruifrok and Johnston 2001).
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    light = np.array(GLASS) * 10 ** -np.einsum("src,sk->rck", amounts, stains)
    return np.clip(np.round(light), 0, 255).astype(np.uint8)


def on_glass(rows: int, columns: int, box: tuple[int, int, int, int], seed: int = 0) -> np.ndarray:
    """A slide of glass with a piece of tissue in the box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    slide = np.full((rows, columns, 3), GLASS, np.uint8)
    slide[y0:y1, x0:x1] = tissue(y1 - y0, x1 - x0, seed)
    return slide


def coded(rows: int, columns: int) -> np.ndarray:
    """Each pixel tells where it is: red its column, green its row (modulo 256), blue both / 256."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x % 256, y % 256, 16 * (x // 256) + y // 256], axis=-1).astype(np.uint8)


def halved(picture: np.ndarray, times: int) -> np.ndarray:
    """Smaller by averaging ``times`` × ``times`` pixels."""
    rows, columns = (n // times for n in picture.shape[:2])
    image = Image.fromarray(picture[: rows * times, : columns * times])
    return np.asarray(image.resize((columns, rows), Image.Resampling.BOX))


def write_pyramid(
    path: Path, picture: np.ndarray, times: tuple[int, ...] = (4,), tile: int = 128, **options: Any
) -> Path:
    """A tiled TIFF with smaller pages after the first."""
    with tifffile.TiffWriter(path) as out:
        for factor in (1, *times):
            page = picture if factor == 1 else halved(picture, factor)
            out.write(page, tile=(tile, tile), photometric="rgb", metadata=None, **options)
    return path


def write_svs(
    path: Path,
    picture: np.ndarray,
    mpp: float | None = 0.5,
    label_size: tuple[int, int] = (60, 90),
) -> Path:
    """As Aperio lays it out: JPEG tiles, thumbnail, a smaller level, label and macro at the end."""
    scale = "" if mpp is None else f"|MPP = {mpp}"
    head = f"Aperio Image Library v12\n{picture.shape[1]}x{picture.shape[0]} JPEG/RGB"
    text = f"{head}|AppMag = 20{scale}|Filename = {SECRET}|Barcode = {SECRET}"
    tiles: dict[str, Any] = {
        "tile": (128, 128),
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 95},
        "metadata": None,
    }
    label = np.full((*label_size, 3), LABEL_COLOUR, np.uint8)
    with tifffile.TiffWriter(path) as out:
        out.write(picture, description=text, **tiles)
        out.write(halved(picture, 8), photometric="rgb", description=text, metadata=None)
        out.write(halved(picture, 4), description=text, **tiles)
        for name, kind in (("label", 1), ("macro", 9)):
            out.write(
                label,
                photometric="rgb",
                subfiletype=kind,
                metadata=None,
                description=f"Aperio Image Library v12\n{name} 90x60 {SECRET}",
            )
    return path


def write_dicom_slide(
    folder: Path,
    picture: np.ndarray,
    times: tuple[int, ...] = (1, 4),
    *,
    mpp: float | None = 0.5,
    tile: int = 64,
    jpeg: bool = False,
    label: bool = True,
    **changes: Any,
) -> list[Path]:
    """A pyramid in DICOM, one file a level, TILED_FULL, with a label that names the patient.

    Args:
        changes: attributes of every file of tissue; None takes one away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uids = {name: generate_uid() for name in ("study", "series", "frame", "dimension", "container")}
    paths = []
    for number, factor in enumerate(times):
        level = picture if factor == 1 else halved(picture, factor)
        spacing = None if mpp is None else mpp * factor
        data = _whole_slide(level, "VOLUME", uids, spacing, tile, jpeg)
        if factor > 1:
            data.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        data.InstanceNumber = number + 1
        for keyword, value in changes.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
        paths.append(folder / f"level-{number}.dcm")
        data.save_as(paths[-1], enforce_file_format=True)
    if label:
        for kind in ("LABEL", "OVERVIEW"):
            colour = np.full((64, 64, 3), LABEL_COLOUR, np.uint8)
            _whole_slide(colour, kind, uids, None, 64, False).save_as(
                folder / f"{kind.lower()}.dcm", enforce_file_format=True
            )
    return paths


def _tiles(picture: np.ndarray, side: int) -> Iterator[np.ndarray]:
    rows, columns = picture.shape[:2]
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            whole = np.full((side, side, picture.shape[2]), 255, picture.dtype)
            part = picture[y : y + side, x : x + side]
            whole[: part.shape[0], : part.shape[1]] = part
            yield whole


def _jpeg(tile: np.ndarray) -> bytes:
    import io

    out = io.BytesIO()
    Image.fromarray(tile).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _whole_slide(
    picture: np.ndarray, kind: str, uids: dict[str, str], mpp: float | None, tile: int, jpeg: bool
) -> Dataset:
    rows, columns = picture.shape[:2]
    frames = list(_tiles(picture, tile))
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = WHOLE_SLIDE
    data.SOPClassUID = WHOLE_SLIDE
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = uids["study"], uids["series"]
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = uids["frame"], "SLIDE_CORNER"
    data.PatientName = data.PatientID = data.AccessionNumber = SECRET
    data.ContainerIdentifier = data.StudyID = SECRET
    data.PatientBirthDate, data.PatientSex, data.ReferringPhysicianName = "19700101", "F", ""
    data.StudyDate, data.StudyTime, data.Modality, data.SeriesNumber = "20240102", "", "SM", 7
    data.ContentDate, data.ContentTime, data.AcquisitionDateTime = "20240102", "", "20240102"
    data.Manufacturer = "Test"
    data.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    data.VolumetricProperties, data.FocusMethod = "VOLUME", "AUTO"
    data.ExtendedDepthOfField = "NO"
    data.SpecimenLabelInImage = "NO" if kind == "VOLUME" else "YES"
    data.BurnedInAnnotation = data.SpecimenLabelInImage
    data.LossyImageCompression = "01" if jpeg else "00"
    data.SamplesPerPixel = picture.shape[2]
    data.PhotometricInterpretation = (
        "MONOCHROME2" if picture.shape[2] == 1 else "YBR_FULL_422" if jpeg else "RGB"
    )
    if picture.shape[2] == 3:
        data.PlanarConfiguration = 0
    bits = picture.dtype.itemsize * 8
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    data.Rows = data.Columns = tile
    data.NumberOfFrames = len(frames)
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = rows, columns
    data.TotalPixelMatrixFocalPlanes = data.NumberOfOpticalPaths = 1
    data.DimensionOrganizationType = "TILED_FULL"
    data.DimensionOrganizationSequence = [Dataset()]
    data.DimensionOrganizationSequence[0].DimensionOrganizationUID = uids["dimension"]
    data.ImagedVolumeWidth, data.ImagedVolumeHeight, data.ImagedVolumeDepth = 1.0, 1.0, 1.0
    data.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    data.TotalPixelMatrixOriginSequence = [Dataset()]
    data.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = 20
    data.TotalPixelMatrixOriginSequence[0].YOffsetInSlideCoordinateSystem = 20
    light = Dataset()
    light.OpticalPathIdentifier = "1"
    light.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    data.OpticalPathSequence = [light]
    shared = Dataset()
    if mpp is not None:
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = [mpp / 1000, mpp / 1000]
        shared.PixelMeasuresSequence[0].SliceThickness = 0.01
    data.SharedFunctionalGroupsSequence = [shared]
    if jpeg:
        data.PixelData = encapsulate([_jpeg(one) for one in frames])
    else:
        data.PixelData = b"".join(one.tobytes() for one in frames)
    return data


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def refusal(path: Path, **options: float) -> str:
    """The one line that says why a slide cannot be opened."""
    with pytest.raises(InputError) as caught, open_slide(path, **options):
        pass
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text
