"""Every DICOM result of a small case, and readers that share nothing with the writers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, dce, files_below, image_of, oblique_axes, only
from numpy.typing import NDArray
from pydicom import Dataset

from breastpredict.dicom import (
    Phase,
    Provenance,
    Written,
    read_study,
    write_capture,
    write_parametric_map,
    write_report,
    write_segmentation,
)
from breastpredict.phantom import StudyHeader, WrittenDce, write_dce

BIN = Path(sys.executable).parent
SIZE = (20, 16, 9)
PHASE = 3
"""Not the first after contrast, so that a reference to another phase is found out."""

OBJECTS = ("segmentation", "report", "refused", "attention", "evidence", "rollout", "capture")
MAPS = ("attention", "evidence", "rollout")

GEOMETRIES: dict[str, dict[str, Any]] = {
    "axial": {"spacing": (0.9, 1.3, 2.6), "origin": (12.0, -60.0, 30.0)},
    "sagittal": {"axes": SAGITTAL, "spacing": (0.86, 0.93, 3.0), "origin": (149.5, -87.3, 106.1)},
    "oblique": {"axes": oblique_axes(0.5), "spacing": (0.7, 1.1, 3.2), "origin": (-4.0, 25.0, 8.0)},
}
PROVENANCE = Provenance(
    weights={"her2_zero_vs_rest": "ab" * 32, "her2_low_vs_positive": "cd" * 32},
    phase="phase 3 (chosen with --phase)",
    overrides=("Gate 'tumour-size' was overridden: the largest section has 9.0 mm².",),
    synthetic=True,
    parameters={"Tumour outlined by": "point"},
)
PROBABILITIES = {"zero": 0.21234567890123, "low": 0.3, "positive": 1 - 0.3 - 0.21234567890123}
SCORES = (
    ("her2_zero_vs_rest", "low_or_positive", 0.78765432109877, 0.412345678),
    ("her2_low_vs_positive", "low", 0.38087, 0.5),
)
MEASUREMENTS = {"volume_mm3": 1234.5678901, "area_mm2": 98.7654321, "slice_index": 4.0}
SLICE = 4


@dataclass(frozen=True)
class Results:
    """A source study and what was written for one of its phases.

    Attributes:
        written: "segmentation", "report", "refused", "attention", "evidence", "rollout", "capture".
        grid: a volume with the geometry the source was given, by `dce_volumes.image_of`.
        mask: ``[k, j, i]``, as it was written.
        maps: quantity → (first slice, values ``[k, j, i]``).
        picture: what the capture shows.
    """

    source: Path
    out: Path
    dce: WrittenDce
    phase: Phase
    written: dict[str, Written]
    grid: sitk.Image
    mask: NDArray[np.uint8]
    maps: dict[str, tuple[int, NDArray[np.float32]]]
    picture: NDArray[np.uint8]

    def read(self, name: str) -> Dataset:
        """A result, by pydicom."""
        return pydicom.dcmread(self.written[name].path)


def source_study(folder: Path, layout: str, geometry: str = "axial", **header: Any) -> WrittenDce:
    """A study of four phases on a small grid that is different along every axis."""
    return write_dce(
        folder,
        dce(size=SIZE, **GEOMETRIES[geometry]),
        layout=layout,  # type: ignore[arg-type]
        times_s=TIMES,
        header=StudyHeader(**header),
    )


def read_phase(folder: Path) -> Phase:
    """The phase that results are written for."""
    return only(read_study(folder)).phase(PHASE)


def edit(folder: Path, change: Callable[[Dataset], None]) -> None:
    """Change the header of every file below a folder, however wrong the values are."""
    with pydicom.config.disable_value_validation():
        for path in files_below(folder):
            data = pydicom.dcmread(path)
            change(data)
            data.save_as(path)


def irregular_mask() -> NDArray[np.uint8]:
    """No symmetry, a slice without tumour between two with, and voxels at the image's edge."""
    mask = np.zeros(SIZE[::-1], np.uint8)
    rng = np.random.default_rng(5)
    mask[2:7, 4:12, 6:15] = rng.random((5, 8, 9)) < 0.6
    mask[3] = 0
    mask[5, 0, 0] = mask[5, -1, 3] = 1
    return mask


def write_all(
    phase: Phase, out: Path, provenance: Provenance = PROVENANCE
) -> tuple[dict[str, Written], dict[str, tuple[int, NDArray[np.float32]]], NDArray[np.uint8]]:
    """Write one of each object; what was written, the maps and the picture."""
    rng = np.random.default_rng(6)
    grid = phase.geometry
    segmentation = write_segmentation(
        grid.to_image(irregular_mask()), phase, out / "segmentation.dcm", provenance=provenance
    )
    written = {"segmentation": segmentation}
    written["report"] = write_report(
        out / "report.dcm",
        phase,
        provenance=provenance,
        segmentation=segmentation,
        probabilities=PROBABILITIES,
        scores=SCORES,
        predicted_class="positive",
        measurements=MEASUREMENTS,
        slice_index=SLICE,
    )
    written["refused"] = write_report(
        out / "refused.dcm",
        phase,
        provenance=provenance,
        segmentation=segmentation,
        probabilities=PROBABILITIES,
        scores=SCORES,
        predicted_class="positive",
        measurements=MEASUREMENTS,
        refusal="The largest section of the tumour has 9.0 mm².",
        slice_index=SLICE,
    )
    maps = {}
    for quantity, start, stop in (
        ("attention", SLICE, SLICE + 1),
        ("evidence", 3, 6),
        ("rollout", 0, SIZE[2]),
    ):
        slab = grid.slab(start, stop)
        values = rng.normal(size=slab.size[::-1]).astype(np.float32)
        values[:, 0, :3] = (0.0, 1e-30, 3e5)
        maps[quantity] = (start, values)
        written[quantity] = write_parametric_map(
            slab.to_image(values),
            phase,
            out / f"{quantity}.dcm",
            quantity=quantity,  # type: ignore[arg-type]
            provenance=provenance,
        )
    picture = rng.integers(0, 256, (90, 700, 3), dtype=np.uint8)
    written["capture"] = write_capture(
        picture, phase, out / "capture.dcm", provenance=provenance, slice_index=SLICE
    )
    return written, maps, picture


def results(
    folder: Path, layout: str, geometry: str = "axial", provenance: Provenance = PROVENANCE
) -> Results:
    """Write a study and every result of it."""
    source, out = folder / "source", folder / "out"
    study = source_study(source, layout, geometry)
    phase = read_phase(source)
    written, maps, picture = write_all(phase, out, provenance)
    grid = image_of(np.zeros(SIZE[::-1], np.uint8), **GEOMETRIES[geometry])
    return Results(source, out, study, phase, written, grid, irregular_mask(), maps, picture)


def errors_of(dciodvfy: str, path: Path) -> list[str]:
    """What the validator calls an error; none for a file that it could not read is no proof."""
    found = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
    lines = (found.stdout + found.stderr).splitlines()
    known = ("Segmentation", "Comprehensive3DSR", "ParametricMap", "SCImage", "USImage")
    assert any(line in known for line in lines), lines  # it says what object it took it for
    return [line for line in lines if line.startswith("Error")]


def inconsistencies(dciodvfy: str, *folders: Path) -> list[str]:
    """What differs between files that say they are of one patient, study or frame of reference.

    In reports dcentvfy looks for the accession number in the request, and says so of every file:
    that is no difference.
    """
    files = [str(path) for folder in folders for path in files_below(folder)]
    found = subprocess.run(
        [str(Path(dciodvfy).with_name("dcentvfy")), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (found.stdout + found.stderr).splitlines()
    known = "Warning - Different information entities for attribute - Element=<AccessionNumber>"
    return [line for line in lines if line and not line.startswith(known)]


def dcmqi(tool: str, *arguments: str | Path) -> None:
    """Run one of dcmqi's readers."""
    subprocess.run([BIN / tool, *arguments], capture_output=True, check=True)


def read_mask(path: Path, folder: Path) -> sitk.Image:
    """The segmentation's only segment, by dcmqi."""
    options = ("--outputDirectory", folder, "-t", "nrrd", "-p", "seg")
    dcmqi("segimage2itkimage", "--inputDICOM", path, *options)
    assert len(list(folder.glob("seg-*.nrrd"))) == 1
    return sitk.ReadImage(str(folder / "seg-1.nrrd"))


def read_map(path: Path, folder: Path) -> sitk.Image:
    """A parametric map, by dcmqi."""
    folder.mkdir()
    dcmqi("paramap2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd")
    return sitk.ReadImage(str(folder / "pmap.nrrd"))


def read_report(path: Path, folder: Path) -> Mapping[str, Any]:
    """A report, by dcmqi."""
    dcmqi("tid1500reader", "--inputDICOM", path, "--outputMetadata", folder / "report.json")
    return json.loads((folder / "report.json").read_text())  # type: ignore[no-any-return]


def indices_in(grid: sitk.Image, image: sitk.Image) -> NDArray[np.int64]:
    """For every voxel of ``image`` the index (k, j, i) in ``grid`` of the voxel it lies on."""
    own, other = affine(image), affine(grid)
    ijk = np.stack(np.indices(image.GetSize()), axis=-1).reshape(-1, 3)
    points = ijk @ own[0].T + own[1]
    index = np.rint((points - other[1]) @ np.linalg.inv(other[0]).T)
    assert np.abs(index @ other[0].T + other[1] - points).max() < 1e-3  # mm
    shape = (*image.GetSize(), 3)
    return index.astype(int).reshape(shape).transpose(2, 1, 0, 3)[..., ::-1]


def affine(image: sitk.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """LPS mm = matrix · (i, j, k) + origin."""
    axes = np.reshape(image.GetDirection(), (3, 3))
    return axes * np.array(image.GetSpacing()), np.array(image.GetOrigin())


def items(data: Dataset, keyword: str) -> Iterator[Dataset]:
    """Every data set within ``data`` that has ``keyword``, itself included."""
    if keyword in data:
        yield data
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                yield from items(item, keyword)


def texts(data: Dataset) -> list[str]:
    """Every text value of a report's content, codes' meanings included."""
    found = [str(item.TextValue) for item in items(data, "TextValue")]
    return found + [str(item.CodeMeaning) for item in items(data, "CodeMeaning")]
