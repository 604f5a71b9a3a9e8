"""A pCR cohort table is read whole or refused with every violation at once."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ultrasound_screens import dataset, rectangle, region, save, screen

from breastpredict.errors import InputError
from breastpredict.pcr import (
    BoxRoi,
    FromUs0,
    MaskRoi,
    PcrCase,
    PcrClinical,
    check_pair,
    ultrasound_roi,
)
from breastpredict.study import CohortError, read_pcr_cohort

WHOLE = {
    "patient_id": "P1",
    "cohort": "SITE-A",
    "split": "train",
    "focality": "multifocal",
    "us0": "us/0.dcm",
    "us1": "us/1.dcm",
    "us0_roi": "box:190,110,260,170",
    "us1_roi": "us0",
    "pathology": "slide.png",
    "subtype": "HR-/HER2+",
    "er": "negative",
    "ki67": "40.5",
    "regimen": "anti-HER2",
    "pcr": "1",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "us").mkdir()
    for time, day in enumerate(("20240131", "20240313")):
        data = dataset(screen(rectangle(), time), [region()], StudyDate=day, ImageLaterality="R")
        data.StudyInstanceUID = f"1.2.3.4567.{time + 10}"
        save(data, tmp_path / "us" / f"{time}.dcm")
    mask = np.zeros((300, 400), np.uint8)
    mask[120:160, 200:250] = 255
    Image.fromarray(mask).save(tmp_path / "us" / "mask.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "slide.png")
    return tmp_path


def table(folder: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(n for row in rows for n in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "COHORT.csv"
    path.write_text(text.getvalue(), encoding=encoding, newline="")
    return path


def violations(folder: Path, *rows: dict[str, str]) -> dict[str, str]:
    """ "row column" → what is said of it."""
    with pytest.raises(CohortError) as caught:
        read_pcr_cohort(table(folder, *rows))
    assert "\n" not in str(caught.value)
    out = {}
    for violation in caught.value.violations:
        place, says = violation.split(": ", 1)
        key = place.removeprefix("row ").replace(", column ", " ")
        assert key not in out, "said twice"
        out[key] = says
    return out


def one(folder: Path, **change: str) -> PcrCase:
    (case,) = read_pcr_cohort(table(folder, {**WHOLE, **change}))
    return case


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_row_becomes_a_case_with_paths_beside_the_table(folder: Path, encoding: str) -> None:
    (case,) = read_pcr_cohort(table(folder, {**WHOLE, "age": "51"}, encoding=encoding))
    assert (case.patient_id, case.cohort, case.split) == ("P1", "SITE-A", "train")
    assert case.focality == "multifocal" and case.pcr is True
    assert case.us0 is not None and case.us1 is not None
    assert case.us0.path == folder / "us" / "0.dcm"
    assert case.us0.roi == BoxRoi(190, 110, 260, 170) and case.us1.roi == FromUs0()
    assert case.pathology == folder / "slide.png" and case.pathology_region is None
    assert case.clinical == PcrClinical("HR-/HER2+", "negative", 40.5, "anti-HER2")
    assert case.extra == {"age": "51"} and case.warnings == ()
    assert "P1" not in repr(case) and str(folder) not in repr(case)


def test_from_a_row_to_what_the_network_sees(folder: Path) -> None:
    case = one(folder, us0_roi="us/mask.png", laterality="R")
    assert case.us0 is not None and case.us1 is not None
    assert case.us0.roi == MaskRoi((folder / "us" / "mask.png",))
    us0, us1 = case.us0.read(), case.us1.read()
    pair = check_pair(us0, us1, laterality=case.laterality)
    assert pair.interval_weeks == 6.0
    first = ultrasound_roi(us0, case.us0.roi)
    second = ultrasound_roi(us1, case.us1.roi, us0=first)
    assert first.center == second.center == (224.5, 139.5)
    assert first.side_mm == second.side_mm == pytest.approx(35)
    seen = [roi.network_input(64) for roi in (first, second)]
    assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] < 0.9  # other speckle


def test_how_the_files_are_to_be_read_may_be_said(folder: Path) -> None:
    case = one(
        folder,
        us0_frame="1",
        us1_region="1",
        us1_date="2024-03-13",
        laterality="R",
        pathology_region="10, 20,300,400",
        pathology_mpp="0.5",
    )
    assert case.us0 is not None and case.us1 is not None
    assert (case.us0.frame, case.us0.region, case.us0.date) == (1, None, None)
    assert (case.us1.frame, case.us1.region, case.us1.date) == (None, 1, "2024-03-13")
    assert case.pathology_region == (10, 20, 300, 400) and case.pathology_mpp == 0.5
    assert case.laterality == "R" and case.extra == {}


def test_a_slide_may_be_a_folder_of_dicom(folder: Path) -> None:
    assert one(folder, pathology="us").pathology == folder / "us"


def test_what_a_patient_lacks_is_none_and_never_a_number(folder: Path) -> None:
    bare = {name: "" for name in WHOLE} | {"patient_id": "P1", "cohort": "A", "ki67": "NA"}
    (case,) = read_pcr_cohort(table(folder, bare))
    assert case.us0 is case.us1 is case.pathology is case.pcr is case.focality is None
    assert case.clinical.missing == ("subtype", "er", "ki67", "regimen")


def test_contradicting_variables_are_flagged_and_kept(folder: Path) -> None:
    case = one(folder, subtype="TNBC", er="low positive")
    assert case.clinical.subtype == "TN"
    assert len(case.warnings) == 2 and "anti-HER2 treatment" in case.warnings[0]


def test_the_label_is_derived_from_the_pathology_and_may_not_be_typed_against_it(
    folder: Path,
) -> None:
    assert one(folder, pcr="", miller_payne="5", nodes="-").pcr is True
    assert one(folder, pcr="", miller_payne="5", nodes="+").pcr is False
    assert one(folder, pcr="NA", miller_payne="5", nodes="NA").pcr is None
    found = violations(folder, {**WHOLE, "miller_payne": "3", "nodes": "-"})
    assert list(found) == ["2 pcr"] and "is 1, against Miller–Payne 3" in found["2 pcr"]


def test_all_violations_are_reported_at_once_by_row_and_column(folder: Path) -> None:
    wrong = {
        "patient_id": "",
        "cohort": "",
        "split": "holdout",
        "focality": "both",
        "us0": "us/none.dcm",
        "us1": "",
        "us0_roi": "box:1,2,3",
        "us1_roi": "us0",
        "pathology": "none.svs",
        "subtype": "luminal",
        "er": "5",
        "ki67": "140",
        "regimen": "homeopathy",
        "pcr": "2",
        "miller_payne": "6",
        "nodes": "N0",
        "laterality": "left",
        "us0_frame": "0",
        "us0_date": "31.1.2024",
        "pathology_region": "1,2,3",
        "pathology_mpp": "0",
    }
    found = violations(folder, {**WHOLE, "nodes": ""}, WHOLE, wrong)
    assert found.pop("3 patient_id") == "stands in row 2 already; one row a patient"
    assert set(found) == {f"4 {name}" for name in wrong if name != "us1"}
    assert found["4 ki67"] == "is '140'; use percent, from 0 to 100"
    assert found["4 regimen"].startswith("is 'homeopathy'; use one of taxane,")
    assert found["4 us0"] == found["4 pathology"].replace("folder or ", "")
    assert found["4 us1_roi"] == "is given without a file in us1"


@pytest.mark.parametrize(
    ("change", "column", "says"),
    [
        ({"us0_roi": ""}, "us0_roi", "is empty, though there is an image"),
        ({"us0_roi": "us0"}, "us0_roi", "refers to itself"),
        ({"us0": "", "us0_roi": ""}, "us1_roi", "refers to us0, which is empty"),
        ({"us0_roi": "us/mask.png;us/other.png"}, "us0_roi", "there is no such file"),
        ({"us1_date": "2024-02-30"}, "us1_date", "is no date"),
        ({"pathology": "", "pathology_mpp": "0.5"}, "pathology_mpp", "without a file"),
        ({"os_months": "12", "os_event": ""}, "os_event", "are a pair"),
    ],
)
def test_cells_that_do_not_fit_together_are_reported(
    folder: Path, change: dict[str, str], column: str, says: str
) -> None:
    found = violations(folder, {**WHOLE, **change})
    assert list(found) == [f"2 {column}"] and says in found[f"2 {column}"]


def test_a_missing_column_and_a_missing_table_are_named(folder: Path) -> None:
    short = {name: value for name, value in WHOLE.items() if name != "ki67"}
    with pytest.raises(CohortError, match="'ki67' is missing"):
        read_pcr_cohort(table(folder, short))
    with pytest.raises(InputError, match="no such cohort table"):
        read_pcr_cohort(folder / "none.csv")


COLUMNS = [
    *WHOLE,
    *("miller_payne", "nodes", "laterality", "us0_frame", "us1_region", "us0_date"),
    *("pathology_region", "pathology_mpp", "os_months", "os_event", "synthetic"),
]


@settings(max_examples=150, deadline=None)
@given(
    cell=st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.from_regex(r"(box|point):[-0-9.,naif]{1,12}", fullmatch=True),
    column=st.sampled_from(COLUMNS),
)
def test_no_cell_is_answered_by_anything_but_cases_or_violations(
    tmp_path_factory: pytest.TempPathFactory, cell: str, column: str
) -> None:
    folder = tmp_path_factory.mktemp("table", numbered=True)
    for name in ("0.png", "1.png", "slide.png"):
        (folder / name).touch()
    row = dict.fromkeys(COLUMNS, "") | WHOLE | {"us0": "0.png", "us1": "1.png", column: cell}
    try:
        (case,) = read_pcr_cohort(table(folder, row))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert case.patient_id == row["patient_id"].strip()
