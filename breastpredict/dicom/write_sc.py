"""The overlay picture as Secondary Capture (PS3.3 A.8.1), for any PACS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from breastpredict import SYNTHETIC_WARNING
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import (
    MANUFACTURER,
    finish,
    for_highdicom,
    identity,
    laterality,
    reference,
    save,
    source_headers,
    unlogged,
)
from breastpredict.dicom.study import Phase
from breastpredict.errors import InputError


@unlogged()
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
        rgb: ``[rows, columns, 3]`` uint8; it must show no identifiers.
        phase: whose image it shows.
        path: file to write.
        provenance: how it came about.
        slice_index: the slice it shows; the middle one when left out.

    Raises:
        InputError: not an RGB picture, or a source header lacks what is referred to.
    """
    k = phase.geometry.size[2] // 2 if slice_index is None else slice_index
    source = source_headers(phase, [k])[0]
    return write_capture_of(rgb, source, [reference(phase, k)], path, provenance=provenance)


@unlogged()
def write_capture_of(
    rgb: NDArray[np.uint8],
    source: Dataset,
    shown: Sequence[Dataset],
    path: str | os.PathLike[str],
    *,
    provenance: Provenance,
    burned_in: bool = False,
) -> Written:
    """Write a picture that shows other images than a phase's, as `write_capture` does.

    Args:
        rgb: as in `write_capture`.
        source: header (`source_header`) of the image whose patient and study it belongs to.
        shown: items that name what it shows, all of that patient.
        path: file to write.
        provenance: how it came about.
        burned_in: writing that identifies the patient may be left on it.

    Raises:
        InputError: not an RGB picture.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError("A capture needs an RGB picture of 8 bits")
    data = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=for_highdicom([source])[0],
        pixel_array=burn_in(rgb, provenance),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "P"),
        **identity(904),
    )
    data["PatientOrientation"].value = None  # a picture with several views has none
    # The attribute asks for what identifies the patient (PS3.3 C.7.6.1); the warnings do not.
    data.BurnedInAnnotation = "YES" if burned_in else "NO"
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.SourceImageSequence = list(shown)
    data.ImageLaterality = laterality(source) or "U"
    finish(data, source, provenance, "BreastPredict capture")
    return save(data, Path(path))


def burn_in(rgb: NDArray[np.uint8], provenance: Provenance) -> NDArray[np.uint8]:
    """The picture with a band below that says what must be read with it.

    A picture too narrow for the words gets a black margin on its right.
    """
    lines = ["RESEARCH USE ONLY"]
    if provenance.synthetic:
        lines.append(SYNTHETIC_WARNING.upper())
    size = max(18, rgb.shape[1] // 45)
    font: Any = ImageFont.load_default(size)
    width = max(rgb.shape[1], *(int(font.getlength(line)) + 16 for line in lines))
    band = Image.new("RGB", (width, len(lines) * (size + 6) + 6), (0, 0, 0))
    pen = ImageDraw.Draw(band)
    for number, line in enumerate(lines):
        pen.text((8, 4 + number * (size + 6)), line, fill=(255, 210, 0), font=font)
    wide = np.pad(rgb, ((0, 0), (0, width - rgb.shape[1]), (0, 0)))
    out: NDArray[np.uint8] = np.concatenate([wide, np.asarray(band)], axis=0)
    return out
