"""US-0 and US-1 of one tumour: what cannot be a pair is refused, what is unusual is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from ultrasound_screens import dataset, rectangle, region, save, screen

from breastpredict.dicom import UltrasoundImage, read_ultrasound
from breastpredict.errors import InputError
from breastpredict.pcr import check_pair

IDENTIFYING = ("PID-4711", "4712", "Doe", "2024", "0131", "1951", "BREAST LEFT 3 H")


def still(folder: Path, seed: int, item: Dataset | None = None, **change: Any) -> UltrasoundImage:
    """An ultrasound image as DICOM, read."""
    stated = {"StudyInstanceUID": f"1.2.3.4567.{seed + 10}", "ImageLaterality": "L", **change}
    data = dataset(screen(rectangle(), seed), [item or region()], **stated)
    return read_ultrasound(save(data, folder / f"{seed}.dcm"))


def picture(folder: Path, seed: int) -> UltrasoundImage:
    path = folder / f"{seed}.png"
    Image.fromarray(screen(rectangle(), seed)).save(path)
    return read_ultrasound(path)


def view(code: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "BREAST LEFT 3 H"
    return [item]


@pytest.fixture
def us0(tmp_path: Path) -> UltrasoundImage:
    return still(tmp_path, 0, StudyDate="20240131", ViewCodeSequence=view("1"))


def test_a_pair_in_order_has_an_interval_and_nothing_to_say(
    us0: UltrasoundImage, tmp_path: Path
) -> None:
    us1 = still(tmp_path, 1, StudyDate="20240313", ViewCodeSequence=view("1"))
    pair = check_pair(us0, us1, laterality="L")
    assert pair.interval_weeks == 6.0
    assert pair.warnings == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"StudyDate": "20240101"}, "US-1 was taken 30 days before US-0"),
        ({"StudyDate": "20240131"}, "same day"),
        ({"ImageLaterality": "R"}, "US-0 says L, US-1 says R"),
        ({"PatientID": "PID-4712"}, "different patients: the identifier differs"),
        ({"PatientBirthDate": "19520101"}, "different patients: the date of birth differs"),
        ({"StudyInstanceUID": "1.2.3.4567.10"}, "from the same study"),
    ],
)
def test_what_cannot_be_a_pair_is_refused_in_one_line_without_identifiers(
    tmp_path: Path, change: dict[str, str], says: str
) -> None:
    us0 = still(tmp_path, 0, StudyDate="20240131", PatientBirthDate="19510101")
    us1 = still(tmp_path, 1, **{"StudyDate": "20240313", "PatientBirthDate": "19510101", **change})
    with pytest.raises(InputError, match=says) as caught:
        check_pair(us0, us1)
    text = str(caught.value)
    assert "\n" not in text and not any(word in text for word in IDENTIFYING)


def test_the_side_of_the_table_counts_too(us0: UltrasoundImage, tmp_path: Path) -> None:
    us1 = still(tmp_path, 1, StudyDate="20240313")
    with pytest.raises(InputError, match="the cohort table says R"):
        check_pair(us0, us1, laterality="R")


def test_one_image_is_no_pair_whatever_file_it_comes_in(
    us0: UltrasoundImage, tmp_path: Path
) -> None:
    again = still(tmp_path, 0, StudyDate="20240313", StudyInstanceUID="1.2.3.4567.77")
    with pytest.raises(InputError, match="the same image"):
        check_pair(us0, again)
    first = picture(tmp_path, 0)
    Image.open(first.path).save(tmp_path / "again.jpg", quality=95)
    pair = check_pair(first, read_ultrasound(tmp_path / "again.jpg"))
    assert any("nearly the same picture" in one for one in pair.warnings)
    assert not any("nearly" in one for one in check_pair(first, picture(tmp_path, 1)).warnings)


@pytest.mark.parametrize(
    ("day", "weeks", "said"),
    [
        ("20240221", 3, True),
        ("20240228", 4, False),
        ("20240410", 10, False),
        ("20240417", 11, True),
    ],
)
def test_an_interval_unusual_for_two_cycles_is_said(
    us0: UltrasoundImage, tmp_path: Path, day: str, weeks: float, said: bool
) -> None:
    pair = check_pair(us0, still(tmp_path, 1, StudyDate=day))
    assert pair.interval_weeks == weeks
    assert any(f"{weeks}.0 weeks after US-0" in one for one in pair.warnings) == said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ViewCodeSequence": view("2")}, "the view differs"),
        ({"AnatomicRegionSequence": view("76752008")}, "the anatomic region differs"),
        ({"PatientOrientation": ["L", "F"]}, "the orientation of rows and columns differs"),
        ({"ManufacturerModelName": "OTHER"}, "different scanners"),
    ],
)
def test_another_plane_or_scanner_is_said_without_quoting_the_files(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    place = {"AnatomicRegionSequence": view("80248007"), "PatientOrientation": ["R", "F"]}
    common = {"ViewCodeSequence": view("1"), "ManufacturerModelName": "ONE", **place}
    us0 = still(tmp_path, 0, StudyDate="20240131", **common)
    same = still(tmp_path, 1, StudyDate="20240313", **common)
    assert check_pair(us0, same).warnings == ()
    pair = check_pair(us0, still(tmp_path, 2, StudyDate="20240313", **{**common, **change}))
    (only,) = pair.warnings
    assert says in only and not any(word in only for word in IDENTIFYING)


def test_another_depth_setting_is_said(us0: UltrasoundImage, tmp_path: Path) -> None:
    deeper = region(PhysicalDeltaX=0.08, PhysicalDeltaY=0.06)
    pair = check_pair(us0, still(tmp_path, 1, deeper, StudyDate="20240313"))
    assert any("96 mm at US-0, 144 mm at US-1" in one for one in pair.warnings)


def test_pictures_are_a_pair_with_all_that_cannot_be_checked_said(tmp_path: Path) -> None:
    pair = check_pair(picture(tmp_path, 0), picture(tmp_path, 1))
    assert pair.interval_weeks is None
    said = " ".join(pair.warnings)
    for what in ("patient", "side", "Order and interval", "plane", "depth setting"):
        assert what in said
    assert len(pair.warnings) == 5


def test_dates_by_hand_stand_for_files_that_have_none(us0: UltrasoundImage, tmp_path: Path) -> None:
    first, second = picture(tmp_path, 0), picture(tmp_path, 1)
    pair = check_pair(first, second, us0_date="2024-01-31", us1_date="2024-03-20")
    assert pair.interval_weeks == 7.0
    assert check_pair(us0, second, us1_date="2024-03-20").interval_weeks == 7.0
    with pytest.raises(InputError, match="30 days before"):
        check_pair(first, second, us0_date="2024-01-31", us1_date="2024-01-01")
    with pytest.raises(InputError, match="YYYY-MM-DD") as caught:
        check_pair(first, second, us0_date="31.1.2024", us1_date="2024-03-20")
    assert "31.1" not in str(caught.value)


def test_a_date_by_hand_is_never_mixed_with_a_shifted_one(
    us0: UltrasoundImage, tmp_path: Path
) -> None:
    us1 = still(tmp_path, 1, StudyDate="20240201")
    with pytest.raises(InputError, match="dates of both"):
        check_pair(us0, us1, us1_date="2024-03-20")
    pair = check_pair(us0, us1, us0_date="2024-01-31", us1_date="2024-03-20")
    assert pair.interval_weeks == 7.0
    assert sum("its file states another" in one for one in pair.warnings) == 1


def test_a_damaged_date_is_no_date(us0: UltrasoundImage, tmp_path: Path) -> None:
    us1 = still(tmp_path, 1, StudyDate="20240231", AcquisitionDate="20240313")
    assert check_pair(us0, us1).interval_weeks == 6.0


def test_real_files_of_two_patients_are_no_pair(shared: Path) -> None:
    folder = shared / "data" / "us" / "dicom"
    one, other = (read_ultrasound(folder / f"{n}_IMAGE.dcm") for n in ("GREYSCALE", "RGB"))
    with pytest.raises(InputError, match="different patients"):
        check_pair(one, other)


def test_a_truncated_sweep_is_refused_in_one_line(tmp_path: Path) -> None:
    frames = np.stack([screen(rectangle(), seed) for seed in range(3)])
    data = dataset(frames, [region()], NumberOfFrames=3)
    data.PixelData = data.PixelData[: 2 * frames[0].size + 100]
    save(data, tmp_path / "cine.dcm")
    with pytest.raises(InputError, match=r"truncated|damaged|incomplete") as caught:
        read_ultrasound(tmp_path / "cine.dcm", frame=3)
    assert "\n" not in str(caught.value)
