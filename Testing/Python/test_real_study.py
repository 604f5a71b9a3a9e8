"""A real study (TCGA-AO-A03M, right breast) from DICOM in GE layout to DICOM results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from breastpredict.cli import main
from breastpredict.dicom import read_study
from breastpredict.imaging import Geometry
from breastpredict.phantom import write_dce

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def ge_study(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Series 6: pre; series 7: five post phases, each a block of right and a block of left."""
    folder = shared / "data" / "breast_mri" / "tcga_ao_a03m_right"
    names = ["R_s6_pre", *(f"R_s7_post{i}" for i in range(1, 6))]
    right = [
        sitk.Cast(sitk.ReadImage(str(folder / f"{name}.nii.gz")), sitk.sitkUInt16) for name in names
    ]
    left = []
    for image in right:  # the right data stand in, on the other side of the midline
        other = image[:, :, :46]
        x, y, z = image.GetOrigin()
        other.SetOrigin((x - 160.0, y, z))
        left.append(other)
    out = tmp_path_factory.mktemp("tcga")
    write_dce(out, right, layout="ge", times_s=[-60, 30, 120, 210, 300, 390], second_stack=left)
    return out


@pytest.fixture(scope="module")
def seed(ge_study: Path) -> tuple[float, float, float]:
    """Where the breast enhances most, as a reader would click: LPS mm."""
    dce = next(a for a in read_study(ge_study).dce if a.phases[0].geometry.size[2] == 50)
    early = dce.phase(dce.chosen)
    change = sitk.SmoothingRecursiveGaussian(early.read() - dce.phases[0].read(), 3.0)
    array = sitk.GetArrayFromImage(change)
    array[:, :20] = array[:, -60:] = -1  # coil edges and chest wall
    k, j, i = np.unravel_index(int(array.argmax()), array.shape)
    x, y, z = early.geometry.index_to_physical(np.array([i, j, k], float)).tolist()
    return x, y, z


def test_a_lesion_from_one_click_is_predicted_and_every_result_is_read_by_dcmqi(
    ge_study: Path,
    seed: tuple[float, float, float],
    tiny_run: Path,
    tmp_path: Path,
    dciodvfy: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    code = main(
        [
            *("her2", "predict", str(ge_study), "--model", str(tiny_run), "--out", str(out)),
            *("--seed-point", ",".join(map(str, seed)), "--quiet"),
            *("--override-gate", "spacing", "--override-gate", "plane"),
            *("--override-gate", "intensity", "--override-gate", "tumour-size"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    case = next(folder for folder in out.iterdir() if folder.is_dir())
    result = json.loads((case / "result.json").read_text())
    assert sum(result["probabilities"].values()) == pytest.approx(1.0, abs=1e-12)
    assert result["phase"] == 2 and len(result["phases"]) == 6

    dce = next(a for a in read_study(ge_study).dce if a.phases[0].geometry.size[2] == 50)
    phase = dce.phase(2)
    for name in ("segmentation", "report", "heatmap", "capture"):
        found = subprocess.run(
            [dciodvfy, str(case / f"{name}.dcm")], capture_output=True, text=True, check=False
        )
        lines = (found.stdout + found.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == [], name

    run = subprocess.run
    quiet = {"capture_output": True, "check": True}
    run(
        [
            *(BIN / "segimage2itkimage", "--inputDICOM", case / "segmentation.dcm"),
            *("--outputDirectory", tmp_path, "-t", "nrrd", "-p", "seg"),
        ],
        **quiet,
    )
    mask = sitk.ReadImage(str(tmp_path / "seg-1.nrrd"))
    at_seed = mask.TransformPhysicalPointToIndex(seed)
    assert mask[at_seed] == 1
    volume = np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * np.prod(mask.GetSpacing())
    assert volume == pytest.approx(result["volume_mm3"], rel=1e-3)

    run(
        [
            *(BIN / "paramap2itkimage", "--inputDICOM", case / "heatmap.dcm"),
            *("--outputDirectory", tmp_path, "-t", "nrrd"),
        ],
        **quiet,
    )
    heat = sitk.ReadImage(str(next(tmp_path.glob("*pmap.nrrd"))))
    k = result["slice_index"]
    expected = phase.geometry.slab(k, k + 1)
    got = Geometry.from_image(heat)
    assert got.size == expected.size
    assert np.allclose(got.origin, expected.origin, atol=1e-3)
    assert np.allclose(np.abs(got.direction), np.abs(expected.direction), atol=1e-5)
    values = sitk.GetArrayFromImage(heat)[0]
    j, i = np.unravel_index(int(values.argmax()), values.shape)
    center, side = result["roi"]["center_ij"], result["roi"]["side_mm"]
    assert values.max() > 0
    assert abs(i - center[0]) * got.spacing[0] <= side / 2
    assert abs(j - center[1]) * got.spacing[1] <= side / 2

    run(
        [
            *(BIN / "tid1500reader", "--inputDICOM", case / "report.dcm"),
            *("--outputMetadata", tmp_path / "sr.json"),
        ],
        **quiet,
    )
    group = json.loads((tmp_path / "sr.json").read_text())["Measurements"][0]
    numbers = {m["quantity"]["CodeMeaning"]: float(m["value"]) for m in group["measurementItems"]}
    for name, value in result["probabilities"].items():
        assert numbers[f"Model output P(HER2-{name})"] == pytest.approx(value, rel=1e-5)

    source = {instance.sop_instance_uid for instance in phase.instances}
    segmentation = pydicom.dcmread(case / "segmentation.dcm")
    referenced = {
        item.ReferencedSOPInstanceUID
        for series in segmentation.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    assert referenced and referenced <= source
