"""A heat map of a slide's region as DICOM Parametric Map (PS3.3 A.75), in place on the glass."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from breastpredict.dicom import codes
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import (
    description_of,
    equipment,
    finish,
    for_highdicom,
    identity,
    save,
    unlogged,
)
from breastpredict.dicom.stored_values import decimal
from breastpredict.dicom.write_pcr_sr import SourceImage
from breastpredict.errors import InputError

Quantity = Literal["gradcam", "occlusion"]

_QUANTITY = {
    "gradcam": (codes.GRADIENT_ACTIVATION, "Gradient-weighted class activation map"),
    "occlusion": (codes.CLASS_ACTIVATION, "Loss of output where a part is hidden"),
}


@unlogged()
def write_slide_map(
    values: NDArray[np.float32],
    source: SourceImage,
    region: tuple[float, float, float, float],
    path: str | os.PathLike[str],
    *,
    quantity: Quantity,
    provenance: Provenance,
) -> Written:
    """Write a map that tiles a rectangle of a slide.

    Args:
        values: ``[row, column]`` float32; its pixels tile the region.
        source: the slide, an instance of a DICOM WSI; its own pixel grid is the reference.
        region: x, y, width and height in pixels of that instance's total pixel matrix: the edges
            of the rectangle, so that the matrix reaches from (0, 0) to (columns, rows).
        path: file to write.
        quantity: what the values are.
        provenance: how they came about.

    Raises:
        InputError: values that are not finite, or a slide that does not state where it lies.
    """
    array = np.asarray(values, np.float32)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise InputError("The map holds values that are not finite, or is no picture")
    corner, across, down, spacing = _place(source.header)
    x, y, width, height = region
    rows, columns = array.shape
    # Centre of the map's first pixel: pixel centres of the slide have whole numbers.
    step = (width / columns * spacing[0], height / rows * spacing[1])
    first = (
        corner
        + across * (x * spacing[0] + (step[0] - spacing[0]) / 2)
        + down * (y * spacing[1] + (step[1] - spacing[1]) / 2)
    )
    concept, words = _QUANTITY[quantity]
    low, high = min(0.0, float(array.min())), max(0.0, float(array.max()))
    extent = high - low or 1.0
    bare = _bare(source.header)
    data = hd.pm.ParametricMap(
        source_images=[bare],
        pixel_array=array,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label=quantity.upper(),
                lut_explanation=words,
                unit=codes.NO_UNITS,
                value_range=(float(array.min()), float(array.max())),
                slope=1.0,
                intercept=0.0,
                quantity_definition=concept,
            )
        ],
        window_center=low + extent / 2,
        window_width=extent,
        content_label=quantity.upper().replace("-", "_"),
        content_description=description_of(provenance),
        pixel_measures=hd.PixelMeasuresSequence((step[1], step[0]), 0.001),
        plane_orientation=hd.PlaneOrientationSequence(
            hd.CoordinateSystemNames.SLIDE, [*across.tolist(), *down.tolist()]
        ),
        plane_positions=[
            hd.PlanePositionSequence(hd.CoordinateSystemNames.SLIDE, first.tolist(), (1, 1))
        ],
        **equipment(provenance),
        **identity(903),
    )
    # The map is a matrix of its own, whatever highdicom found it to share with the slide.
    place = Dataset()
    place.XOffsetInSlideCoordinateSystem = decimal(first[0])
    place.YOffsetInSlideCoordinateSystem = decimal(first[1])
    data.TotalPixelMatrixOriginSequence = [place]
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = rows, columns
    item = Dataset()
    item.AnatomicRegionSequence = [codes.BREAST]
    item.FrameLaterality = "U"
    data.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [item]
    for group in (data.SharedFunctionalGroupsSequence[0], *data.PerFrameFunctionalGroupsSequence):
        for window in group.get("FrameVOILUTSequence", []):
            window.VOILUTFunction = "LINEAR_EXACT"  # LINEAR forbids widths below 1 (C.11.2.1.2)
    finish(data, source.header, provenance, f"BreastPredict {quantity} map")
    return save(data, Path(path))


def _place(
    header: Dataset,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Centre of the first pixel, directions of rows and columns, spacing (column, row); mm."""
    try:
        origin = header.TotalPixelMatrixOriginSequence[0]
        corner = np.array(
            [
                float(origin.XOffsetInSlideCoordinateSystem),
                float(origin.YOffsetInSlideCoordinateSystem),
                0.0,
            ]
        )
        axes = np.array([float(value) for value in header.ImageOrientationSlide])
        measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        row, column = (float(value) for value in measures.PixelSpacing)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError("The slide does not state where on the glass it lies") from error
    return corner, axes[:3], axes[3:], (column, row)


def _bare(header: Dataset) -> Dataset:
    """The slide's header as highdicom takes it.

    It lists the place of every tile of its source, of which a slide has a hundred thousand, only
    to compare them with the map's: here the slide is of one tile, which gives it the rest.
    """
    bare = for_highdicom([header])[0]
    for keyword in ("PerFrameFunctionalGroupsSequence", "DimensionIndexSequence"):
        if keyword in bare:
            del bare[keyword]
    for keyword in ("ImageOrientationSlide", "TotalPixelMatrixOriginSequence"):
        bare[keyword] = header.get_item(keyword)
    bare.TotalPixelMatrixRows, bare.TotalPixelMatrixColumns = header.Rows, header.Columns
    bare.NumberOfFrames = 1
    bare.DimensionOrganizationType = "TILED_FULL"
    bare.OpticalPathSequence = [Dataset()]
    return bare
