"""Where a study can come from, and where its result can go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from cli_runs import SECRET_ID, make_study
from her2_panel import Her2Panel, SmallCase

LOADED, DATABASE = 2, 1
ROLES = {"pre": 1, "post": 2}


def index(study: Path) -> str:
    """Put a study into the DICOM database; its UID."""
    import slicer
    from DICOMLib import DICOMUtils

    before = all_studies()
    assert DICOMUtils.importDicom(str(study), slicer.dicomDatabase)
    [new] = set(all_studies()) - set(before)
    return str(new)


def all_studies() -> list[str]:
    import slicer

    database = slicer.dicomDatabase
    return [s for patient in database.patients() for s in database.studiesForPatient(patient)]


def choose_study(her2: Her2Panel, uid: str) -> None:
    her2.ui.sourceBox.currentIndex = DATABASE
    her2.ui.databaseBox.currentIndex = her2.ui.databaseBox.findData(uid)


def finish(her2: Her2Panel, case: SmallCase) -> dict[str, Any]:
    """From an open study to its prediction."""
    her2.press("load")
    her2.ui.importEdit.currentPath = str(case.mask)
    her2.press("import")
    her2.parameters.run, her2.parameters.device = case.run, "cpu"
    her2.press("predict")
    result: dict[str, Any] = her2.case.result
    return result


def assign(her2: Her2Panel, wanted: list[tuple[str, str, str]]) -> None:
    """Give volumes their roles and times in the table: name, role, seconds."""
    her2.ui.sourceBox.currentIndex = LOADED
    table = her2.ui.loadedTable
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    for name, role, time in wanted:
        row = names.index(name)
        table.cellWidget(row, 1).currentIndex = ROLES[role]
        table.cellWidget(row, 2).text = time


def phases_in_the_scene(her2: Her2Panel, case: SmallCase) -> tuple[list[Any], list[str]]:
    """The three phases as volumes that are no longer DICOM, and their times."""
    import slicer

    from BreastPredictLib.geometry import read_volume

    her2.read(case.study)
    times = [str(phase["time_s"]) for phase in her2.case.acquisition["phases"]]
    volumes = []
    for phase in (1, 2, 3):
        her2.parameters.phase = phase
        her2.press("load")
        folder = her2.case.tasks.folder / "volumes"
        volumes.append(read_volume(f"v{phase}", str(folder / f"phase-{phase}.nrrd")))
    p = her2.parameters
    for node in (p.early, p.pre, p.subtraction):
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
    her2.case.forget_study()
    return volumes, times


def test_a_study_of_the_database_gives_what_its_folder_gives(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    other = index(make_study(tmp_path / "other", "OTHER", seed=5))
    uid = index(small_case.study)
    choose_study(her2, uid)
    assert her2.ui.databaseBox.count == 3 and SECRET_ID in her2.ui.databaseBox.currentText
    her2.press("open")
    assert SECRET_ID in her2.ui.patientLabel.text
    from_database = finish(her2, small_case)
    # Another study of the same database is another patient, and must be read first.
    choose_study(her2, other)
    assert SECRET_ID not in her2.ui.patientLabel.text and her2.enabled() == {"open"}
    her2.press("open")
    assert "ID OTHER" in her2.ui.patientLabel.text
    assert her2.case.result is None and her2.parameters.early is None
    her2.ui.sourceBox.currentIndex = 0
    her2.read(small_case.study)
    from_folder = finish(her2, small_case)
    for each in (from_database, from_folder):
        for varying in ("date", "folder", "source"):
            each.pop(varying)
    assert from_database == from_folder


def test_loaded_volumes_are_predicted_without_dicom(her2: Her2Panel, small_case: SmallCase) -> None:
    from_dicom = her2.predict(small_case)
    volumes, times = phases_in_the_scene(her2, small_case)
    roles = ("pre", "post", "post")
    assign(her2, list(zip(("v1", "v2", "v3"), roles, times, strict=True)))
    her2.press("open")
    assert her2.ui.patientLabel.text.startswith("name not known")
    assert her2.parameters.phase == 2 and her2.ui.phaseTable.rowCount == 3
    result = finish(her2, small_case)
    assert result["probabilities"] == pytest.approx(from_dicom["probabilities"])
    assert result["no_dicom"] and result["no_dicom"] in her2.ui.resultNoteLabel.text
    assert her2.why_not("save_dicom") == "This result has no DICOM files: see the note above."
    assert "save_report" in her2.enabled()
    loaded = np.array(volumes[1].GetImageData().GetDimensions())
    assert (loaded == her2.parameters.map.GetImageData().GetDimensions()).all()


def test_the_volumes_of_a_sequence_are_offered_too(her2: Her2Panel, small_case: SmallCase) -> None:
    import slicer

    volumes, times = phases_in_the_scene(her2, small_case)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    for number, volume in enumerate(volumes):
        kept = sequence.SetDataNodeAtValue(volume, str(number))
        kept.SetName(f"frame {number}")
        slicer.mrmlScene.RemoveNode(volume)
    assign(her2, [(f"frame {n}", "post" if n else "pre", times[n]) for n in range(3)])
    her2.press("open")
    assert len(her2.case.acquisition["phases"]) == 3
    her2.press("load")
    assert slicer.util.arrayFromVolume(her2.parameters.early).shape == (9, 40, 48)


def test_a_result_goes_into_the_database_under_the_patients_study(
    her2: Her2Panel, small_case: SmallCase
) -> None:
    import slicer

    uid = index(small_case.study)
    result = her2.predict(small_case)
    database = slicer.dicomDatabase
    before = set(database.allFiles())
    her2.ui.saveDicomButton.click()
    assert her2.ui.problemLabel.text == "4 DICOM objects are in the database."
    objects = {}
    for file in sorted(Path(result["folder"]).glob("*.dcm")):
        written = pydicom.dcmread(file)
        indexed = Path(database.fileForInstance(written.SOPInstanceUID))
        assert indexed.is_file() and indexed.parent != file.parent  # a copy that stays
        objects[written.SOPClassUID.name] = pydicom.dcmread(indexed)
    assert len(set(database.allFiles()) - before) == len(objects) == 4
    for kind in ("Segmentation", "SR", "Parametric Map", "Secondary Capture"):
        assert len([name for name in objects if kind in name]) == 1
    for data in objects.values():
        assert data.StudyInstanceUID == uid and data.PatientID == SECRET_ID
    assert len(all_studies()) == 1
    file = database.databaseFilename
    database.closeDatabase()
    her2.ui.saveDicomButton.click()
    assert "No DICOM database is open" in her2.ui.problemLabel.text
    database.openDatabase(file)


def test_the_report_is_one_file_that_needs_no_other(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    result = her2.predict(small_case)
    her2.app.dialogs.answer("")  # the user changed their mind
    her2.ui.saveReportButton.click()
    assert her2.ui.problemLabel.text == ""
    target = tmp_path / "mine" / "report.html"
    her2.app.dialogs.answer(str(tmp_path / "none" / "\0"), str(target))
    her2.ui.saveReportButton.click()
    assert her2.ui.problemLabel.text and her2.ui.problemLabel.text != "The report is saved."
    her2.ui.saveReportButton.click()
    assert her2.ui.problemLabel.text == "The report is saved."
    text = target.read_text("utf-8")
    assert "data:image/png;base64," in text and "esearch use only" in text
    assert f"HER2-{result['predicted_class']}" in text
    assert 'src="http' not in text and "<link" not in text and SECRET_ID not in text
    her2.case.result_folder.joinpath("report.html").unlink()
    her2.panel.refresh()
    assert her2.why_not("save_report") == "The result's files are gone: predict again."
