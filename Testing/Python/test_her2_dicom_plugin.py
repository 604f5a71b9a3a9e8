"""A DCE study in Slicer's DICOM browser: one loadable, its phases as a sequence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import SECRET_ID, make_study, truncate
from dce_volumes import TIMES, dce, files_below, oblique_axes, only
from dicom_plugins import import_folder, load, offered, register_scalar_volumes
from harness import Harness

from breastpredict.dicom import read_study
from breastpredict.phantom import StudyHeader, write_dce

MODULE = Path(__file__).resolve().parents[2] / "HER2Predict" / "DICOMBreastDCEPlugin.py"
PLUGIN = MODULE.stem


@pytest.fixture
def browser(slicer_app: Harness) -> Harness:
    """The application with the plugin, beside one that offers everything as a volume."""
    import slicer

    slicer.modules.dicomPlugins.clear()
    register_scalar_volumes()
    slicer_app.load(MODULE)
    return slicer_app


def write(folder: Path, layout: Any = "ge", phases: int = 4, **change: Any) -> Path:
    """A study with all phases in one series."""
    volumes = dce(phases, 1, axes=oblique_axes())
    header = StudyHeader(patient_id=SECRET_ID)
    write_dce(folder, volumes, layout=layout, times_s=TIMES[:phases], header=header, **change)
    return folder


def without_lesion(folder: Path) -> Path:
    """A study in which nothing enhances."""
    return make_study(folder, enhancing=False)


def stating(folder: Path, body_part: str) -> Path:
    """The study, with a body part in all of its headers."""
    for path in files_below(folder):
        data = pydicom.dcmread(path)
        data.BodyPartExamined = body_part
        data.save_as(path)
    return folder


def ras_corner(volume: Any) -> list[float]:
    """Where the last voxel lies."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    last = [size - 1 for size in volume.GetImageData().GetDimensions()]
    return list(matrix.MultiplyPoint([*map(float, last), 1.0]))[:3]


@pytest.mark.parametrize("layout", ["ge", "siemens", "enhanced"])
def test_a_dce_study_is_one_loadable_and_its_phases_are_what_the_backend_reads(
    browser: Harness, tmp_path: Path, layout: str
) -> None:
    import slicer

    study = write(tmp_path / "study", layout)
    expected = only(read_study(study))
    files = import_folder(study)
    [found] = offered(files, PLUGIN)
    assert set(found.files) == {file for files_of in files for file in files_of}
    assert found.selected and found.confidence > 0.7
    assert f"4 phases, early phase {expected.chosen}" in found.name
    assert expected.reason in found.tooltip

    nodes, messages = load(files)
    assert messages == []
    [sequence] = [node for node in nodes if node.IsA("vtkMRMLSequenceNode")]
    [proxy] = [node for node in nodes if node.IsA("vtkMRMLScalarVolumeNode")]
    assert sequence.GetNumberOfDataNodes() == len(expected.phases) == 4
    timed = bool(np.isfinite([phase.time_s for phase in expected.phases]).all())
    assert timed == (layout != "ge"), "both kinds are to be seen"
    index = (sequence.GetIndexName(), sequence.GetIndexUnit())
    assert index == (("time", "s") if timed else ("phase", ""))
    for number, phase in enumerate(expected.phases):
        volume = sequence.GetNthDataNode(number)
        value = phase.time_s if timed else phase.index
        assert float(sequence.GetNthIndexValue(number)) == pytest.approx(value, abs=1e-3)
        image = phase.read()
        shown = slicer.util.arrayFromVolume(volume)
        np.testing.assert_array_equal(shown, sitk.GetArrayFromImage(image))
        x, y, z = image.TransformIndexToPhysicalPoint([size - 1 for size in image.GetSize()])
        np.testing.assert_allclose(ras_corner(volume), [-x, -y, z], atol=1e-6)
        instances = {each.sop_instance_uid for each in phase.instances}
        assert set(volume.GetAttribute("DICOM.instanceUIDs").split()) == instances
        assert volume.GetAttribute("BreastPredict.Phase") == str(phase.index)
        is_early = phase.index == expected.chosen
        assert volume.GetAttribute("BreastPredict.Early") == ("yes" if is_early else "no")
    assert sequence.GetAttribute("BreastPredict.EarlyPhase") == str(expected.chosen)
    # What is shown at first is the early phase, under its patient and study.
    early = sequence.GetNthDataNode(expected.chosen - 1)
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(proxy), slicer.util.arrayFromVolume(early)
    )
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {node.GetBackgroundVolumeID() for node in composites} == {proxy.GetID()}
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(proxy))
    assert hierarchy.GetItemUID(item, "DICOM") == read_study(study).study_uid


def test_each_breast_of_a_study_is_a_loadable_of_its_own(browser: Harness, tmp_path: Path) -> None:
    left = dce(4, 1, (20, 16, 7), seed=5, origin=(90.0, -60.0, 30.0))
    folder = tmp_path / "study"
    write_dce(folder, dce(4, 1), layout="ge", times_s=TIMES, second_stack=left)
    expected = read_study(folder)
    assert len(expected.dce) == 2
    files = import_folder(folder)
    found = offered(files, PLUGIN)
    assert [len(each.files) for each in found] == [4 * 9, 4 * 7]
    assert not set(found[0].files) & set(found[1].files)
    nodes, _ = load(files, [PLUGIN])
    sequences = [node for node in nodes if node.IsA("vtkMRMLSequenceNode")]
    assert [s.GetAttribute("BreastPredict.Acquisition") for s in sequences] == ["1", "2"]


@pytest.mark.parametrize(
    "change", [without_lesion, lambda folder: stating(write(folder), "PROSTATE")], ids=("", "organ")
)
def test_what_is_not_certain_is_offered_below_slicers_own_volumes(
    browser: Harness, tmp_path: Path, change: Any
) -> None:
    files = import_folder(change(tmp_path / "study"))
    [found] = offered(files, PLUGIN)
    assert not found.selected and found.confidence < 0.5
    nodes, messages = load(files)
    assert [node for node in nodes if node.IsA("vtkMRMLSequenceNode")] == [] == messages


def test_a_stated_breast_is_as_good_as_none(browser: Harness, tmp_path: Path) -> None:
    [found] = offered(import_folder(stating(write(tmp_path / "study"), "BREAST")), PLUGIN)
    assert found.selected


def test_a_single_time_point_and_files_of_other_modalities_are_not_offered(
    browser: Harness, tmp_path: Path
) -> None:
    study = write(tmp_path / "study", "siemens")
    files = import_folder(study)
    assert offered([files[0]], PLUGIN) == []
    assert len(offered([files[0], files[2]], PLUGIN)) == 1  # the user selects series
    other = tmp_path / "ct"
    for path in files_below(write(other)):
        data = pydicom.dcmread(path)
        data.Modality, data.SOPInstanceUID = "CT", f"{data.SOPInstanceUID}.1"
        data.SeriesInstanceUID = f"{data.SeriesInstanceUID}.1"
        data.save_as(path)
    assert offered(import_folder(other), PLUGIN) == []


def test_damaged_pixels_load_nothing_and_say_it_without_a_path(
    browser: Harness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import slicer

    study = write(tmp_path / "study", "ge")
    files = import_folder(study)
    [found] = offered(files, PLUGIN)
    truncate(Path(found.files[-1]))
    before = slicer.mrmlScene.GetNumberOfNodes()
    plugin = slicer.modules.dicomPlugins[PLUGIN]()
    with browser.failures.expected("Breast DCE-MRI"):
        assert plugin.load(found) is False
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert str(tmp_path) not in caplog.text


def test_a_missing_backend_offers_nothing_and_disturbs_nothing(
    browser: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = import_folder(write(tmp_path / "study"))
    for name in [n for n in sys.modules if n.partition(".")[0] == "breastpredict"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "breastpredict.dicom", None)  # its import fails
    assert offered(files, PLUGIN) == []
    nodes, messages = load(files, None)
    assert messages == [] and nodes == []


def test_plugins_show_no_module_and_import_no_backend(tmp_path: Path) -> None:
    """In a process of its own: nothing of the backend is there before there are files."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "testing, home, *modules = sys.argv[1:]\n"
        "sys.path.insert(0, testing)\n"
        "from harness import Harness\n"
        "app = Harness(Path(home))\n"
        "import slicer\n"
        "for each in modules:\n"
        "    loaded = app.load(Path(each))\n"
        "    assert loaded.hidden and loaded.widgetRepresentation().self() is None\n"
        "    name = Path(each).stem\n"
        "    plugin = slicer.modules.dicomPlugins[name]()\n"
        "    assert plugin.examineForImport([[], ['/nowhere/file']]) == []\n"
        "heavy = {'breastpredict', 'pydicom', 'highdicom', 'torch', 'SimpleITK'}\n"
        "print(sorted(heavy & ({n.partition('.')[0] for n in sys.modules} - {'pydicom'})))\n"
    )
    testing = Path(__file__).resolve().parents[1]
    other = MODULE.parents[1] / "PCRPredict" / "DICOMBreastUSPlugin.py"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, (testing, tmp_path / "home", MODULE, other))],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
