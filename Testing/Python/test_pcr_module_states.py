"""What the panel of PCR Predict allows in every state, and why it does not allow the rest."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from pcr_panel import PcrPanel, PhantomList


@contextmanager
def held(pcr: PcrPanel) -> Iterator[None]:
    """The child process as slow as can be."""
    child = psutil.Process(pcr.case.tasks.worker.pid).pid
    os.kill(child, signal.SIGSTOP)
    yield
    with suppress(ProcessLookupError):  # it was cancelled
        os.kill(child, signal.SIGCONT)


def test_with_nothing_chosen_nothing_can_be_done(pcr: PcrPanel) -> None:
    assert pcr.enabled() == set()
    assert pcr.why_not("read") == "Choose an ultrasound image or a biopsy."
    assert pcr.why_not("predict") == "Choose images, or type clinical variables."
    assert pcr.why_not("table") == "Choose the table of the list."
    assert pcr.why_not("next") == "Read the table of a list first."
    assert pcr.why_not("train") == "Choose the table of the cohort."
    assert pcr.ui.patientLabel.text == "No patient: no image is read"
    assert "esearch use only" in pcr.ui.noteLabel.text


def test_each_step_allows_the_next(pcr: PcrPanel, phantom_list: PhantomList) -> None:
    words, p = phantom_list.patients[0], pcr.parameters
    pcr.choose(words)
    assert pcr.enabled() == {"read"}
    assert pcr.why_not("predict") == "Read the images first."
    pcr.press("read")
    assert pcr.enabled() == {"read", "us0_square", "us1_square", "rectangle"}
    assert pcr.why_not("predict").startswith("There is no square on US-1")
    pcr.press("us0_square")
    pcr.press("us1_square")
    assert pcr.why_not("predict") == "Choose the folder of a trained run."
    p.run = phantom_list.run
    assert "predict" in pcr.enabled()
    assert pcr.why_not("save_dicom") == "There is no prediction yet."
    assert pcr.ui.syntheticLabel.visible and "synthetic" in pcr.ui.syntheticLabel.text
    # What is typed is understood, refused, or contradicts.
    pcr.ui.ki67Edit.text = "many"
    assert "ki67" in pcr.why_not("predict") and "ki67" in pcr.ui.clinicalLabel.text
    pcr.ui.ki67Edit.text = "30"
    pcr.ui.subtypeBox.currentText, pcr.ui.regimenBox.currentText = "TN", "anti-HER2"
    assert "anti-HER2 treatment of a HER2-negative tumour" in pcr.ui.clinicalLabel.text
    assert "predict" in pcr.enabled()
    pcr.ui.subtypeBox.currentText = ""
    assert "not known: subtype" in pcr.why_not("predict")


def test_without_a_biopsy_the_variant_without_one_is_taken(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    words = {name: text for name, text in phantom_list.patients[0].items() if "path" not in name}
    result = pcr.predict(words, phantom_list.run)
    assert result["variant"] == "ultrasound"
    assert "Variant 'ultrasound' takes US-0, US-1, clinical variables" in pcr.ui.inputsLabel.text
    assert {node.GetAttribute("BreastPredict.Input") for node in pcr.case.maps} == {"us0", "us1"}
    assert pcr.why_not("rectangle") == "There is no biopsy among the images."
    pcr.ui.variantBox.setCurrentIndex(pcr.ui.variantBox.findData("full"))
    assert pcr.ui.staleLabel.visible
    pcr.ui.applyButton.click()
    pcr.wait()
    assert "lacks: the biopsy" in pcr.ui.problemLabel.text


def test_an_edit_of_what_it_was_made_from_makes_a_result_stale(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    pcr.predict(phantom_list.patients[0], phantom_list.run)
    p, stale = pcr.parameters, pcr.ui.staleLabel
    assert not stale.visible and "save_report" in pcr.enabled()
    for name, value in (
        ("ki67", "77"),
        ("us0Roi", "point:250.0,160.0,120.0"),
        ("pathologyRegion", "8,8,300,300"),
        ("explain", "none"),
    ):
        before = getattr(p, name)
        setattr(p, name, value)
        assert stale.visible, name
        assert pcr.why_not("save_dicom") == "The case was changed since: predict again first."
        setattr(p, name, before)
        assert not stale.visible, name
    # What only shows it does not.
    p.opacity, p.threshold, p.colour, p.method = 0.3, 0.5, "Viridis", "occlusion"
    assert not stale.visible
    red = pcr.app.view("Red").composite
    assert red.GetForegroundVolumeID() == pcr.case.map_of("us0").GetID()
    assert pcr.case.map_of("us0").GetAttribute("BreastPredict.MapMethod") == "occlusion"
    assert red.GetForegroundOpacity() == pytest.approx(0.3)


def test_a_gone_tumour_takes_the_place_at_us0_and_comes_back(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    pcr.choose(phantom_list.patients[0])
    pcr.press("read")
    pcr.press("us0_square")
    pcr.press("us1_square")
    p, ui = pcr.parameters, pcr.ui
    pcr.drag("us1Square", (150.0, 100.0, 250.0, 200.0))
    drawn = p.us1Roi
    assert p.us0Roi.endswith(",100.0")  # linked
    ui.goneBox.click()
    assert p.us1Roi == "us0" and p.us1Square.GetLocked()
    assert "no longer visible" in ui.squaresLabel.text
    assert pcr.why_not("us1_square").startswith("The tumour is no longer visible")
    # Both images are of one scanner and depth here, so it is the same place in the frame.
    from PCRPredictLib.square_nodes import box_of

    pcr.drag("us0Square", (160.0, 90.0, 280.0, 210.0))
    assert box_of(p.us1Square, p.us1Image) == pytest.approx((160.0, 90.0, 280.0, 210.0), abs=1.5)
    ui.goneBox.click()
    assert p.us1Roi == drawn and not p.us1Square.GetLocked()


def test_separate_squares_are_drawn_separately_and_shown_as_the_run_sees_them(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    pcr.choose(phantom_list.patients[0])
    pcr.press("read")
    pcr.press("us0_square")
    pcr.press("us1_square")
    p = pcr.parameters
    pcr.ui.linkedBox.checked = False
    small = p.us1Roi
    pcr.drag("us0Square", (160.0, 80.0, 320.0, 240.0))
    assert p.us1Roi == small and p.us0Roi == "point:240.0,160.0,160.0"
    # One scale: the smaller one is shown in the larger one's size.
    assert p.us1Square.GetSize()[0] == pytest.approx(p.us0Square.GetSize()[0])
    assert "both times at one scale" not in pcr.ui.squaresLabel.text  # no run says so yet
    p.run = phantom_list.run
    assert "both times at one scale" in pcr.ui.squaresLabel.text


def test_a_rectangle_off_the_slide_is_refused_before_predicting(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    pcr.prepare(phantom_list.patients[0], phantom_list.run)
    p = pcr.parameters
    p.pathologyRegion = "5000,0,10,10"
    assert "lies off the slide" in pcr.why_not("predict") and p.rectangle is None
    p.pathologyRegion = "a square"
    assert "whole pixels" in pcr.why_not("predict")
    p.pathologyRegion = "16,32,256,200"
    pcr.panel.settle()
    assert p.pathologyRegion == "16,32,256,200" and "predict" in pcr.enabled()
    centre = list(p.rectangle.GetCenter())
    step = 0.002 * 2 / 2  # mm a pixel, from microns
    p.rectangle.SetCenter(centre[0] - 10 * step, centre[1], 0.0)  # RAS: to the left is more x
    pcr.panel.settle()
    x, *rest = map(int, p.pathologyRegion.split(","))
    assert x > 16 and rest == [32, 256, 200]


def test_apply_becomes_cancel_and_nothing_is_left(pcr: PcrPanel, phantom_list: PhantomList) -> None:
    pcr.prepare(phantom_list.patients[0], phantom_list.run)
    before = len(pcr.case.maps)
    with held(pcr):
        pcr.ui.applyButton.click()
        assert pcr.ui.applyButton.text == "Cancel" and pcr.enabled() == {"predict"}
        assert pcr.why_not("read") == "Busy: predicting. Cancel it, or wait."
        assert not pcr.ui.patientBox.enabled
        pcr.ui.applyButton.click()
    assert pcr.case.tasks.current is None
    assert pcr.ui.problemLabel.text == "Cancelled." and pcr.ui.applyButton.text == "Apply"
    assert len(pcr.case.maps) == before == 0


def test_a_refusal_gives_the_reason_and_no_number(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (600, 600), (240, 240, 240)).save(tmp_path / "blank.png")
    words = {**phantom_list.patients[0], "pathology": str(tmp_path / "blank.png")}
    words.pop("pathology_region", None)
    pcr.prepare(words, phantom_list.run)
    pcr.ui.applyButton.click()
    pcr.wait()
    result = pcr.case.result
    assert result["status"] == "refused" and set(result) == {"status", "gate", "reason"}
    assert pcr.ui.classLabel.text == "Refused" and result["reason"] in pcr.ui.scoreLabel.text
    assert not pcr.ui.resultTable.visible and not pcr.case.maps
    assert "refused" in pcr.why_not("save_dicom")


def test_another_image_hides_the_patient_and_forgets_its_square(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    first, second = phantom_list.patients[:2]
    pcr.prepare(first, phantom_list.run)
    pcr.ui.us0FileEdit.currentPath = second["us0"]
    assert first["patient_id"] not in pcr.ui.patientLabel.text
    assert pcr.why_not("predict") == "Read the images first."
    pcr.press("read")
    assert "different patients" in pcr.ui.pairLabel.text
    assert pcr.parameters.us0Roi == "" and pcr.parameters.us1Roi == first["us1_roi"]


def test_closing_the_scene_leaves_an_empty_panel(pcr: PcrPanel, phantom_list: PhantomList) -> None:
    pcr.prepare(phantom_list.patients[0], phantom_list.run)
    pcr.app.close_scene()
    assert pcr.enabled() == set() and "No patient" in pcr.ui.patientLabel.text


def test_a_training_that_cannot_be_done_says_why_in_one_line(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    ui, p = pcr.ui, pcr.parameters
    ui.cohortEdit.currentPath = str(phantom_list.table)
    assert pcr.why_not("train") == "Choose a folder for the run."
    ui.trainingRunEdit.currentPath = str(tmp_path / "run")
    ui.networkBox.currentText, p.device = "reduced", "cpu"
    ui.trainButton.click()
    pcr.wait()
    assert "too few for three sets" in ui.problemLabel.text
    assert str(p.run) == "."
