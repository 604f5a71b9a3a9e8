"""What is chosen in PCR Predict before predicting: frame, region, slide, table's row, a click.

Each choice gives what the command line gives with the same one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_plugins import examination, import_folder
from pcr_panel import PcrPanel, PhantomList
from pydicom.uid import generate_uid
from slide_files import LABEL_COLOUR, on_glass, write_dicom_slide
from test_pcr_module import by_command_line
from test_pcr_module_reading import volume
from ultrasound_screens import dataset, fan, region, save, screen

from breastpredict.dicom import read_ultrasound

CLINICAL = ("subtype", "er", "ki67", "regimen")
REAL_TWO_FRAMES, REAL_TWO_REGIONS = "OBXXXX1A_2frame.dcm", "gdcm-US-ALOKA-16.dcm"


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results are equal but for what tells when and where they were made."""
    left, right = ({k: v for k, v in r.items() if k != "date"} for r in (one, other))
    return {k: v for k, v in left.items() if k in right} == right


# --- Frame and region of a file ---


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A sweep of five frames with two B-mode regions side by side on the screen."""
    frames = np.stack(
        [np.hstack([screen(fan(), 2 * n), screen(fan(), 2 * n + 1)]) for n in range(5)]
    )
    right = (440, 30, 739, 269)
    data = dataset(frames, [region(), region(right)], NumberOfFrames=5, ImageLaterality="R")
    return save(data, tmp_path / "clip.dcm")


def test_frame_and_region_are_offered_where_there_is_more_than_one(
    pcr: PcrPanel, clip: Path, tmp_path: Path
) -> None:
    ui = pcr.ui
    still = examination(tmp_path / "still", 1, StudyDate="20240313")
    widgets = [
        getattr(ui, f"us0{what}") for what in ("FrameBox", "FrameLabel", "RegionBox", "RegionLabel")
    ]
    assert not any(widget.visible for widget in widgets)
    ui.us0FileEdit.currentPath = str(still)
    assert not any(widget.visible for widget in widgets)
    ui.us0FileEdit.currentPath = str(clip)
    assert all(widget.visible for widget in widgets)
    assert (ui.us0FrameBox.suffix, ui.us0RegionBox.suffix) == (" of 5", " of 2")
    assert not ui.us1FrameBox.visible and not ui.us1RegionBox.visible
    # The file has no rule by which one of two regions is the tumour's.
    assert "US-0 has 2 B-mode regions (1: X 40–339" in pcr.why_not("read")
    assert pcr.why_not("read") == ui.pairLabel.text
    ui.us0RegionBox.value = 2
    pcr.press("read")
    # Of another file they would mean nothing.
    ui.us0FileEdit.currentPath = str(still)
    assert (ui.us0FrameBox.value, ui.us0RegionBox.value) == (0, 0)
    assert not any(widget.visible for widget in widgets)


@pytest.mark.parametrize(("frame", "chosen"), [(0, 3), (1, 1), (5, 5)])
@pytest.mark.parametrize("number", [1, 2])
def test_the_chosen_frame_and_region_are_read(
    pcr: PcrPanel, clip: Path, frame: int, chosen: int, number: int
) -> None:
    import slicer

    pcr.ui.us0FileEdit.currentPath = str(clip)
    pcr.ui.us0FrameBox.value, pcr.ui.us0RegionBox.value = frame, number
    pcr.press("read")
    expected = read_ultrasound(clip, frame=frame or None, region=number)
    assert expected.frame == chosen
    shown = pcr.parameters.us0Image
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown)[0], expected.pixels)
    x0, y0, *_ = map(int, shown.GetAttribute("BreastPredict.Region").split(","))
    assert (x0, y0) == expected.region.box[:2]


def test_a_frame_that_is_not_there_is_refused_and_not_guessed(pcr: PcrPanel, clip: Path) -> None:
    ui = pcr.ui
    ui.us0FileEdit.currentPath = str(clip)
    ui.us0FrameBox.value, ui.us0RegionBox.value = 6, 1
    ui.readButton.click()
    pcr.wait()
    assert "no frame 6" in ui.problemLabel.text and "from 1 to 5" in ui.problemLabel.text
    assert pcr.case.opened is None


def test_a_square_stays_with_its_frame_and_goes_with_its_region(pcr: PcrPanel, clip: Path) -> None:
    ui, p = pcr.ui, pcr.parameters
    ui.us0FileEdit.currentPath = str(clip)
    ui.us0RegionBox.value = 1
    pcr.press("read")
    pcr.press("us0_square")
    drawn = p.us0Roi
    ui.us0FrameBox.value = 2
    assert pcr.why_not("predict") == "Read the images first."
    pcr.press("read")
    assert p.us0Roi == drawn
    ui.us0RegionBox.value = 2
    pcr.press("read")
    assert p.us0Roi == ""


def test_the_chosen_frame_and_region_predict_as_on_the_command_line(
    pcr: PcrPanel, clip: Path, phantom_list: PhantomList, tmp_path: Path
) -> None:
    late = examination(tmp_path / "late", 1, StudyDate="20240313")
    words = {name: phantom_list.patients[0][name] for name in CLINICAL}
    words |= {"us0": str(clip), "us1": str(late), "us0_roi": "box:550,110,640,200"}
    words |= {"us1_roi": "box:140,110,230,200"}
    pcr.parameters.explain = "none"
    found = []
    for frame in (2, 4):
        pcr.choose(words)
        pcr.ui.us0FrameBox.value, pcr.ui.us0RegionBox.value = frame, 2
        pcr.prepare_chosen(words, phantom_list.run)
        pcr.press("predict")
        found.append(pcr.case.result)
    told = pcr.case.words()
    assert (told["us0_frame"], told["us0_region"]) == ("4", "2")
    direct, _ = by_command_line(told, phantom_list.run, tmp_path / "cli", "none")
    assert same(found[1], direct)
    assert found[0]["probability"] != found[1]["probability"]


def test_frame_and_region_of_real_scanners_are_those_of_the_command_line(
    pcr: PcrPanel, shared: Path, tmp_path: Path
) -> None:
    import slicer

    folder = shared / "data" / "us" / "dicom"
    ui, p = pcr.ui, pcr.parameters
    ui.us0FileEdit.currentPath = str(folder / REAL_TWO_FRAMES)
    ui.us1FileEdit.currentPath = str(folder / REAL_TWO_REGIONS)
    assert ui.us0FrameBox.visible and not ui.us0RegionBox.visible
    assert ui.us1RegionBox.visible and not ui.us1FrameBox.visible
    for frame, number in ((1, 2), (2, 1)):
        ui.us0FrameBox.value, ui.us1RegionBox.value = frame, number
        pcr.press("read")
        for node, expected in (
            (p.us0Image, read_ultrasound(folder / REAL_TWO_FRAMES, frame=frame)),
            (p.us1Image, read_ultrasound(folder / REAL_TWO_REGIONS, region=number)),
        ):
            np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0], expected.pixels)


def test_the_region_of_a_loaded_screen_with_two_is_chosen_too(
    pcr: PcrPanel, tmp_path: Path
) -> None:
    """Slicer loads the whole screen; its file is read, and must be told which region."""
    import slicer

    pixels = np.hstack([screen(fan(), 0), screen(fan(), 1)])
    folder = tmp_path / "us"
    folder.mkdir()
    path = save(dataset(pixels, [region(), region((440, 30, 739, 269))]), folder / "two.dcm")
    import_folder(folder)
    pcr.ui.us0Selector.setCurrentNode(volume(pixels, file=path))
    assert pcr.ui.us0RegionBox.visible and "2 B-mode regions" in pcr.why_not("read")
    pcr.ui.us0RegionBox.value = 2
    pcr.press("read")
    expected = read_ultrasound(path, region=2)
    shown = slicer.util.arrayFromVolume(pcr.parameters.us0Image)[0]
    np.testing.assert_array_equal(shown, expected.pixels)


# --- A slide of the DICOM database ---


def test_a_slide_of_the_database_is_chosen_by_its_words_and_never_its_label(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    import slicer

    picture = on_glass(600, 800, (100, 80, 700, 520))
    files = write_dicom_slide(tmp_path / "slide", picture, (1, 4), StudyDescription="Core biopsy")
    write_dicom_slide(tmp_path / "other", picture[:400], (1,), StudyDescription="Another")
    for name in ("slide", "other"):
        for kind in ("label", "overview"):  # scanners give them a frame of reference of their own
            data = pydicom.dcmread(tmp_path / name / f"{kind}.dcm")
            data.FrameOfReferenceUID = generate_uid()
            data.save_as(tmp_path / name / f"{kind}.dcm")
        import_folder(tmp_path / name)
    ui, p = pcr.ui, pcr.parameters
    ui.databaseRefreshButton.click()
    box = ui.pathologyDatabaseBox
    offered = {box.itemData(n): box.itemText(n) for n in range(1, box.count)}
    assert len(offered) == 2  # neither the levels by themselves, nor label and overview
    [index] = [n for n in range(1, box.count) if "Core biopsy" in box.itemText(n)]
    box.setCurrentIndex(index)
    assert p.pathology == files[0]
    words = {n: v for n, v in phantom_list.patients[0].items() if "pathology" not in n}
    chosen = {**words, "pathology": str(p.pathology)}
    pcr.choose(words | {"pathology": str(p.pathology)})
    pcr.press("read")
    assert pcr.case.opened["pathology"]["kind"] == "DICOM"
    assert pcr.case.opened["pathology"]["size"] == [800, 600]
    shown = slicer.util.arrayFromVolume(p.overview)
    assert not np.all(shown == LABEL_COLOUR, axis=-1).any()
    p.explain = "none"
    pcr.prepare_chosen(chosen, phantom_list.run)
    pcr.ui.applyButton.click()
    pcr.wait()
    result = pcr.case.result
    told = pcr.case.words()
    if result["status"] == "refused":  # the phantom's patient is not the slide's
        pytest.fail(result["reason"])
    direct, _ = by_command_line(told, phantom_list.run, tmp_path / "cli", "none")
    assert same(result, direct)


# --- A row of the table for the clinical variables ---


def clinical(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.get(name, "") for name in CLINICAL)


def test_the_row_of_the_images_patient_is_offered_and_taken_on_request(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    second, ui, p = phantom_list.patients[1], pcr.ui, pcr.parameters
    images = {n: v for n, v in second.items() if n in ("us0", "us1", "pathology")}
    assert pcr.why_not("clinical") == "Read the table of a list first."
    pcr.choose(images)
    ui.patientsEdit.currentPath = str(phantom_list.table)
    pcr.press("table")
    assert pcr.why_not("clinical") == "Choose a row of the table."
    pcr.press("read")
    assert ui.clinicalBox.currentText == second["patient_id"]
    assert ui.clinicalRowLabel.text == "This row has the patient ID of these images."
    assert not any((p.subtype, p.er, p.ki67, p.regimen))  # offered, not taken
    pcr.press("clinical")
    assert (p.subtype, p.er, p.ki67, p.regimen) == clinical(second)
    assert not ui.clinicalLabel.visible
    assert p.us0File == Path(second["us0"]) and p.us0Roi == ""  # nothing else is taken


def test_the_row_of_another_patient_is_said_to_be_and_taken_only_if_confirmed(
    pcr: PcrPanel, phantom_list: PhantomList
) -> None:
    import qt

    first, second, third = phantom_list.patients
    ui, p = pcr.ui, pcr.parameters
    ui.patientsEdit.currentPath = str(phantom_list.table)
    pcr.press("table")
    pcr.choose({n: v for n, v in first.items() if n in ("us0", "us1")})
    pcr.press("read")
    ui.clinicalBox.setCurrentIndex(2)
    said = f"This row has another patient ID than these images, '{first['patient_id']}'."
    assert ui.clinicalRowLabel.text == said
    with pcr.app.main_window():
        pcr.app.dialogs.answer(qt.QMessageBox.Cancel)
        ui.clinicalButton.click()
        [asked] = pcr.app.dialogs.asked
        assert first["patient_id"] in asked.text and second["patient_id"] in asked.text
        assert not any((p.subtype, p.er, p.ki67, p.regimen)) and not ui.clinicalLabel.visible
        pcr.app.dialogs.answer(qt.QMessageBox.Ok)
        ui.clinicalButton.click()
    assert (p.subtype, p.er, p.ki67, p.regimen) == clinical(second)
    stands = f"are of the row '{second['patient_id']}', the images of '{first['patient_id']}'"
    assert stands in ui.clinicalLabel.text
    # What is typed is the reader's own.
    ui.ki67Edit.text = "11"
    assert stands not in ui.clinicalLabel.text
    # Taken before the images were read, it is said as soon as they are.
    ui.clinicalBox.setCurrentIndex(1)
    pcr.press("clinical")
    pcr.choose(
        {n: v for n, v in third.items() if n in (*CLINICAL, "us0", "us1")}
        | dict(zip(CLINICAL, clinical(first), strict=True))
    )
    assert not ui.clinicalLabel.visible  # nobody knows yet whose the images are
    pcr.press("read")
    assert f"of the row '{first['patient_id']}', the images of '{third['patient_id']}'" in (
        ui.clinicalLabel.text
    )
    assert ui.clinicalBox.currentText == third["patient_id"]


def test_images_that_are_not_of_the_rows_patient_are_said_to_be_in_a_list(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    """A table whose names are not those of the files is walked through all the same."""
    text = phantom_list.table.read_text("utf-8")
    folder, name = phantom_list.table.parent, phantom_list.patients[0]["patient_id"]
    text = re.sub(r"([,;])((us|masks|slides)/)", rf"\1{folder}/\2", text)
    rows = text.splitlines()
    table = tmp_path / "COHORT.csv"
    table.write_text("\n".join([rows[0], rows[1].replace(f"{name},", "ALIAS-1,", 1), *rows[2:]]))
    pcr.ui.patientsEdit.currentPath = str(table)
    pcr.press("table")
    pcr.press("next")
    assert f"of the row 'ALIAS-1', the images of '{name}'" in pcr.ui.clinicalLabel.text
    assert "No row of the table has the patient ID" in pcr.ui.clinicalRowLabel.text
    pcr.press("next")
    assert not pcr.ui.clinicalLabel.visible


# --- A click into the tumour ---


@dataclass
class Pair:
    """Two images that are read, of 300 × 240 pixels each."""

    pcr: PcrPanel

    def click(self, time: str, pixel: tuple[float, float]) -> None:
        """Press the place button and click into the image."""
        from PCRPredictLib.ultrasound_nodes import ras_of

        getattr(self.pcr.ui, f"{time}Place").placeButton().click()
        image = getattr(self.pcr.parameters, f"{time}Image")
        self.pcr.app.click(tuple(ras_of(image, pixel)))
        self.pcr.wait()


@pytest.fixture
def pair(pcr: PcrPanel, tmp_path: Path) -> Pair:
    for number, (time, day) in enumerate((("us0", "20240131"), ("us1", "20240313"))):
        path = examination(tmp_path / "us", number, StudyDate=day)
        getattr(pcr.ui, f"{time}FileEdit").currentPath = str(path)
        assert not getattr(pcr.ui, f"{time}Place").enabled
    pcr.press("read")
    return Pair(pcr)


def test_a_click_into_the_tumour_puts_a_square_there(pair: Pair) -> None:
    import slicer
    from PCRPredictLib.square_nodes import box_of

    pcr, p = pair.pcr, pair.pcr.parameters
    pcr.press("us0_square")
    middle, side = p.us0Roi.rsplit(",", 1)
    assert middle == "point:189.5,149.5"
    pair.click("us0", (170.0, 120.0))
    assert p.us0Roi == f"point:170.0,120.0,{side}"
    x0, y0, x1, y1 = box_of(p.us0Square, p.us0Image)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((170.0, 120.0), abs=0.1)
    # Both have one size; and the next click counts as much as the first.
    pcr.drag("us0Square", (150.0, 100.0, 190.0, 140.0))
    dragged = p.us0Roi.rsplit(",", 1)[1]
    assert float(dragged) < float(side)
    for pixel in ((200.0, 160.0), (210.0, 150.0)):
        pair.click("us1", pixel)
        assert p.us1Roi == f"point:{pixel[0]},{pixel[1]},{dragged}"
    # The click itself leaves nothing: one square each, and no point.
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")) == 2
    points = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert [node.GetNumberOfControlPoints() for node in points] == [0, 0]
    assert all(node.GetHideFromEditors() and not node.GetSaveWithScene() for node in points)
    shown_in = [node.GetDisplayNode().GetViewNodeIDs() for node in points]
    assert shown_in == [("vtkMRMLSliceNodeRed",), ("vtkMRMLSliceNodeYellow",)]


def test_a_click_off_the_image_is_refused_in_words(pair: Pair) -> None:
    pair.click("us1", (200.0, 150.0))
    pair.click("us0", (2000.0, 150.0))
    assert "lies off the image" in pair.pcr.why_not("predict")
    assert pair.pcr.parameters.us0Square is None


def test_placing_that_is_given_up_changes_nothing(pair: Pair) -> None:
    pcr, p = pair.pcr, pair.pcr.parameters
    pcr.press("us0_square")
    drawn = p.us0Roi
    button = pcr.ui.us0Place.placeButton()
    button.click()
    assert pcr.ui.us0Place.placeModeEnabled
    button.click()
    pcr.wait()
    assert p.us0Roi == drawn and not pcr.ui.us0Place.placeModeEnabled
    # Another module must not get the click.
    button.click()
    pcr.app.leave()
    assert not pcr.ui.us0Place.placeModeEnabled


def test_a_tumour_that_is_gone_takes_no_click(pair: Pair) -> None:
    pcr = pair.pcr
    pair.click("us0", (170.0, 120.0))
    pcr.ui.goneBox.click()
    assert not pcr.ui.us1Place.enabled and "no longer visible" in pcr.ui.us1Place.toolTip
    assert pcr.ui.us0Place.enabled and "middle of the tumour" in pcr.ui.us0Place.toolTip
