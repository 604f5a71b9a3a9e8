"""The overlay picture as Secondary Capture (PS3.3 A.8.1), for any PACS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from breastpredict import SYNTHETIC_WARNING
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import MANUFACTURER, finish, identity, save, source_headers
from breastpredict.dicom.study import Phase
from breastpredict.errors import InputError


def write_capture(
    rgb: NDArray[np.uint8],
    phase: Phase,
    path: str | os.PathLike[str],
    *,
    provenance: Provenance,
    slice_index: int | None = None,
) -> Written:
    """Write a picture with its warnings burnt in.

    Args:
        rgb: ``[rows, columns, 3]`` uint8.
        phase: whose image it shows.
        path: file to write.
        provenance: how it came about.
        slice_index: the slice it shows; the middle one when left out.

    Raises:
        InputError: not an RGB picture.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError("A capture needs an RGB picture of 8 bits")
    k = phase.geometry.size[2] // 2 if slice_index is None else slice_index
    source = source_headers(phase, [k])[0]
    data = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=burn_in(rgb, provenance),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "P"),
        **identity(904),
    )
    data["PatientOrientation"].value = None  # a picture with several views has none
    data.BurnedInAnnotation = "YES"  # the warnings; no identifiers
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.SourceImageSequence = [_reference(phase, k)]
    data.Laterality = source.get("Laterality") or ""
    finish(data, source, provenance, "BreastPredict capture")
    return save(data, Path(path))


def burn_in(rgb: NDArray[np.uint8], provenance: Provenance) -> NDArray[np.uint8]:
    """The picture with a band below that says what must be read with it."""
    lines = ["RESEARCH USE ONLY"]
    if provenance.synthetic:
        lines.append(SYNTHETIC_WARNING.upper())
    size = max(11, rgb.shape[1] // 45)
    font: Any = ImageFont.load_default(size)
    band = Image.new("RGB", (rgb.shape[1], len(lines) * (size + 6) + 6), (0, 0, 0))
    pen = ImageDraw.Draw(band)
    for number, line in enumerate(lines):
        pen.text((8, 4 + number * (size + 6)), line, fill=(255, 210, 0), font=font)
    out: NDArray[np.uint8] = np.concatenate([rgb, np.asarray(band)], axis=0)
    return out


def _reference(phase: Phase, k: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = phase.instances[k].sop_class_uid
    item.ReferencedSOPInstanceUID = phase.instances[k].sop_instance_uid
    if phase.instances[k].frame is not None:
        item.ReferencedFrameNumber = phase.instances[k].frame
    return item
