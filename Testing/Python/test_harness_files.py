"""Files in the harness: volumes, segmentations, markups, and the DICOM database."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

MATRIX = np.array([[-1.5, 0, 0, 30], [0, -2, 0, 40], [0, 0, 3, -20], [0, 0, 0, 1]], float)


def _array() -> np.ndarray:
    return np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".mha"])
def test_a_volume_comes_back_from_its_file_as_it_was(
    slicer_app: Harness, tmp_path: Path, extension: str
) -> None:
    import slicer

    path = str(tmp_path / f"volume{extension}")
    volume = slicer.util.addVolumeFromArray(_array(), MATRIX, "volume")
    assert slicer.util.saveNode(volume, path, {})
    slicer_app.close_scene()
    loaded = slicer.util.loadVolume(path, {"name": "again"})
    assert loaded.GetName() == "again"
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), _array())
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(loaded))
    assert matrix == pytest.approx(MATRIX)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == loaded.GetID()  # shown, as Slicer does
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.loadVolume(str(tmp_path / "none.nrrd"))


def _ijk_to_ras(volume: Any) -> Any:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_exporting_leaves_the_nodes_own_file_name_alone(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(_array())
    assert slicer.util.exportNode(volume, str(tmp_path / "copy.nrrd"), {})
    assert volume.GetStorageNode() is None
    assert np.array_equal(
        slicer.util.arrayFromVolume(slicer.util.loadVolume(str(tmp_path / "copy.nrrd"))), _array()
    )


def test_a_segmentation_and_markups_come_back_from_their_files(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(_array(), MATRIX)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mask")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("lesion", "Lesion", (1.0, 0.0, 0.0))
    mask = (_array() > 60).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint((1.0, 2.0, 3.0), "seed")
    assert slicer.util.saveNode(node, str(tmp_path / "mask.seg.nrrd"), {})
    assert slicer.util.saveNode(points, str(tmp_path / "points.mrk.json"), {})
    loaded = slicer.util.loadSegmentation(str(tmp_path / "mask.seg.nrrd"))
    assert np.array_equal(
        slicer.util.arrayFromSegmentBinaryLabelmap(loaded, "lesion", volume), mask
    )
    again = slicer.util.loadMarkups(str(tmp_path / "points.mrk.json"))
    assert again.GetNthControlPointLabel(0) == "seed"
    assert again.GetNthControlPointPosition(0) == (1.0, 2.0, 3.0)


def test_nodes_have_items_in_the_subject_hierarchy_and_lose_them(slicer_app: Harness) -> None:
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    volume = slicer.util.addVolumeFromArray(_array(), name="volume")
    item = hierarchy.GetItemByDataNode(volume)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(item, study)
    assert hierarchy.GetItemName(item) == "volume"
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetItemByDataNode(volume) == 0


def test_the_subject_hierarchy_survives_saving_and_loading(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    volume = slicer.util.addVolumeFromArray(_array(), name="volume")
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer_app.close_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(slicer.util.getNode("volume"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "study"


def _series(folder: Path, patient: str = "P1", name: str = "Doe^Jane", slices: int = 3) -> str:
    """An MR series of `slices` files below `folder`; returns its UID."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(slices):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        header = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
        header.update(Dataset())
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        header.PatientID, header.PatientName, header.PatientBirthDate = patient, name, "19700101"
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID, header.Modality = frame, "MR"
        header.SeriesDescription, header.InstanceNumber = "early phase", slices - k
        header.ImageType = ["ORIGINAL", "PRIMARY"]
        header.Rows, header.Columns = 5, 6
        header.PixelSpacing, header.SliceThickness = ["2", "1.5"], 3
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.ImagePositionPatient = [-30, -40, -20 + 3 * k]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 1
        header.PixelData = _array()[k].tobytes()
        header.save_as(folder / f"{slices - k}.dcm", enforce_file_format=True)
    return str(series)


def test_the_indexer_puts_a_folder_into_the_database(slicer_app: Harness, tmp_path: Path) -> None:
    import ctk
    import slicer

    first = _series(tmp_path / "a")
    second = _series(tmp_path / "b", "P2", "Roe^Mary")
    (tmp_path / "notes.txt").write_text("no DICOM")
    database, added, changes = slicer.dicomDatabase, [], []
    indexer = ctk.ctkDICOMIndexer()
    indexer.connect("indexingComplete(int,int,int,int)", lambda *counts: added.append(counts))
    database.connect("databaseChanged()", lambda: changes.append(1))
    indexer.addDirectory(database, str(tmp_path))
    assert added == [(2, 2, 2, 6)] and changes
    assert slicer.app.dicomDatabase() is database and database.isOpen
    patient, other = database.patients()
    assert database.fieldForPatient("PatientID", patient) == "P1"
    assert database.nameForPatient(other) == "Roe^Mary"
    (study,) = database.studiesForPatient(patient)
    assert database.seriesForStudy(study) == (first,)
    assert database.patientForStudy(study) == patient and database.studyForSeries(first) == study
    files = database.filesForSeries(first)
    assert {Path(f).name for f in files} == {"1.dcm", "2.dcm", "3.dcm"}
    assert database.fileValue(files[0], "0008,103e") == "early phase"
    assert database.fileValue(files[0], 0x0028, 0x0030) == "2\\1.5"
    uid = database.instancesForSeries(second)[0]
    assert database.instanceValue(uid, "0010,0010") == "Roe^Mary"
    assert database.instanceForFile(database.fileForInstance(uid)) == uid
    indexer.addDirectory(database, str(tmp_path))
    assert added[-1] == (0, 0, 0, 0)
    assert database.removeSeries(first) and database.seriesCount() == 1


def test_the_browser_imports_and_gives_the_files_of_what_is_selected(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import ctk
    import qt
    import slicer

    first, second = _series(tmp_path / "a"), _series(tmp_path / "b", "P2", "Roe^Mary")
    browser, imported = ctk.ctkDICOMBrowser(), []
    browser.connect("directoryImported()", lambda: imported.append(1))
    browser.importDirectory(str(tmp_path / "a"))
    browser.importFiles([str(f) for f in (tmp_path / "b").iterdir()])
    assert browser.seriesAddedDuringImport == 1 and imported == [1, 1]
    level = ctk.ctkDICOMModel
    patient = slicer.dicomDatabase.patients()[1]
    browser.setSelectedItems(level.PatientType, [patient])
    browser.setSelectedItems(level.SeriesType, [first])
    assert browser.selectedItems(level.SeriesType) == (first,)
    files = browser.fileListForCurrentSelection(level.PatientType)
    assert set(files) == set(slicer.dicomDatabase.filesForSeries(second))
    tree = browser.findChild(qt.QTreeWidget)
    assert [tree.topLevelItem(i).text(0) for i in range(2)] == ["Doe^Jane", "Roe^Mary"]


def test_sample_data_is_registered_when_slicer_has_started_and_loaded_by_name(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import SampleData
    import slicer

    path = tmp_path / "volume.nrrd"
    assert slicer.util.exportNode(slicer.util.addVolumeFromArray(_array()), str(path), {})
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()

    def register(name: str = "Phantom", checksum: str = f"SHA256:{checksum}") -> None:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Breast", sampleName=name, uris=path.as_uri(), fileNames="phantom.nrrd",
            nodeNames="phantom", checksums=checksum,
        )  # fmt: skip

    slicer.app.connect("startupCompleted()", register)
    assert "Breast" not in slicer.modules.sampleDataSources
    slicer_app.finish_startup()
    slicer.app.disconnect("startupCompleted()", register)
    (node,) = SampleData.SampleDataLogic().downloadSamples("Phantom")
    assert node.GetName() == "phantom" and slicer.util.arrayFromVolume(node).shape == (4, 5, 6)
    register("Damaged", "SHA256:00")
    with pytest.raises(ValueError, match="SHA256"):
        SampleData.SampleDataLogic().downloadSample("Damaged")
    with pytest.raises(ValueError, match="2 fileNames for 1 uris"):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            sampleName="x", uris="file:///x", fileNames=["a", "b"]
        )


def test_importing_may_copy_the_files_into_the_database(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer
    from DICOMLib import DICOMUtils

    series = _series(tmp_path / "a")
    with DICOMUtils.TemporaryDICOMDatabase(str(tmp_path / "db")) as database:
        assert DICOMUtils.importDicom(str(tmp_path / "a"), database, copyFiles=True)
        files = database.filesForSeries(series)
        assert all(Path(f).is_relative_to(tmp_path / "db") for f in files)
    assert not (tmp_path / "db").exists()
    assert slicer.dicomDatabase.isOpen and slicer.dicomDatabase.patients() == ()
    assert not DICOMUtils.importDicom(str(tmp_path / "no such folder"))


def test_a_series_is_loaded_in_its_place_whatever_the_order_of_its_files(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer
    from DICOMLib import DICOMUtils

    series = _series(tmp_path / "a")
    assert DICOMUtils.importDicom(str(tmp_path / "a"))
    (node_id,) = DICOMUtils.loadSeriesByUID([series])
    volume = slicer.mrmlScene.GetNodeByID(node_id)
    assert np.array_equal(slicer.util.arrayFromVolume(volume), _array()[:3])
    assert slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume)) == pytest.approx(MATRIX)
    assert volume.GetName() == "early phase"
    first = volume.GetAttribute("DICOM.instanceUIDs").split()[0]
    assert slicer.dicomDatabase.fileForInstance(first).endswith("3.dcm")


def test_settings_are_kept_in_the_harness_and_forgotten_after_the_test(slicer_app: Harness) -> None:
    import qt
    import slicer

    settings = qt.QSettings()
    assert settings.fileName().startswith(slicer.app.slicerHome)
    assert slicer.util.settingsValue("Toy/count", 3, converter=int) == 3
    settings.setValue("Toy/count", 5)
    assert slicer.util.settingsValue("Toy/count", 3, converter=int) == 5
    slicer_app.reset()
    assert slicer.util.settingsValue("Toy/count", 3, converter=int) == 3
