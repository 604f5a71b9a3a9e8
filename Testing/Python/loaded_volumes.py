"""Volumes that are no longer DICOM, their tables of phases, and the same volumes as DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import SimpleITK as sitk
from cli_runs import LESION, SIZE, make_mask
from dce_volumes import TIMES, dce

from breastpredict.phantom import write_dce

PLACE = {"spacing": (0.75, 1.25, 2.5), "origin": (12.0, -60.0, 30.0)}  # exact in single precision
VOLUMES = dce(3, size=SIZE, lesion=LESION, **PLACE)
CENTRES = (-15.0, 75.0, 165.0)  # of the DICOM study's phases, which start at TIMES[:3]


def table(folder: Path, rows: Sequence[Sequence[object]], name: str = "phases.csv") -> Path:
    """A table of phases; the columns are those of the longest row."""
    columns = ["file", "frame", "role", "time_s", "laterality"][: max(map(len, rows))]
    lines = [",".join(map(str, row)) for row in [columns, *rows]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def phases_of(names: Sequence[str], frames: Sequence[object] = ("",) * 3) -> list[list[object]]:
    roles = ("pre", "post", "post")
    return [list(row) for row in zip(names, frames, roles, CENTRES, strict=True)]


def one_file_each(folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"phase {n}{suffix}" for n in range(3)]
    for name, volume in zip(names, VOLUMES, strict=True):
        sitk.WriteImage(volume, str(folder / name), suffix == ".nrrd")
    return table(folder, phases_of(names))


def slicer_sequence(folder: Path) -> Path:
    """As Slicer writes a sequence: the list of the volumes is the last axis."""
    folder.mkdir(parents=True, exist_ok=True)
    i, j, k = SIZE
    a, b, c = PLACE["spacing"]
    header = (
        f"NRRD0004\ntype: float\ndimension: 4\nspace: left-posterior-superior\n"
        f"sizes: {i} {j} {k} 3\nspace directions: ({a},0,0) (0,{b},0) (0,0,{c}) none\n"
        "kinds: domain domain domain list\nendian: little\nencoding: raw\n"
        "space origin: (12,-60,30)\nDataNodeClassName:=vtkMRMLScalarVolumeNode\n\n"
    )
    data = b"".join(sitk.GetArrayFromImage(v).astype("<f4").tobytes() for v in VOLUMES)
    (folder / "all.seq.nrrd").write_bytes(header.encode() + data)
    return table(folder, phases_of(["all.seq.nrrd"] * 3, (1, 2, 3)))


@pytest.fixture(scope="session")
def same_dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same volumes as DICOM, and a mask of the lesion beside them."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dce(folder / "study", VOLUMES, layout="siemens", times_s=TIMES[:3])
    make_mask(folder / "mask.dcm", folder / "study")
    make_mask(folder / "mask.nrrd", folder / "study")
    return folder
