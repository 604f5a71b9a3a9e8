"""The radiologist's way through PCR Predict, from files to saved results, and through a list.

Driven through the widgets, on the real scene and the real backend in its child process; every step
is a picture of the tutorial (Docs/tutorial-pcr.md).
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import process
from dicom_plugins import import_folder
from harness import Harness
from pcr_panel import MODULE, PcrPanel, PhantomList
from pcr_runs import rows
from pictures import DOCS, check_picture
from test_her2_module import assert_same_object
from test_pcr_module_reading import sequence_of, volume

from breastpredict.dicom import read_ultrasound
from breastpredict.study import read_pcr_cohort
from breastpredict.study.pcr_batch import run_pcr_batch

OBJECTS = ("report.dcm", "capture.dcm")


def by_command_line(
    case: dict[str, str], run: Path, out: Path, explain: str = "both"
) -> tuple[dict[str, Any], Path]:
    """result.json and the folder of the same case."""
    options = [
        word
        for name, value in case.items()
        if name not in ("patient_id", "cohort", "pathology_mpp")
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    options += ["--model", str(run), "--out", str(out), "--explain", explain, "--json"]
    ended = process("pcr", "predict", *options)
    assert ended.code == 0, ended.err
    [folder] = [path for path in out.iterdir() if path.is_dir()]
    return json.loads(ended.out), folder


def test_from_files_to_saved_results(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    # As after `breastpredict phantom pcr`; the pictures show these paths.
    (tmp_path / "demo-pcr").mkdir()
    (tmp_path / "demo-pcr" / "cohort").symlink_to(phantom_list.table.parent)
    (tmp_path / "demo-pcr" / "run").symlink_to(phantom_list.run)
    monkeypatch.chdir(tmp_path)
    within = str(phantom_list.table.parent)
    words = {
        name: text.replace(within, "demo-pcr/cohort")
        for name, text in phantom_list.patients[0].items()
    }
    run = Path("demo-pcr/run")
    ui, case, p = pcr.ui, pcr.case, pcr.parameters
    check_picture("tutorial-pcr/0-panel.png", pcr.picture())

    # Step 1: the images and what is known
    pcr.choose(words)
    pcr.press("read")
    assert "weeks apart" in ui.pairLabel.text
    assert words["patient_id"] in ui.patientLabel.text and "breast" in ui.patientLabel.text
    check_picture("tutorial-pcr/1-study.png", pcr.picture("patientLabel", "studySection"))
    views = {name: pcr.app.view(name) for name in ("Red", "Yellow", "Green")}
    for view, image in zip(views.values(), (p.us0Image, p.us1Image, p.overview), strict=True):
        assert view.composite.GetBackgroundVolumeID() == image.GetID()
        assert view.node.GetOrientation() == "Axial"
    layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    assert layout.GetCurrentLayoutDescription().count("vtkMRMLSliceNode") == 3

    # Step 2: the regions
    pcr.press("us0_square")
    pcr.press("us1_square")
    pcr.drag("us0Square", (165.0, 96.0, 345.0, 276.0))
    assert p.us0Roi == "point:255.0,186.0,180.0"
    assert p.us1Roi.endswith(",180.0")  # linked
    pcr.press("rectangle")
    check_picture("tutorial-pcr/2-regions.png", pcr.picture("regionsSection"))
    check_picture("tutorial-pcr/2-views.png", pcr.views())

    # Step 3: predict
    with pcr.app.main_window():
        pcr.app.dialogs.answer(str(run))
        ui.browseRunButton.click()
    p.device = "cpu"
    assert p.run == run and "Variant 'full' takes" in ui.inputsLabel.text
    check_picture("tutorial-pcr/3-predict.png", pcr.picture("syntheticLabel", "predictSection"))
    pcr.press("predict")

    # Step 4: the result
    result = case.result
    expected = "expected" if result["expected"] else "not expected"
    assert ui.classLabel.text == f"Complete response {expected}"
    assert f"{result['probability']:.3f}" in ui.scoreLabel.text
    assert f"Clinical variables only: {result['baseline']:.3f}" in ui.scoreLabel.text
    shown = [ui.resultTable.item(row, 1).text() for row in range(ui.resultTable.rowCount)]
    values = (result["probability"], result["threshold"], result["baseline"])
    assert shown == [f"{value:.3f}" for value in values]
    assert "not verified" in ui.mapLabel.text and ui.syntheticLabel.visible
    for view, name in zip(views.values(), ("us0", "us1", "pathology"), strict=True):
        assert view.composite.GetForegroundVolumeID() == case.map_of(name).GetID()
    check_picture("tutorial-pcr/4-result.png", pcr.picture("resultSection"))
    check_picture("tutorial-pcr/4-views.png", pcr.views())

    # The same by the command line
    direct, written = by_command_line(case.words(), run, tmp_path / "cli")
    same = {name: value for name, value in result.items() if name in direct}
    for each in (same, direct):
        each.pop("date")
    assert same == direct
    folder = Path(result["folder"])
    assert {f.name for f in folder.rglob("*")} == {f.name for f in written.rglob("*")}
    assert len(case.maps) == 6
    for node in case.maps:
        name, method = (node.GetAttribute(f"BreastPredict.{n}") for n in ("Input", "MapMethod"))
        image = sitk.ReadImage(str(written / "maps" / f"{name}_{method}.nrrd"))
        values = slicer.util.arrayFromVolume(node)
        np.testing.assert_array_equal(values, sitk.GetArrayFromImage(image))
    for name in OBJECTS:
        assert_same_object(folder / name, written / name)

    # Step 5: keep it
    ui.saveDicomButton.click()
    assert f"{len(OBJECTS)} DICOM objects" in ui.problemLabel.text
    for name in OBJECTS:
        header = pydicom.dcmread(folder / name, stop_before_pixels=True)
        stored = slicer.dicomDatabase.fileForInstance(header.SOPInstanceUID)
        assert Path(stored).read_bytes() == (folder / name).read_bytes()
    report = tmp_path / "report.html"
    with pcr.app.main_window():
        pcr.app.dialogs.answer(str(report))
        ui.saveReportButton.click()
    text = report.read_text("utf-8")
    assert "esearch use only" in text and words["patient_id"] not in text
    assert qt.QApplication.activeModalWidget() is None


def test_a_map_lies_on_the_pixels_of_its_image(pcr: PcrPanel, phantom_list: PhantomList) -> None:
    """Markup, map and image agree in the scene's own coordinates."""
    import slicer
    from PCRPredictLib.pathology_nodes import corner_ras
    from PCRPredictLib.ultrasound_nodes import ras_of

    result = pcr.predict(phantom_list.patients[0], phantom_list.run)
    p = pcr.parameters
    for time, view in (("us0", "Red"), ("us1", "Yellow")):
        x0, y0, x1, y1 = result["ultrasound"][time]["box"]
        image = getattr(p, f"{time}Image")
        values = slicer.util.arrayFromVolume(pcr.case.map_of(time))[0]
        rows, columns = np.nonzero(values)
        assert x0 - 1 <= columns.min() and columns.max() <= x1 + 1
        assert y0 - 1 <= rows.min() and rows.max() <= y1 + 1
        row, column = np.unravel_index(values.argmax(), values.shape)
        probed = pcr.app.view(view).probe(tuple(ras_of(image, (column, row))))
        assert probed["foreground"] == pytest.approx(values.max())
        first = image.GetAttribute("BreastPredict.Region").split(",")[:2]
        inside = slicer.util.arrayFromVolume(image)[0]
        grey = inside[row - int(first[1]), column - int(first[0])]
        assert probed["background"] == pytest.approx(float(grey))
    x, y, width, height = result["pathology"]["region"]
    bounds = [0.0] * 6
    pcr.case.map_of("pathology").GetRASBounds(bounds)
    # Outer edges lie half a pixel from the centres of pixels.
    corners = ((x - 0.5, y - 0.5), (x + width - 0.5, y + height - 0.5))
    ends = [corner_ras(p.overview, one) for one in corners]
    assert sorted(bounds[:2]) == pytest.approx(sorted(end[0] for end in ends))
    assert sorted(bounds[2:4]) == pytest.approx(sorted(end[1] for end in ends))
    whole = [0.0] * 6
    p.overview.GetRASBounds(whole)
    columns, rows_of_slide = map(int, p.overview.GetAttribute("BreastPredict.Size").split(","))
    ends = [
        corner_ras(p.overview, one) for one in ((-0.5, -0.5), (columns - 0.5, rows_of_slide - 0.5))
    ]
    assert sorted(whole[:2]) == pytest.approx(sorted(end[0] for end in ends))
    assert sorted(whole[2:4]) == pytest.approx(sorted(end[1] for end in ends))


def test_images_that_slicer_has_loaded_give_the_number_of_their_files(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    import slicer

    words = {n: text for n, text in phantom_list.patients[1].items() if "pathology" not in n}
    pcr.parameters.explain = "none"
    by_file = pcr.predict(words, phantom_list.run)["probability"]
    import_folder(Path(words["us0"]).parent)
    for kind in ("RGB vector volume", "scalar volume", "sequence"):
        for time in ("us0", "us1"):
            path = Path(words[time])
            data = pydicom.dcmread(path)
            # What is shown does not matter: the file of an unchanged image is read.
            pixels = np.zeros((data.Rows, data.Columns, 3), np.uint8)
            node = volume(pixels if kind == "RGB vector volume" else pixels[..., 0], time, path)
            if kind == "sequence":
                slicer.mrmlScene.RemoveNode(node)
                frames = [pixels[..., 0]] * int(data.get("NumberOfFrames") or 1)
                node = sequence_of(frames, path, read_ultrasound(path).frame - 1)[1]
            getattr(pcr.ui, f"{time}Selector").setCurrentNode(node)
            getattr(pcr.ui, f"{time}FileEdit").currentPath = ""
        assert pcr.why_not("predict") == "Read the images first.", kind
        pcr.press("read")
        for time in ("us0", "us1"):
            setattr(pcr.parameters, f"{time}Roi", words[f"{time}_roi"])
        pcr.press("predict")
        assert pcr.case.result["probability"] == by_file, kind


class TestAList:
    def test_patients_come_one_after_the_other_and_back_as_they_were_left(
        self, pcr: PcrPanel, phantom_list: PhantomList
    ) -> None:
        first, second, third = phantom_list.patients
        ui, p = pcr.ui, pcr.parameters
        ui.patientsEdit.currentPath = str(phantom_list.table)
        p.run, p.device, p.explain = phantom_list.run, "cpu", "gradcam"
        pcr.press("table")
        assert ui.patientBox.count == 4 and pcr.why_not("previous") == "This is the first patient."
        pcr.press("next")
        assert first["patient_id"] in ui.patientLabel.text
        assert p.us0Roi == first["us0_roi"] and p.subtype == first["subtype"]
        pcr.press("predict")
        result, words = pcr.case.result, pcr.case.words()
        assert words == first  # so that the numbers are the batch's
        maps = {node.GetName() for node in pcr.case.maps}
        pcr.press("next")
        assert second["patient_id"] in ui.patientLabel.text and pcr.case.result is None
        assert not pcr.case.maps and "1 done" in ui.listLabel.text
        pcr.drag("us0Square", (170.0, 90.0, 290.0, 210.0))
        drawn = p.us0Roi
        ui.patientBox.setCurrentIndex(3)
        pcr.wait()
        assert third["patient_id"] in ui.patientLabel.text
        assert pcr.why_not("next") == "This is the last patient."
        pcr.press("previous")
        assert p.us0Roi == drawn != second["us0_roi"]
        pcr.press("previous")
        assert pcr.case.result == result and not pcr.case.result_is_stale
        assert {node.GetName() for node in pcr.case.maps} == maps
        assert {"save_dicom", "save_report"} <= pcr.enabled()

    def test_a_kept_result_is_in_the_users_folder_as_the_batch_has_it(
        self, pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path, one_thread: None
    ) -> None:
        p = pcr.parameters
        pcr.ui.patientsEdit.currentPath = str(phantom_list.table)
        pcr.press("table")
        pcr.press("next")
        p.run, p.device, p.explain = phantom_list.run, "cpu", "none"
        pcr.ui.resultsEdit.currentPath = str(tmp_path / "results")
        pcr.press("predict")
        cases = read_pcr_cohort(phantom_list.table)
        run_pcr_batch(cases, phantom_list.run, tmp_path / "batch", explain=())
        kept, batch = (
            {row["patient_id"]: row["p_pcr"] for row in rows(tmp_path / out / "predictions.csv")}
            for out in ("results", "batch")
        )
        assert kept == {p.patient: batch[p.patient]} and len(batch) == 3

    def test_other_images_are_no_longer_the_patients_of_the_list(
        self, pcr: PcrPanel, phantom_list: PhantomList
    ) -> None:
        first, second = phantom_list.patients[:2]
        pcr.ui.patientsEdit.currentPath = str(phantom_list.table)
        pcr.press("table")
        pcr.press("next")
        assert pcr.case.words()["patient_id"] == first["patient_id"]
        pcr.ui.us0FileEdit.currentPath = second["us0"]
        pcr.ui.us1FileEdit.currentPath = second["us1"]
        pcr.press("read")
        assert second["patient_id"] in pcr.ui.patientLabel.text
        assert "patient_id" not in pcr.case.words() and "cohort" not in pcr.case.words()
        pcr.press("next")
        pcr.press("previous")
        assert pcr.case.words() == first

    def test_a_damaged_table_is_named_with_its_rows(
        self, pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
    ) -> None:
        table = tmp_path / "COHORT.csv"
        [heading, first, *_] = phantom_list.table.read_text("utf-8").splitlines()
        us0 = first.split(",")[heading.split(",").index("us0")]
        table.write_text(f"{heading}\n{first.replace(us0, 'none.dcm')}\n", "utf-8")
        pcr.ui.patientsEdit.currentPath = str(table)
        pcr.ui.readTableButton.click()
        pcr.wait()
        assert "row 2, column us0: there is no such file" in pcr.ui.problemLabel.text
        assert (
            pcr.parameters.rows == "" and pcr.why_not("next") == "Read the table of a list first."
        )


def test_the_sample_patient_comes_into_scene_and_database(
    slicer_app: Harness, lent_worker: Any
) -> None:
    import SampleData
    import slicer

    slicer_app.load(MODULE)
    slicer_app.finish_startup()
    [source] = slicer.modules.sampleDataSources["BreastPredict"]
    assert source.sampleName == "pCR phantom patient"
    nodes = SampleData.SampleDataLogic().downloadSamples("pCR phantom patient")
    assert [node.GetName() for node in nodes] == [
        "US-0 (B-mode)",
        "US-1 (B-mode)",
        "Biopsy (overview)",
    ]
    assert len(slicer.dicomDatabase.patients()) == 1


def test_the_modules_words_are_the_backends() -> None:
    """Opening the module need not import them."""
    from breastpredict import pcr as backend
    from breastpredict.models.pcr_network import PCR_PRESETS

    source = (MODULE.parent / "PCRPredictLib" / "parameters.py").read_text("utf-8")
    told: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            exec(compile(ast.Module([node], []), "parameters", "exec"), told)
    assert told["SUBTYPES"] == ["", *backend.SUBTYPES]
    assert told["ER_LEVELS"] == ["", *backend.ER_LEVELS]
    assert told["REGIMENS"] == ["", *backend.REGIMENS]
    assert told["EXPLANATIONS"] == [*backend.EXPLANATIONS]
    assert told["METHODS"] == [*backend.MAP_METHODS]
    assert told["NETWORKS"] == [*PCR_PRESETS]


def test_the_tutorial_shows_every_picture_and_no_other() -> None:
    text = (DOCS / "tutorial-pcr.md").read_text("utf-8")
    shown = {line.split("](")[1].rstrip(")") for line in text.splitlines() if "](tutorial" in line}
    there = {f"tutorial-pcr/{path.name}" for path in (DOCS / "tutorial-pcr").iterdir()}
    assert shown == there
