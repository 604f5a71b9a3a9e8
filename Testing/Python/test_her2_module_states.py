"""What the panel of HER2 Predict allows in every state, and why it does not allow the rest."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cli_runs import make_mask, make_study
from her2_panel import Her2Panel, SmallCase

PATIENT = "Secretname Jane"


def drawn(her2: Her2Panel, voxels: tuple[slice, ...]) -> None:
    """Make the tumour these voxels, as if drawn."""
    import slicer

    p = her2.parameters
    array = np.zeros(slicer.util.arrayFromVolume(p.early).shape, np.uint8)
    array[voxels] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, p.segmentation, p.segmentID, p.early)
    her2.settle()


@contextmanager
def held(her2: Her2Panel) -> Iterator[None]:
    """The child process as slow as can be."""
    child = her2.family()[0].pid
    os.kill(child, signal.SIGSTOP)
    yield
    os.kill(child, signal.SIGCONT)


class TestBeforeAPrediction:
    def test_with_nothing_chosen_nothing_can_be_done(self, her2: Her2Panel) -> None:
        assert her2.enabled() == set()
        assert her2.why_not("open") == "Choose a study."
        assert her2.why_not("predict") == "Choose and read a study first."
        assert her2.why_not("train") == "Choose the table of the cohort."
        assert her2.ui.patientLabel.text == "No patient: no study is open"
        assert "esearch use only" in her2.ui.noteLabel.text
        assert her2.ui.applyButton.text == "Apply"

    def test_a_study_that_is_not_there_is_named(self, her2: Her2Panel, tmp_path: Path) -> None:
        her2.ui.studyEdit.currentPath = str(tmp_path / "none")
        assert her2.enabled() == {"open"}
        her2.ui.openButton.click()
        her2.wait()
        assert str(tmp_path / "none") in her2.ui.problemLabel.text
        assert her2.enabled() == {"open"}

    def test_each_step_allows_the_next(self, her2: Her2Panel, small_case: SmallCase) -> None:
        ui = her2.ui
        her2.read(small_case.study)
        assert PATIENT in ui.patientLabel.text
        assert her2.enabled() == {"open", "load"}
        assert her2.why_not("import") == "Load the volumes of phase 2 first."
        her2.press("load")
        assert her2.enabled() == {"open", "load", "draw"}
        assert her2.why_not("point") == "Place a point in the tumour first."
        assert her2.why_not("box") == "Draw a box around the tumour first."
        assert her2.why_not("import") == "Choose the file of the mask first."
        assert her2.why_not("predict") == "There is no tumour yet."
        ui.importEdit.currentPath = str(small_case.mask)
        her2.press("import")
        assert her2.why_not("predict") == "Choose the folder of a trained run."
        her2.parameters.run = small_case.run
        assert her2.enabled() == {"open", "load", "draw", "import", "predict"}
        assert her2.why_not("save_dicom") == "There is no prediction yet."
        assert ui.syntheticLabel.visible and "synthetic" in ui.syntheticLabel.text

    def test_without_a_phase_after_contrast_one_can_be_chosen_by_hand(
        self, her2: Her2Panel, tmp_path: Path
    ) -> None:
        her2.read(make_study(tmp_path / "study", enhancing=False))
        assert her2.why_not("load").startswith("There is no post-contrast phase: ")
        assert her2.ui.phaseReasonLabel.text.startswith("No phase: ")
        her2.ui.phaseTable.selectRow(1)
        assert her2.parameters.phase == 2
        assert "chosen by the user" in her2.ui.phaseReasonLabel.text
        her2.press("load")

    def test_an_empty_segment_is_no_tumour(self, her2: Her2Panel, small_case: SmallCase) -> None:
        her2.load(small_case.study)
        her2.parameters.run = small_case.run
        her2.press("draw")
        assert her2.why_not("predict") == "There is no tumour yet."
        assert her2.ui.sliceLabel.text == "There is no tumour yet."
        drawn(her2, (slice(3, 6), slice(14, 26), slice(18, 32)))
        assert "predict" in her2.enabled()
        her2.parameters.sliceIndex = 8
        assert her2.why_not("predict") == her2.ui.sliceLabel.text  # it is not on that slice

    def test_a_damaged_bundle_is_named(
        self, her2: Her2Panel, small_case: SmallCase, tmp_path: Path
    ) -> None:
        her2.outline(small_case)
        her2.parameters.run = tmp_path
        assert str(tmp_path) in her2.why_not("predict")
        run = tmp_path / "run"
        run.mkdir()
        for task in small_case.run.iterdir():
            os.symlink(task, run / task.name) if task.is_file() else (run / task.name).mkdir()
        [broken] = (run / "her2_zero_vs_rest",)
        (broken / "configs").mkdir()
        (broken / "configs" / "metadata.json").write_text("{")
        her2.parameters.run = run
        assert "metadata.json" in her2.why_not("predict") or str(run) in her2.why_not("predict")
        her2.parameters.run = small_case.run
        assert "predict" in her2.enabled()

    def test_another_path_hides_the_patient_until_it_is_read(
        self, her2: Her2Panel, small_case: SmallCase, tmp_path: Path
    ) -> None:
        her2.outline(small_case)
        her2.parameters.run = small_case.run
        her2.ui.studyEdit.currentPath = str(tmp_path)
        assert her2.enabled() == {"open"}
        assert PATIENT not in her2.ui.patientLabel.text
        her2.ui.studyEdit.currentPath = str(small_case.study)
        assert "predict" in her2.enabled() and PATIENT in her2.ui.patientLabel.text


class TestWhileItRuns:
    def test_apply_becomes_cancel_and_the_window_stays_alive(
        self, her2: Her2Panel, small_case: SmallCase
    ) -> None:
        import qt

        ticks: list[int] = []
        timer = qt.QTimer()
        timer.setInterval(5)
        timer.connect("timeout()", lambda: ticks.append(1))
        her2.prepare(small_case)
        with held(her2):
            timer.start()
            her2.ui.applyButton.click()
            assert her2.ui.applyButton.text == "Cancel" and her2.enabled() == {"predict"}
            assert her2.why_not("load") == "Busy: predicting. Cancel it, or wait."
            assert her2.ui.taskFrame.visible and "Predicting" in her2.ui.taskLabel.text
            her2.app.wait_until(lambda: len(ticks) > 20)
            timer.stop()
            her2.app.leave()  # to another module, and back: it goes on
            her2.app.enter(her2.module)
            assert her2.case.tasks.current is not None
        her2.wait()
        assert her2.ui.applyButton.text == "Apply" and not her2.ui.taskFrame.visible
        assert her2.enabled() >= {"predict", "save_dicom", "save_report"}
        assert her2.ui.classLabel.text.startswith("HER2-")

    def test_an_edit_of_what_it_was_made_from_makes_a_result_stale(
        self, her2: Her2Panel, small_case: SmallCase
    ) -> None:
        her2.predict(small_case)
        p, stale = her2.parameters, her2.ui.staleLabel
        assert not stale.visible
        for change, undo in (
            (lambda: setattr(p, "margin", 0.5), lambda: setattr(p, "margin", 0.2)),
            (lambda: setattr(p, "phase", 3), lambda: setattr(p, "phase", 2)),
            (lambda: setattr(p, "sliceIndex", 3), lambda: setattr(p, "sliceIndex", -1)),
            (lambda: setattr(p, "explain", "none"), lambda: setattr(p, "explain", "attention")),
            (
                lambda: drawn(her2, (slice(3, 6), slice(14, 25), slice(18, 32))),
                lambda: drawn(her2, (slice(3, 6), slice(14, 26), slice(18, 32))),
            ),
        ):
            change()
            assert stale.visible
            for button in ("save_dicom", "save_report"):
                assert her2.why_not(button) == "The case was changed since: predict again first."
            undo()
            assert not stale.visible and "save_dicom" in her2.enabled()
        # What only shows it does not.
        p.opacity, p.threshold, p.colour = 0.3, 0.5, "Viridis"
        assert not stale.visible

    def test_a_refusal_takes_the_earlier_result_away_and_gives_no_number(
        self, her2: Her2Panel, small_case: SmallCase
    ) -> None:
        her2.predict(small_case)
        p = her2.parameters
        shown = p.map
        drawn(her2, (slice(4, 5), slice(15, 16), slice(20, 21)))
        her2.ui.applyButton.click()
        her2.wait()
        result = her2.case.result
        assert result["status"] == "refused" and set(result) == {"status", "gate", "reason"}
        assert her2.ui.classLabel.text == "Refused" and result["reason"] in her2.ui.scoreLabel.text
        assert not her2.ui.resultTable.visible
        assert p.map is p.table is p.chart is None and shown.GetScene() is None
        for button in ("save_dicom", "save_report"):
            assert "refused" in her2.why_not(button)


def test_volumes_without_a_number_for_a_time_are_refused_in_words(her2: Her2Panel) -> None:
    import slicer

    for name in ("before", "after"):
        slicer.util.addVolumeFromArray(np.ones((3, 4, 5), np.float32), name=name)
    her2.ui.sourceBox.currentIndex = 2
    assert her2.why_not("open") == "Choose a study."
    for row in range(2):
        her2.ui.loadedTable.cellWidget(row, 1).currentIndex = row + 1
    her2.ui.loadedTable.cellWidget(1, 2).text = "soon"
    assert her2.enabled() == {"open"}
    her2.ui.openButton.click()
    assert her2.ui.problemLabel.text == "'soon' is not a time in seconds."
    her2.app.close_scene()
    assert her2.ui.loadedTable.rowCount == 0 and her2.why_not("open") == "Choose a study."


def test_a_mask_without_a_tumour_is_refused_in_words(
    her2: Her2Panel, small_case: SmallCase, tmp_path: Path
) -> None:
    her2.load(small_case.study)
    empty = make_mask(tmp_path / "empty.nrrd", small_case.study, None)
    before = her2.nodes()
    her2.ui.importEdit.currentPath = str(empty)
    her2.ui.importButton.click()
    her2.wait()
    assert "empty" in her2.ui.problemLabel.text and her2.nodes() == before
