"""Ultrasound in Slicer's DICOM browser: the B-mode region with its spacing, and pairs as such."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_plugins import examination, import_folder, load, offered, register_scalar_volumes
from harness import Harness
from ultrasound_screens import BOX, COLUMNS, ROWS, region

from breastpredict.dicom import read_ultrasound

MODULE = Path(__file__).resolve().parents[2] / "PCRPredict" / "DICOMBreastUSPlugin.py"
PLUGIN = MODULE.stem
SPACING = (0.5, 0.4)
"""Column and row, in mm, of the screens."""


@pytest.fixture
def browser(slicer_app: Harness) -> Harness:
    """The application with the plugin, beside one that offers everything as a volume."""
    import slicer

    slicer.modules.dicomPlugins.clear()
    register_scalar_volumes()
    slicer_app.load(MODULE)
    return slicer_app


def test_the_b_mode_region_is_loaded_as_the_backend_reads_it(
    browser: Harness, tmp_path: Path
) -> None:
    import slicer

    path = examination(tmp_path / "us", 1)
    expected = read_ultrasound(path)
    files = import_folder(path.parent)
    [found] = offered(files, PLUGIN)
    assert found.selected and found.confidence > 0.7  # Slicer's image sequences
    assert found.name == "Ultrasound RIGHT breast" and "0.5 × 0.4 mm" in found.tooltip
    nodes, messages = load(files)
    assert messages == []
    [node] = [n for n in nodes if n.IsA("vtkMRMLScalarVolumeNode")]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0], expected.pixels)
    assert node.GetSpacing()[:2] == pytest.approx(SPACING)
    # The region's first pixel, LPS (column · width, row · height), in RAS.
    x0, y0 = BOX[:2]
    np.testing.assert_allclose(node.GetOrigin(), [-x0 * SPACING[0], -y0 * SPACING[1], 0])
    assert node.GetAttribute("DICOM.instanceUIDs") == "1.2.3.9.1.1"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemUID(item, "DICOM") == "1.2.3.9.1.2"


def test_a_point_on_the_image_is_a_pixel_of_the_file(browser: Harness, tmp_path: Path) -> None:
    path = examination(tmp_path / "us", 1)
    nodes, _ = load(import_folder(path.parent))
    [node] = [n for n in nodes if n.IsA("vtkMRMLScalarVolumeNode")]
    from PCRPredictLib.ultrasound_nodes import ras_of, source_pixel

    for pixel in ((BOX[0], BOX[1]), (190.0, 150.0), (BOX[2], BOX[3])):
        ras = ras_of(node, pixel)
        np.testing.assert_allclose(ras, [-pixel[0] * SPACING[0], -pixel[1] * SPACING[1], 0])
        np.testing.assert_allclose(source_pixel(node, ras), pixel)


def test_two_examinations_of_one_patient_are_us_0_and_us_1_by_their_dates(
    browser: Harness, tmp_path: Path
) -> None:
    examination(tmp_path / "us", 1, StudyDate="20240327")
    examination(tmp_path / "us", 2, StudyDate="20240131")
    files = import_folder(tmp_path / "us")
    found = {loadable.name: loadable for loadable in offered(files, PLUGIN)}
    assert set(found) == {"US-0 Ultrasound RIGHT breast", "US-1 Ultrasound RIGHT breast"}
    first = found["US-0 Ultrasound RIGHT breast"]
    assert first.files == [str(tmp_path / "us" / "2.dcm")] and "8.0 weeks" in first.tooltip
    nodes, _ = load(files)
    roles = [n.GetAttribute("BreastPredict.Role") for n in nodes if n.IsA("vtkMRMLVolumeNode")]
    assert sorted(roles) == ["US-0", "US-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"PatientID": "ANOTHER", "PatientName": "Another"},
        {"ImageLaterality": "L"},
        {"StudyDate": "20240131"},
    ],
    ids=("patient", "side", "day"),
)
def test_what_cannot_be_a_pair_stays_two_examinations(
    browser: Harness, tmp_path: Path, change: dict[str, str]
) -> None:
    examination(tmp_path / "us", 1, StudyDate="20240131")
    examination(tmp_path / "us", 2, **{"StudyDate": "20240327", **change})
    found = offered(import_folder(tmp_path / "us"), PLUGIN)
    assert len(found) == 2 and not any(loadable.role for loadable in found)


@pytest.mark.parametrize(
    "change, low, high",
    [
        ({}, 0.7, 1.0),
        ({"BodyPartExamined": "", "StudyDescription": "Breast left"}, 0.7, 1.0),
        ({"BodyPartExamined": ""}, 0.5, 0.7),
        ({"BodyPartExamined": "KIDNEY"}, 0.0, 0.5),
        ({"regions": None}, 0.0, 0.5),
        ({"regions": [region(PhysicalUnitsXDirection=0)]}, 0.0, 0.5),
    ],
    ids=("breast", "words", "unsaid", "kidney", "no region", "no spacing"),
)
def test_the_confidence_says_what_was_recognised(
    browser: Harness, tmp_path: Path, change: dict[str, Any], low: float, high: float
) -> None:
    path = examination(tmp_path / "us", 1, **change)
    [found] = offered(import_folder(path.parent), PLUGIN)
    assert low < found.confidence < high and found.selected == (found.confidence > 0.5)


def test_files_that_cannot_be_used_are_not_offered_and_take_no_others_with_them(
    browser: Harness, tmp_path: Path
) -> None:
    good = examination(tmp_path / "us", 1)
    bad = examination(tmp_path / "us", 2)
    bad.write_bytes(bad.read_bytes()[: -COLUMNS * ROWS // 2])
    files = import_folder(good.parent)
    assert [loadable.files for loadable in offered(files, PLUGIN)] == [[str(good)]]


def test_a_missing_backend_offers_nothing(
    browser: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = import_folder(examination(tmp_path / "us", 1).parent)
    for name in [n for n in sys.modules if n.partition(".")[0] == "breastpredict"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "breastpredict.dicom", None)  # its import fails
    assert offered(files, PLUGIN) == []


def test_real_scanners_files_are_offered_by_their_regions(browser: Harness, shared: Path) -> None:
    import slicer

    names = ("gdcm-US-ALOKA-16.dcm", "US1_UNCR.dcm", "RGB_IMAGE.dcm")
    series = import_folder(shared / "data" / "us" / "dicom")
    files = [[file] for each in series for file in each if Path(file).name in names]
    assert len(files) == len(names)
    by_file: dict[str, list[Any]] = {}
    for loadable in offered(files, PLUGIN):
        by_file.setdefault(Path(loadable.files[0]).name, []).append(loadable)
    assert len(by_file["gdcm-US-ALOKA-16.dcm"]) == 2
    assert by_file["US1_UNCR.dcm"][0].confidence < 0.5 < by_file["RGB_IMAGE.dcm"][0].confidence
    for loadables in by_file.values():
        for loadable in loadables:
            expected = read_ultrasound(loadable.files[0], region=loadable.offer.region)
            before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}
            assert slicer.modules.dicomPlugins[PLUGIN]().load(loadable)
            [node] = [
                node
                for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")
                if node.GetID() not in before
            ]
            np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0], expected.pixels)
            wanted = expected.spacing_mm or (1.0, 1.0)
            assert node.GetSpacing()[:2] == pytest.approx(wanted)
