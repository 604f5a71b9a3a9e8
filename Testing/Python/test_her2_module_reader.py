"""Reading the cases of a reader study in HER2 Predict, through the widgets."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import SECRET_ID, SECRET_NAME, make_cohort, make_study
from harness import Harness
from her2_panel import Her2Panel, all_dead
from pictures import DOCS, beside, check_picture
from reader_desk import Desk
from reader_studies import Truth, planned
from test_her2_module_packages import not_installed

from breastpredict.dicom import read_mask, read_study
from breastpredict.reader import Plan, assign, read_all

HIDDEN = ("studySection", "sliceSection", "predictSection", "resultSection", "trainSection")
HERE = Path(__file__).resolve().parent


@pytest.fixture
def plan(reader_cohort: Path, tmp_path: Path) -> Plan:
    return planned(reader_cohort, tmp_path / "plan", cases=2)


@pytest.fixture
def desk(her2: Her2Panel, reader_cohort: Path, plan: Plan) -> Desk:
    return Desk(her2, Truth(reader_cohort, plan.folder.with_name("plan-key.json")))


def with_mode(cohort: Path, folder: Path, desk: Desk, mode: str) -> Plan:
    """A plan with another start of contours, and the reader knows its lesions."""
    made = planned(cohort, folder, cases=2, mode=mode)
    desk.truth = Truth(cohort, folder.with_name(f"{folder.name}-key.json"))
    return made


def only_reading(plan: Plan) -> Any:
    """The reading that was kept, the first one."""
    [reading] = read_all(plan).first.values()
    return reading


def mask_of(reading: Any, plan: Plan) -> np.ndarray:
    """What was written, on the whole grid."""
    phase = plan.case(reading.case).phase
    return sitk.GetArrayFromImage(read_mask(reading.mask_path, phase.geometry).mask.to_image())


class TestReading:
    def test_two_readers_read_two_sessions(self, desk: Desk, plan: Plan) -> None:
        ui = desk.ui
        assert ui.readerSection.collapsed
        desk.open(plan.folder)
        assert ui.readerPlanLabel.text.startswith("2 cases, 2 sessions, wash-out of 14 days.")
        for reader in ("A", "B"):
            desk.choose(reader)
            desk.done("reader_sign_in")
            for place in (1, 2):
                line = f"Reader {reader}, session 1: case {place} of 2"
                assert ui.readerProgressLabel.text == ui.patientLabel.text == line
                assert not any(getattr(ui, name).visible for name in HIDDEN)
                assert "synthetic" in ui.syntheticLabel.text and ui.syntheticLabel.visible
                ui.readerCommentEdit.text = f"case {place}"
                desk.read_case(cut=place == 2)
            assert not desk.study.under_way and ui.studySection.visible
            said = f"Reader {reader} has read all cases of session 1."
            assert ui.readerProgressLabel.text == said

        # The wash-out holds, until the coordinator has a reason.
        desk.choose("A")
        assert not ui.readerWashoutEdit.visible
        desk.press("reader_sign_in")
        assert "wash-out of reader A ends on" in ui.problemLabel.text
        assert ui.readerWashoutEdit.visible and not desk.study.under_way
        ui.readerWashoutEdit.text = "a reason for A"
        desk.choose("B")
        assert not ui.readerWashoutEdit.visible
        desk.press("reader_sign_in")
        assert not desk.study.under_way and ui.readerWashoutEdit.text == ""
        for reader in ("A", "B"):
            desk.choose(reader, 2)
            desk.press("reader_sign_in")
            ui.readerWashoutEdit.text = "pilot of the study"
            desk.done("reader_sign_in")
            for _ in (1, 2):
                desk.read_case()

        found = read_all(plan)
        assert not found.damaged and not found.duplicates
        assert len(found.first) == 8
        for (reader, session, case), reading in found.first.items():
            assert reading.place == plan.sequence(reader, session).index(case) + 1
            assert reading.washout_override == ("pilot of the study" if session == 2 else "")
            assert reading.seed_point_lps is not None and not reading.empty
            assert reading.resumed == 0 and 0 < reading.seconds < 300
            assert reading.comment == (f"case {reading.place}" if session == 1 else "")
            assert reading.edited_fraction is not None
            assert (reading.edited_fraction > 0) == (session == 1 and reading.place == 2)
            written = pydicom.dcmread(reading.mask_path)
            assert written.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
            assert written.PatientID == case
        desk.choose("A")
        desk.press("reader_sign_in")
        assert ui.problemLabel.text == "Reader A has read everything."

    def test_the_tutorial_shows_a_case_being_read(
        self, desk: Desk, plan: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import slicer
        import torchvision  # noqa: F401  (its LLVM must be loaded before that of the views)

        app, ui = desk.her2.app, desk.ui
        ui.readerSection.collapsed = False
        monkeypatch.chdir(plan.folder.parent)  # the picture shows the path
        desk.sign_in(Path("plan"))
        x, y, z = desk.delineate()
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, -x, -y, z)
        panel = app.grab(desk.her2.module.widgetRepresentation(), width=460)
        view = app.view("Red", (430, 430))
        check_picture("tutorial-reader/case.png", beside(panel, view.image()[..., :3]))
        text = (DOCS / "tutorial-reader.md").read_text("utf-8")
        assert text.count("](tutorial-reader/case.png)") == 1

    def test_what_is_drawn_is_what_is_kept(self, desk: Desk, plan: Plan) -> None:
        desk.sign_in(plan.folder)
        seed = desk.delineate()
        automatic = desk.contour().copy()
        left = desk.cut()
        desk.done("reader_save")
        reading = only_reading(plan)
        np.testing.assert_array_equal(mask_of(reading, plan), left)
        assert reading.seed_point_lps == pytest.approx(seed)
        changed = (automatic != left).sum() / (automatic | left).sum()
        assert reading.edited_fraction == pytest.approx(changed, abs=1e-4)

    def test_the_time_runs_while_the_case_is_in_sight_only(self, desk: Desk, plan: Plan) -> None:
        desk.sign_in(plan.folder)
        session = desk.study.session
        running = session.seconds
        time.sleep(0.05)
        assert session.seconds >= running + 0.05
        desk.delineate()
        left = desk.cut()
        desk.her2.app.leave()
        stands = session.seconds
        time.sleep(0.05)
        assert session.seconds == stands
        kept = next(plan.folder.rglob("unfinished-*-mask.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(kept))), left)
        desk.her2.app.enter(desk.her2.module)
        time.sleep(0.05)
        assert session.seconds >= stands + 0.05
        np.testing.assert_array_equal(desk.contour(), left)

    def test_a_case_without_a_lesion_is_asked_about_and_kept(self, desk: Desk, plan: Plan) -> None:
        import qt

        desk.sign_in(plan.folder)
        with desk.her2.app.main_window():
            desk.her2.app.dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Ok)
            desk.press("reader_save")
            assert not read_all(plan).first
            desk.done("reader_save")
        assert only_reading(plan).empty
        assert desk.ui.readerProgressLabel.text == "Reader A, session 1: case 2 of 2"

    def test_a_package_is_for_its_reader_and_session(self, desk: Desk, plan: Plan) -> None:
        desk.open(assign(plan, "B", 1, plan.folder.with_name("package")))
        boxes = (desk.ui.readerBox, desk.ui.readerSessionBox)
        assert [box.count for box in boxes] == [1, 1]
        desk.done("reader_sign_in")
        assert desk.ui.readerProgressLabel.text == "Reader B, session 1: case 1 of 2"

    def test_nothing_of_it_needs_torch(
        self, slicer_app: Harness, plan: Plan, reader_cohort: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with not_installed(monkeypatch, "torch"):
            own = Her2Panel(slicer_app)
            desk = Desk(own, Truth(reader_cohort, plan.folder.with_name("plan-key.json")))
            desk.sign_in(plan.folder)
            desk.read_case()
            child = psutil.Process(own.case.tasks.worker.pid)
            loaded = {Path(each.path).name for each in child.memory_maps()}
        assert any("SimpleITK" in name for name in loaded)
        assert not [name for name in loaded if "torch" in name]
        assert not only_reading(plan).empty


class TestModes:
    def test_from_a_point_nobody_starts_otherwise(self, desk: Desk, plan: Plan) -> None:
        desk.sign_in(plan.folder)
        elsewhere = "In this study every contour starts from a point in the tumour."
        assert desk.why_not("box") == desk.why_not("draw") == elsewhere
        assert desk.why_not("point") == "Place a point in the tumour first."
        for button in ("open", "load", "import", "predict", "train", "save_dicom"):
            assert "stop reading first" in desk.why_not(button)
        assert desk.ui.segmentEditor.segmentationNode() is None  # there is nothing to paint in
        desk.delineate()
        assert desk.ui.segmentEditor.segmentationNode() is desk.study.segmentation
        assert desk.enabled() == {"point", "draw", "reader_save", "reader_stop"}
        assert not desk.ui.segmentEditor.addRemoveSegmentButtonsVisible

    def test_an_edited_contour_is_not_replaced_without_asking(self, desk: Desk, plan: Plan) -> None:
        import qt

        desk.sign_in(plan.folder)
        desk.delineate()
        automatic = desk.contour().copy()
        desk.press("point")  # nothing was edited: nothing is asked
        left = desk.cut()
        with desk.her2.app.main_window():
            desk.her2.app.dialogs.answer(qt.QMessageBox.Cancel, qt.QMessageBox.Ok)
            desk.press("point")
            np.testing.assert_array_equal(desk.contour(), left)
            desk.press("point")
            np.testing.assert_array_equal(desk.contour(), automatic)

    def test_where_nothing_enhances_all_that_is_drawn_counts_as_edited(
        self, desk: Desk, plan: Plan
    ) -> None:
        desk.sign_in(plan.folder)
        seed = plain_tissue(desk)
        desk.click(seed)
        desk.done("point")
        assert "The early phase is only" in desk.ui.tumourNoteLabel.text
        assert "counts as edited" in desk.ui.tumourNoteLabel.text and not desk.contour().any()
        array = np.zeros_like(desk.contour())
        array[2:4, 10:14, 10:14] = 1
        desk.draw(array)
        desk.done("reader_save")
        reading = only_reading(plan)
        assert reading.edited_fraction == 1.0 and reading.seed_point_lps == pytest.approx(seed)

    def test_by_hand(self, desk: Desk, reader_cohort: Path, tmp_path: Path) -> None:
        plan = with_mode(reader_cohort, tmp_path / "manual", desk, "manual")
        desk.sign_in(plan.folder)
        assert desk.enabled() == {"draw", "reader_save", "reader_stop"}
        assert desk.why_not("point") == "In this study every contour starts by hand."
        desk.done("draw")
        assert desk.ui.segmentEditor.activeEffect().name == "Paint"
        array = np.zeros(desk.contour().shape, np.uint8)
        array[3:5, 20:25, 10:30] = 1
        desk.draw(array)
        desk.done("reader_save")
        reading = only_reading(plan)
        assert reading.seed_point_lps is reading.box_lps is reading.edited_fraction is None
        np.testing.assert_array_equal(mask_of(reading, plan), array)
        written = pydicom.dcmread(reading.mask_path)
        assert written.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"

    def test_from_a_box(self, desk: Desk, reader_cohort: Path, tmp_path: Path) -> None:
        import slicer

        plan = with_mode(reader_cohort, tmp_path / "box", desk, "box")
        desk.sign_in(plan.folder)
        assert desk.why_not("box") == "Draw a box around the tumour first."
        true = desk.lesion()
        k, j, i = np.argwhere(true.inside).mean(axis=0) + true.start
        x, y, z = true.geometry.index_to_physical(np.array([i, j, k]))
        box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        box.SetCenter(-x, -y, z)
        box.SetSize(40.0, 40.0, 30.0)
        desk.ui.boxSelector.setCurrentNode(box)
        desk.her2.panel.refresh()
        desk.done("box")
        desk.done("reader_stop")
        desk.done("reader_sign_in")  # and it is still there
        assert desk.study.automatic is not None
        desk.done("reader_save")
        reading = only_reading(plan)
        assert reading.box_lps is not None and reading.seed_point_lps is None
        low, high = np.sort(np.array(reading.box_lps), axis=0)
        np.testing.assert_allclose(high - low, (40, 40, 30))
        np.testing.assert_allclose((low + high) / 2, (x, y, z))
        assert reading.edited_fraction == 0.0 and reading.resumed == 1


class TestInterrupted:
    def test_a_killed_slicer_loses_no_more_than_the_last_strokes(
        self, desk: Desk, plan: Plan, reader_cohort: Path
    ) -> None:
        """A process of its own reads through the widgets, and is killed for real."""
        key = plan.folder.with_name("plan-key.json")
        process = subprocess.Popen(
            [sys.executable, HERE / "reader_desk.py", plan.folder, reader_cohort, key],
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
        )  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline().split()
        family = [psutil.Process(int(said[0]))]
        folder = plan.folder / "readings" / "A" / "session-1"
        drawn = time.time()
        desk.her2.app.wait_until(
            lambda: (folder / "unfinished.json").stat().st_mtime > drawn + 0.3, 60
        )
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert all_dead(family)
        assert len(read_all(plan).first) == 1

        desk.sign_in(plan.folder)
        assert desk.ui.readerProgressLabel.text.endswith("case 2 of 2, gone on with")
        assert desk.contour().sum() == int(said[1])
        assert desk.study.is_edited and desk.ui.pointButton.enabled
        assert desk.study.session.seconds > 0.3
        desk.done("reader_save")
        reading = read_all(plan).first["A", 1, plan.sequence("A", 1)[1]]
        assert reading.resumed == 1 and mask_of(reading, plan).sum() == int(said[1])
        assert reading.seed_point_lps is not None and reading.edited_fraction > 0
        assert not list(folder.glob("unfinished*"))

    @pytest.mark.parametrize("how", ["stop", "scene", "reload"])
    def test_whatever_ends_it_the_case_is_kept_and_leaves_the_scene(
        self, desk: Desk, plan: Plan, how: str
    ) -> None:
        import slicer

        desk.sign_in(plan.folder)
        desk.delineate()
        left = desk.cut()
        if how == "stop":
            desk.done("reader_stop")
        elif how == "scene":
            desk.her2.app.close_scene()
        else:
            desk.her2.reload()
            slicer.mrmlScene.Clear(0)
            desk.open(plan.folder)
        assert not desk.study.under_way
        assert not slicer.util.getNodesByClass("vtkMRMLVolumeNode")
        desk.choose("A")
        desk.done("reader_sign_in")
        np.testing.assert_array_equal(desk.contour(), left)

    def test_a_cancelled_loading_signs_out(self, desk: Desk, plan: Plan) -> None:
        desk.open(plan.folder)
        desk.ui.readerSignInButton.click()
        assert desk.why_not("reader_save") == "Busy: loading the case. Cancel it, or wait."
        desk.her2.case.tasks.cancel()
        desk.her2.panel.refresh()
        assert not desk.study.under_way and desk.ui.problemLabel.text == "Cancelled."
        desk.done("reader_sign_in")

    def test_a_damaged_case_is_told_without_its_key(self, desk: Desk, plan: Plan) -> None:
        key = plan.sequence("A", 1)[0]
        for path in sorted((plan.folder / "cases" / key).rglob("*.dcm")):
            path.write_bytes(path.read_bytes()[:-64])
        desk.open(plan.folder)
        desk.press("reader_sign_in")
        assert desk.ui.problemLabel.text and key not in desk.ui.problemLabel.text
        assert not desk.study.under_way

    def test_a_folder_without_a_plan_and_a_full_scene_are_told(
        self, desk: Desk, plan: Plan, tmp_path: Path
    ) -> None:
        import qt

        assert desk.why_not("reader_open") == "Choose the folder of a plan."
        desk.ui.readerPlanEdit.currentPath = str(plan.folder.parent)
        desk.press("reader_open")
        assert "no plan" in desk.ui.problemLabel.text
        assert desk.why_not("reader_sign_in") == "Open the plan of a study first."
        desk.her2.load(make_study(tmp_path / "study"))
        desk.open(plan.folder)
        with desk.her2.app.main_window():
            desk.her2.app.dialogs.answer(qt.QMessageBox.Cancel)
            desk.press("reader_sign_in")
        assert not desk.study.under_way and desk.her2.case.volumes_are_loaded


class TestBlinding:
    @pytest.fixture
    def secret(self, tmp_path: Path) -> tuple[Plan, Truth, Path]:
        """A plan whose patients have names to look for."""
        table = make_cohort(tmp_path / "Secretcohort" / "x", [SECRET_ID, f"{SECRET_ID}-8"])
        plan = planned(table, tmp_path / "plan", cases=2)
        return plan, Truth(table, tmp_path / "plan-key.json"), table

    def test_nothing_tells_the_patient_the_class_or_another_reading(
        self,
        her2: Her2Panel,
        secret: tuple[Plan, Truth, Path],
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        import qt

        plan, truth, table = secret
        caplog.set_level(logging.DEBUG)
        desk = Desk(her2, truth)
        # One of the patients was looked at before, by name.
        her2.load(table.parent / "study0")
        assert SECRET_ID in everything_shown(her2)
        source = read_study(table.parent / "study0")
        secrets = [SECRET_ID, *SECRET_NAME.split("^"), "Secretcohort", "SITE", source.study_uid]
        secrets += [str(i.sop_instance_uid) for i in source.dce[0].phases[0].instances]
        # The label, as a table or a page would have it; a bare 3+ stands in times of day too.
        secrets += ["HER2-positive", "IHC 3+", '"3+"', ",3+,"]

        desk.open(plan.folder)
        desk.choose("A")
        with her2.app.main_window() as window:
            her2.app.dialogs.answer(qt.QMessageBox.Ok)
            desk.done("reader_sign_in")
            titles = [window.windowTitle]
        seen = [everything_shown(her2)]
        for _ in (1, 2):
            desk.delineate()
            desk.cut()
            desk.ui.readerCommentEdit.text = "Reading of the other"
            seen.append(everything_shown(her2))
            desk.done("reader_save")
        seen.append(everything_shown(her2))
        for text in (*seen, *titles):
            assert not [s for s in secrets if s in text]
            # Nor which case of another session this is.
            assert not [key for key in plan.cases if key in text.replace(str(plan.folder), "")]

        desk.choose("B")
        desk.done("reader_sign_in")
        other = read_all(plan).of("A", 1)
        assert len(other) == 2
        for _ in (1, 2):
            shown = everything_shown(her2)
            assert "Reader A, session 1" not in shown and "of the other" not in shown
            assert not [each for each in other.values() if str(each.path) in shown]
            assert {"vtkMRMLScalarVolumeNode"} < scene_classes()
            assert not {"vtkMRMLSegmentationNode", "vtkMRMLTableNode"} & scene_classes()
            assert her2.parameters.point.GetNumberOfControlPoints() == 0
            desk.read_case()
        assert {each.edited_fraction for each in read_all(plan).of("B", 1).values()} == {0.0}

        written = [path for path in (plan.folder / "readings").rglob("*") if path.is_file()]
        assert len(written) == 8
        for path in written:
            text = path.relative_to(plan.folder).as_posix() + path.read_bytes().decode("latin-1")
            assert not [s for s in secrets if s in text], path.name
            if path.suffix == ".dcm":
                header = pydicom.dcmread(path)
                [own, other] = ("AB", "BA")[path.parts[-4] == "B"]
                assert own == path.parts[-4] and header.PatientID == path.parts[-2]
                assert f"Reader: {own}." in header.ImageComments
                assert f"Reader: {other}" not in str(header)
        said = caplog.text + "".join(capfd.readouterr())
        assert not [s for s in (*secrets, *plan.cases) if s in said]
        assert not (her2.case.tasks.folder / "reading").exists()


def everything_shown(her2: Her2Panel) -> str:
    """All that the nodes of the scene hold, and all texts and titles of all widgets."""
    import qt
    import slicer

    scene, texts = slicer.mrmlScene, []
    for n in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(n)
        names = node.GetAttributeNames() or ()
        texts += [str(node), *names, *(node.GetAttribute(name) or "" for name in names)]
    for widget in qt.QApplication.allWidgets():
        texts.append(str(widget.windowTitle))
        for name in ("text", "toolTip", "placeholderText", "currentText", "plainText"):
            value = getattr(widget, name, "")
            texts.append(value if isinstance(value, str) else "")
    return "\n".join(texts)


def plain_tissue(desk: Desk) -> tuple[float, float, float]:
    """A place in tissue around which nothing takes up contrast, LPS."""
    from scipy import ndimage

    before, early = (
        sitk.GetArrayFromImage(phase.read()).astype(float) for phase in desk.study.given.case.phases
    )
    change = ndimage.maximum_filter(ndimage.gaussian_filter(early - before, 1.0), (3, 7, 7))
    is_tissue = ndimage.minimum_filter(before, 5) > np.median(before) / 2
    quietest = np.where(is_tissue, change, np.inf).argmin()
    k, j, i = np.unravel_index(quietest, change.shape)
    x, y, z = desk.lesion().geometry.index_to_physical(np.array([i, j, k], float))
    return float(x), float(y), float(z)


def scene_classes() -> set[str]:
    """The classes of the nodes in the scene."""
    import slicer

    scene = slicer.mrmlScene
    return {scene.GetNthNode(n).GetClassName() for n in range(scene.GetNumberOfNodes())}
