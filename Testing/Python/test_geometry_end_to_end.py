"""Where a pixel comes from is where its result goes back to: from DICOM to DICOM.

Volumes whose voxels hold their own coordinates are written as DICOM, cropped to the network's
grid, put back, and written as a Parametric Map. The map's values must then be the coordinates of
its own pixels. Positions are computed here from tags alone (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, image_of, oblique_axes, only
from numpy.typing import NDArray

from breastpredict.dicom import (
    Phase,
    Provenance,
    read_study,
    write_parametric_map,
    write_segmentation,
)
from breastpredict.her2 import PreparedCase, prepare_case
from breastpredict.phantom import StudyHeader, write_dce

SHIFT = 1000.0
"""Added to coordinates: 0 is what lies outside of the region."""

VOLUMES: dict[str, dict[str, Any]] = {
    "oblique, anisotropic, not square": {
        "axes": oblique_axes(0.5),
        "spacing": (0.7, 1.1, 3.2),
        "origin": (-40.0, 25.0, -30.0),
        "size": (52, 38, 11),
        "lesion": (slice(4, 7), slice(9, 22), slice(16, 33)),
    },
    "sagittal": {
        "axes": SAGITTAL,
        "spacing": (0.86, 0.86, 3.0),
        "origin": (149.5, -87.3, 106.1),
        "size": (64, 48, 9),
        "lesion": (slice(3, 6), slice(14, 34), slice(20, 36)),
    },
    "a lesion at the corner": {
        "axes": oblique_axes(-0.35),
        "spacing": (1.2, 0.8, 2.0),
        "origin": (5.0, 6.0, 7.0),
        "size": (40, 50, 8),
        "lesion": (slice(0, 2), slice(0, 12), slice(0, 7)),
    },
}


def plane_positions(
    position: Any, orientation: Any, spacing: Any, rows: int, columns: int
) -> NDArray[np.float64]:
    """The centre of every pixel, [row, column, 3], LPS mm: PS3.3 equation C.7.6.2.1-1."""
    x, y, s = (np.array(v, dtype=np.float64) for v in (orientation[:3], orientation[3:], position))
    row_step, column_step = float(spacing[0]), float(spacing[1])
    j, i = np.indices((rows, columns), dtype=np.float64)  # row index, column index
    return np.asarray(s + i[..., None] * column_step * x + j[..., None] * row_step * y)


def positions_of_file(path: Path, frame: int | None = None) -> NDArray[np.float64]:
    """Of a classic file, or of one frame (0-based) of an enhanced, SEG or PM one."""
    data = pydicom.dcmread(path)
    if frame is None:
        place, plane, measures = data, data, data
    else:
        own = data.PerFrameFunctionalGroupsSequence[frame]
        shared = data.SharedFunctionalGroupsSequence[0]

        def item(name: str) -> Any:
            return (own if name in own else shared)[name][0]

        place, plane = item("PlanePositionSequence"), item("PlaneOrientationSequence")
        measures = item("PixelMeasuresSequence")
    return plane_positions(
        place.ImagePositionPatient,
        plane.ImageOrientationPatient,
        measures.PixelSpacing,
        data.Rows,
        data.Columns,
    )


@dataclass(frozen=True)
class Ramps:
    """A case whose phases 1, 2, 3 hold x, y and z of every voxel, plus SHIFT."""

    case: PreparedCase
    lesion: tuple[slice, slice, slice]
    spacing: tuple[float, float, float]
    axes: NDArray[np.float64]
    folder: Path

    def in_voxels(self, difference: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS differences along the volume's axes in voxels."""
        return np.asarray(difference @ self.axes / np.array(self.spacing))


@pytest.fixture(scope="module", params=list(VOLUMES))
def ramps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ramps:
    """Written as DICOM by the plane equation, read, and prepared."""
    volume = VOLUMES[request.param]
    folder = tmp_path_factory.mktemp("ramps")
    row, column = (np.array(v) for v in volume["axes"])
    axes = np.stack([row, column, np.cross(row, column)], axis=1)
    k, j, i = np.indices(volume["size"][::-1], dtype=np.float64)
    index = np.stack([i, j, k], axis=-1) * np.array(volume["spacing"])
    coordinates = index @ axes.T + np.array(volume["origin"]) + SHIFT
    place = {name: volume[name] for name in ("axes", "spacing", "origin")}
    phases = [image_of(coordinates[..., n].astype(np.float32), **place) for n in range(3)]
    write_dce(
        folder / "study",
        phases,
        layout="siemens",
        times_s=(-60.0, 30.0, 120.0),
        header=StudyHeader(laterality=None),
    )
    mask = np.zeros(volume["size"][::-1], np.uint8)
    mask[volume["lesion"]] = 1
    sitk.WriteImage(image_of(mask, **place), str(folder / "mask.nrrd"))
    case = prepare_case(
        folder / "study",
        image_size=64,
        segmentation=folder / "mask.nrrd",
        phase=2,  # x does not change within a sagittal slice, and a constant crop is refused
        margin=0.1,
    )
    return Ramps(case, volume["lesion"], volume["spacing"], axes, folder)


@pytest.fixture(scope="module", params=[64, 224])
def maps(
    request: pytest.FixtureRequest, ramps: Ramps, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Crop → network grid → back on the slice → Parametric Map, once for each coordinate."""
    folder = tmp_path_factory.mktemp("maps")
    out = []
    roi, k = ramps.case.roi, ramps.case.slice.index
    for phase in ramps.case.acquisition.phases:
        crop = roi.extract(phase.read_slices(k, k + 1), request.param)
        placed = roi.place(crop)
        out.append(
            write_parametric_map(
                placed,
                phase,
                folder / f"map{phase.index}.dcm",
                quantity="attention",
                provenance=Provenance(),
            ).path
        )
    return out


def float_pixels(path: Path) -> NDArray[np.float32]:
    """The only frame of a Parametric Map, from the bytes."""
    data = pydicom.dcmread(path)
    assert int(data.NumberOfFrames) == 1
    return np.frombuffer(data.FloatPixelData, "<f4").reshape(data.Rows, data.Columns)


def source_file(ramps: Ramps, uid: str) -> Path:
    """The file with this SOP instance UID, by its own header."""
    for path in sorted((ramps.folder / "study").rglob("*.dcm")):
        if pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID == uid:
            return path
    raise AssertionError("the referenced instance is not in the study")


def test_every_voxel_goes_back_to_where_it_came_from(ramps: Ramps, maps: list[Path]) -> None:
    """Within half a voxel along each axis; in fact within a fiftieth but for the rim."""
    found = np.stack([float_pixels(path) for path in maps], axis=-1).astype(np.float64) - SHIFT
    positions = positions_of_file(maps[0], 0)
    inside = (found > -SHIFT / 2).all(axis=-1)
    # Past the edge of the image there is air (0), which the region shows: leave out the pixels
    # whose neighbourhood in the network's grid reaches there.
    edge = np.zeros_like(inside)
    rim = 2 if ramps.lesion[1].start == 0 else 0
    edge[rim:, rim:] = True
    inside &= edge
    assert inside.sum() > 150
    error = np.abs(ramps.in_voxels(found - positions)[inside])
    assert error.max() < 0.5
    assert np.quantile(error, 0.8) < 0.02


def test_the_region_is_filled_and_nothing_else(ramps: Ramps, maps: list[Path]) -> None:
    """By the lesion's box as planted: every voxel of it, and none beyond the margin."""
    filled = float_pixels(maps[0]) != 0
    _, rows, columns = ramps.lesion
    box = np.zeros_like(filled)
    box[rows, columns] = True
    assert filled[box].all()
    height = (rows.stop - rows.start) * ramps.spacing[1]
    width = (columns.stop - columns.start) * ramps.spacing[0]
    half = max(1.2 * max(height, width), 20.0) / 2
    j, i = np.indices(filled.shape)
    away = np.maximum(
        np.abs(j - (rows.start + rows.stop - 1) / 2) * ramps.spacing[1],
        np.abs(i - (columns.start + columns.stop - 1) / 2) * ramps.spacing[0],
    )
    np.testing.assert_array_equal(filled, away < half)


def test_the_map_lies_on_the_source_it_names(ramps: Ramps, maps: list[Path]) -> None:
    for path in maps:
        data = pydicom.dcmread(path)
        derivation = data.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
        uid = derivation.SourceImageSequence[0].ReferencedSOPInstanceUID
        source = source_file(ramps, uid)
        offset = positions_of_file(path, 0) - positions_of_file(source)
        assert np.abs(ramps.in_voxels(offset)).max() < 1e-3
        # And the pixels of that very file are what came back, where the crop was not smoothed.
        stored = pydicom.dcmread(source)
        values = stored.pixel_array * float(stored.RescaleSlope) + float(stored.RescaleIntercept)
        _, rows, columns = ramps.lesion
        inner = np.s_[rows.start + 3 : rows.stop - 3, columns.start + 3 : columns.stop - 3]
        step = max(ramps.spacing[:2])
        np.testing.assert_allclose(float_pixels(path)[inner], values[inner], atol=step / 2)


def test_the_segmentation_lies_where_the_lesion_was_planted(ramps: Ramps, tmp_path: Path) -> None:
    phase: Phase = only(read_study(ramps.folder / "study")).phases[0]
    path = write_segmentation(
        ramps.case.mask, phase, tmp_path / "seg.dcm", provenance=Provenance()
    ).path
    data = pydicom.dcmread(path)
    pixels = data.pixel_array.reshape(int(data.NumberOfFrames), data.Rows, data.Columns)
    found = np.concatenate(
        [positions_of_file(path, n)[frame > 0] for n, frame in enumerate(pixels)]
    )
    files = sorted((ramps.folder / "study" / "S0010").glob("*.dcm"))  # in the order written
    slices, rows, columns = ramps.lesion
    planted = np.concatenate(
        [positions_of_file(file)[rows, columns].reshape(-1, 3) for file in files[slices]]
    )
    order = [np.lexsort(np.round(points, 3).T) for points in (found, planted)]
    np.testing.assert_allclose(found[order[0]], planted[order[1]], atol=2e-3)
