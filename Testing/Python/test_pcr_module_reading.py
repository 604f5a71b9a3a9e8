"""PCR Predict reads the pair from files, and the same from whatever Slicer has made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_plugins import examination, import_folder
from harness import Harness
from pcr_panel import PcrPanel
from PIL import Image
from ultrasound_screens import dataset, fan, region, save, screen

from breastpredict.dicom import UltrasoundImage, read_ultrasound

MODULE = Path(__file__).resolve().parents[2] / "PCRPredict" / "PCRPredict.py"


@pytest.fixture
def logic(slicer_app: Harness) -> Iterator[Any]:
    """What a script makes: the module is loaded, and never shown."""
    slicer_app.load(MODULE)
    from PCRPredict import PCRPredictLogic

    made = PCRPredictLogic()
    yield made
    made.close()


def volume(pixels: np.ndarray, name: str = "us", file: Path | None = None) -> Any:
    """Grey ``[row, column]`` or RGB in the scene, placed as Slicer's image sequences are.

    Args:
        file: of the DICOM database, to which the node refers as they do.
    """
    import slicer

    is_rgb = pixels.ndim == 3
    kind = "vtkMRMLVectorVolumeNode" if is_rgb else "vtkMRMLScalarVolumeNode"
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(pixels[np.newaxis]))
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    if file is not None:
        uid = slicer.dicomDatabase.instanceForFile(str(file))
        node.SetAttribute("DICOM.instanceUIDs", uid)
    return node


def sequence_of(frames: list[np.ndarray], file: Path | None, shown: int) -> tuple[Any, Any]:
    """A sequence with its browser as Slicer's image sequences are; it, and the volume it shows."""
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for number, frame in enumerate(frames):
        node = volume(frame, "frame", file)
        sequence.SetDataNodeAtValue(node, str(number))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber(shown)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return sequence, browser.GetProxyNode(sequence)


def read(logic: Any, node: Any) -> UltrasoundImage:
    """What the module makes of a node."""
    from PCRPredictLib.ultrasound_source import source_of

    image: UltrasoundImage = source_of(node, logic.case().tasks.folder).read()
    return image


def assert_same(found: UltrasoundImage, expected: UltrasoundImage) -> None:
    """All that a prediction depends on."""
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.scan, expected.scan)
    for name in ("region", "spacing_mm", "frame", "source_size", "laterality", "study_date"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.patient_id == expected.patient_id and found.warnings == expected.warnings


def rgb(path: Path) -> np.ndarray:
    """A DICOM file's only frame in colours, as Slicer's reader gives it."""
    pixels = pydicom.dcmread(path).pixel_array
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


@pytest.mark.parametrize("colours", [True, False], ids=("RGB vector volume", "scalar volume"))
def test_a_loaded_dicom_image_is_read_as_its_file(
    logic: Any, tmp_path: Path, colours: bool
) -> None:
    path = examination(tmp_path / "us", 1)
    import_folder(path.parent)
    pixels = rgb(path)
    node = volume(pixels if colours else pixels[..., 0], file=path)
    expected = read_ultrasound(path)
    assert expected.spacing_mm is not None
    assert_same(read(logic, node), expected)


@pytest.mark.parametrize("shown", [0, 2])
def test_of_a_sequence_the_shown_frame_is_read(logic: Any, tmp_path: Path, shown: int) -> None:
    frames = np.stack([screen(fan(), seed) for seed in range(3)])
    path = save(dataset(frames, [region()], NumberOfFrames=3), tmp_path / "cine.dcm")
    import_folder(tmp_path)
    sequence, proxy = sequence_of(list(frames), path, shown)
    expected = read_ultrasound(path, frame=shown + 1)
    for node in (sequence, proxy):
        assert_same(read(logic, node), expected)


def test_of_a_sequence_of_stills_each_is_its_own_file(logic: Any, tmp_path: Path) -> None:
    import slicer

    paths = [examination(tmp_path / "us", number) for number in (1, 2)]
    import_folder(tmp_path / "us")
    sequence, proxy = sequence_of([rgb(path) for path in paths], paths[0], 1)
    uid = slicer.dicomDatabase.instanceForFile(str(paths[1]))
    sequence.GetNthDataNode(1).SetAttribute("DICOM.instanceUIDs", uid)
    slicer.modules.sequences.logic().UpdateAllProxyNodes()
    proxy.SetAttribute("DICOM.instanceUIDs", uid)
    assert_same(read(logic, proxy), read_ultrasound(paths[1]))


@pytest.mark.parametrize("colours", [True, False], ids=("RGB vector volume", "scalar volume"))
def test_a_picture_is_read_as_its_file(logic: Any, tmp_path: Path, colours: bool) -> None:
    grey = screen(fan())
    pixels = np.stack([grey, grey, grey], axis=-1) if colours else grey
    Image.fromarray(pixels).save(tmp_path / "us.png")
    assert_same(read(logic, volume(pixels)), read_ultrasound(tmp_path / "us.png"))


def test_an_opened_picture_is_the_file_until_it_is_changed(logic: Any, tmp_path: Path) -> None:
    import slicer
    from PCRPredictLib.ultrasound_source import source_of

    path = tmp_path / "us.jpg"
    Image.fromarray(screen(fan())).save(path, quality=60)
    node = volume(np.asarray(Image.open(path)))
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "us.nrrd"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(node)  # as after reading, which slicer-core cannot do with pictures
    storage.SetFileName(str(path))
    folder = logic.case().tasks.folder
    assert source_of(node, folder).path == path
    assert_same(read(logic, node), read_ultrasound(path))
    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.util.arrayFromVolumeModified(node)
    assert source_of(node, folder).path.parent == folder
    assert set(np.unique(Image.open(source_of(node, folder).path))) == {7}


@pytest.mark.parametrize("name", ["RGB_IMAGE.dcm", "US1_J2KR.dcm", "OBXXXX1A_2frame.dcm"])
def test_images_of_real_scanners_are_read_as_their_files(
    logic: Any, shared: Path, name: str
) -> None:
    path = shared / "data" / "us" / "dicom" / name
    import_folder(path.parent)
    expected = read_ultrasound(path)
    columns, rows = expected.source_size
    placeholder = np.zeros((rows, columns, 3), np.uint8)  # the file is read, not what is shown
    if expected.frame_count > 1:
        frames = [placeholder] * expected.frame_count
        node: Any = sequence_of(frames, path, expected.frame - 1)[1]
    else:
        node = volume(placeholder, file=path)
    assert_same(read(logic, node), expected)


def wrong_values(node: Any) -> None:
    import slicer

    slicer.util.updateVolumeFromArray(node, np.full((1, 9, 9), -3.5, np.float32))


def several_slices(node: Any) -> None:
    import slicer

    slicer.util.updateVolumeFromArray(node, np.zeros((4, 9, 9), np.uint8))


@pytest.mark.parametrize(
    "spoil, words",
    [(wrong_values, "no grey levels"), (several_slices, "4 slices")],
)
def test_what_is_no_ultrasound_image_is_refused_in_words(
    logic: Any, spoil: Any, words: str
) -> None:
    node = volume(screen(fan()), "liver")
    spoil(node)
    with pytest.raises(ValueError, match=rf"'liver'.*{words}|{words}.*'liver'"):
        read(logic, node)


def test_the_panel_reads_a_pair_of_a_file_and_an_image_and_says_what_was_checked(
    pcr: PcrPanel, tmp_path: Path
) -> None:
    ui = pcr.ui
    assert pcr.why_not("read") == "Choose an ultrasound image or a biopsy."
    first = examination(tmp_path / "us", 1, StudyDate="20240131")
    second = examination(tmp_path / "us", 2, StudyDate="20240327")
    import_folder(second.parent)
    ui.us0FileEdit.currentPath = str(first)
    ui.us1Selector.setCurrentNode(volume(rgb(second), file=second))
    pcr.press("read")
    assert "PID-4711" in ui.patientLabel.text and "RIGHT breast" in ui.patientLabel.text
    assert "8.0 weeks apart" in ui.pairLabel.text and "0.5 × 0.4 mm" in ui.pairLabel.text
    ui.us1Selector.setCurrentNode(volume(rgb(first), file=first))  # the same image twice
    assert "weeks" not in ui.pairLabel.text and "No patient" in ui.patientLabel.text
    pcr.press("read")
    assert "the same image" in ui.pairLabel.text
    assert "the same image" in pcr.why_not("predict")


def test_an_image_of_the_database_is_chosen_by_its_words(pcr: PcrPanel, tmp_path: Path) -> None:
    path = examination(tmp_path / "us", 1, StudyDate="20240131")
    import_folder(path.parent)
    box = pcr.ui.us0DatabaseBox
    pcr.ui.databaseRefreshButton.click()
    [index] = [n for n in range(box.count) if "20240131" in box.itemText(n)]
    box.setCurrentIndex(index)
    pcr.press("read")
    shown = pcr.parameters.us0Image
    expected = read_ultrasound(path)
    import slicer

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown)[0], expected.pixels)
    assert shown.GetAttribute("DICOM.instanceUIDs") == str(expected.header.SOPInstanceUID)


def test_the_modules_own_test_passes_and_fails_when_reading_is_broken(
    slicer_app: Harness, lent_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = slicer_app.load(MODULE)
    slicer_app.run_module_test(module)
    from PCRPredictLib import ultrasound_source

    whole = ultrasound_source._pixels_of
    monkeypatch.setattr(ultrasound_source, "_pixels_of", lambda node: whole(node)[::-1])
    with pytest.raises(AssertionError):
        slicer_app.run_module_test(module)
