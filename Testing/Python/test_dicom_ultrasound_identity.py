"""Ultrasound out: nothing of the patient is in any byte of what is written."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_dict
from pydicom.uid import generate_uid
from ultrasound_screens import PATIENT, ROWS, dataset, rectangle, region, save, screen, written

from breastpredict.dicom import read_ultrasound, review_picture, write_deidentified
from breastpredict.errors import InputError

PLANTED = "Zaphod"
TEXTS = {"LO": 64, "SH": 16, "PN": 64, "ST": 999, "LT": 999, "UT": 999, "UC": 99, "AE": 16}
OF_PIXELS = {"PixelData", "FileSetID"}


def planted(tmp_path: Path) -> Path:
    """A name in every text attribute of the dictionary, in sequences, private groups and pixels."""
    data = dataset(screen(rectangle()), [region()], BurnedInAnnotation="YES")
    for keyword, tag in keyword_dict.items():
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
        if vr in TEXTS and tag >> 16 not in (0, 2, 4) and keyword not in data:
            value = f"{PLANTED}^Beeble" if vr == "PN" else f"{PLANTED}{tag:08X}"[: TEXTS[vr]]
            setattr(data, keyword, value)
    data.Manufacturer, data.ManufacturerModelName = f"MAKER {PLANTED}", f"Box of {PLANTED}"
    data.PatientName, data.PatientID = f"{PLANTED}^Beeblebrox", "PID-4711"
    data.PatientBirthDate, data.AcquisitionDateTime = "19510829", "20240131101112"
    item = Dataset()
    item.PatientID, item.TextValue = "PID-4711", PLANTED
    data.RequestAttributesSequence = data.ReferencedPatientSequence = [item]
    block = data.private_block(0x0029, PLANTED, create=True)
    block.add_new(1, "LO", PLANTED)
    block.add_new(2, "OB", PLANTED.encode() + b"-PID-4711-19510829")
    data.add_new(0x60003000, "OW", PLANTED.encode() * 4)
    data.IconImageSequence = [dataset(screen(rectangle())[:64, :64])]
    return save(data, tmp_path / "planted.dcm")


def test_no_planted_word_is_in_any_byte_of_the_copy(tmp_path: Path) -> None:
    path = planted(tmp_path)
    before = path.read_bytes()
    assert before.count(PLANTED.encode()) > 700
    image = read_ultrasound(path)
    out = write_deidentified(image, tmp_path / "out.dcm", research_id="R-001").path
    after = out.read_bytes()
    source = pydicom.dcmread(path)
    words = [PLANTED, "Beeble", "4711", "19510829", "20240131", "101112", "1.2.3.4567"]
    for word in words:
        assert word.encode() in before and word.encode() not in after, word
    assert "IconImageSequence" not in pydicom.dcmread(out)
    name = source.pixel_array[:20, :150]
    assert (name == 255).sum() > 50  # the name in the picture
    kept = pydicom.dcmread(out).pixel_array
    np.testing.assert_array_equal(kept, image.pixels)
    assert not kept[:, : 70 - 40].any() and not kept[: 50 - 30].any()
    assert "Beeble" not in repr(image) and "4711" not in repr(image)


def test_the_copy_states_what_was_done_and_no_more(tmp_path: Path) -> None:
    image = read_ultrasound(planted(tmp_path))

    def copy(**options: Any) -> Dataset:
        path = tmp_path / "out.dcm"
        return pydicom.dcmread(write_deidentified(image, path, research_id="R-001", **options).path)

    data = copy()
    assert data.PatientID == data.PatientName == "R-001"
    assert (data.PatientIdentityRemoved, data.BurnedInAnnotation) == ("YES", "NO")
    assert data.LongitudinalTemporalInformationModified == "REMOVED" and not data.StudyDate
    assert any("dates removed" in line for line in data.DeidentificationMethod)
    codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]
    shifted = copy(shift_days=-31)
    assert shifted.StudyDate == "20231231" and not shifted.StudyTime
    assert shifted.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in shifted.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113107"]


def test_burnt_in_is_no_only_where_nothing_is_left_or_a_person_has_looked(tmp_path: Path) -> None:
    marked = written(screen(rectangle()), "LEFT", (200, 220), 16)
    image = read_ultrasound(save(dataset(marked, [region()]), tmp_path / "a.dcm"))
    blanked = read_ultrasound(tmp_path / "a.dcm", blank=image.marks)
    Image.fromarray(written(np.zeros((ROWS, 300), np.uint8), PATIENT, (9, 9))).save(
        tmp_path / "a.png"
    )
    no_scan = read_ultrasound(tmp_path / "a.png")
    for one, reviewed, stated in (
        (image, False, "YES"), (image, True, "NO"), (blanked, False, "NO"),
        (no_scan, False, "YES"),
    ):  # fmt: skip
        path = write_deidentified(
            one, tmp_path / "out.dcm", research_id="R-001", reviewed=reviewed
        ).path
        data = pydicom.dcmread(path)
        codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
        assert data.BurnedInAnnotation == stated
        assert ("113101" in codes) == (stated == "NO")


def test_a_study_stays_together_under_one_key_and_leads_nowhere_without(tmp_path: Path) -> None:
    uids = "StudyInstanceUID SeriesInstanceUID SOPInstanceUID".split()
    study = generate_uid()

    def copy(number: int, key: bytes | None) -> Dataset:
        source = dataset(
            screen(rectangle()), [region()], StudyInstanceUID=study, SOPInstanceUID=generate_uid()
        )
        image = read_ultrasound(save(source, tmp_path / f"{number}.dcm"))
        out = write_deidentified(image, tmp_path / "out.dcm", research_id="R-001", key=key)
        return pydicom.dcmread(out.path)

    one, other, foreign = copy(1, b"k" * 32), copy(2, b"k" * 32), copy(1, None)
    assert one.StudyInstanceUID == other.StudyInstanceUID != study
    assert one.SOPInstanceUID != other.SOPInstanceUID
    for uid in uids:
        assert one[uid].value != foreign[uid].value
        assert len(one[uid].value) <= 64 and pydicom.uid.UID(one[uid].value).is_valid


def test_the_copy_is_read_again_with_the_same_pixels_and_spacing(tmp_path: Path) -> None:
    item = region(PhysicalDeltaX=-0.05)
    source = dataset(screen(rectangle()), [item], Laterality="R", Manufacturer="MAKER")
    image = read_ultrasound(save(source, tmp_path / "a.dcm"))
    out = write_deidentified(image, tmp_path / "out.dcm", research_id="R-001").path
    again = read_ultrasound(out)
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.spacing_mm == pytest.approx(image.spacing_mm)
    assert (again.laterality, again.manufacturer) == ("R", "MAKER")
    assert again.burned_in == "NO"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 64 printable"), ("x" * 65, "1 to 64"), ("a\nb", "printable"),
        ("a^b", "not hold"),
        ("PID-4711", "identifies the patient"), ("study-of-jane", "identifies the patient"),
    ],
)  # fmt: skip
def test_a_research_identifier_that_is_none_is_refused(
    tmp_path: Path, name: str, words: str
) -> None:
    image = read_ultrasound(save(dataset(screen(rectangle()), [region()]), tmp_path / "a.dcm"))
    with pytest.raises(InputError, match=words) as caught:
        write_deidentified(image, tmp_path / "out.dcm", research_id=name)
    assert "4711" not in str(caught.value) and not (tmp_path / "out.dcm").exists()


def test_a_date_that_cannot_be_shifted_is_refused(tmp_path: Path) -> None:
    source = dataset(screen(rectangle()), [region()])
    image = read_ultrasound(save(source, tmp_path / "a.dcm"))
    with pytest.raises(InputError, match="study date cannot be shifted"):
        write_deidentified(image, tmp_path / "o.dcm", research_id="R-001", shift_days=10**7)


def test_copies_of_real_images_are_valid_and_hold_no_identity(
    shared: Path, tmp_path: Path, dciodvfy: str
) -> None:
    folder = shared / "data" / "us"
    for path in [*sorted((folder / "dicom").glob("*.dcm")), folder / "busi/benign/benign_1.png"]:
        image = read_ultrasound(path, region=1)
        out = write_deidentified(image, tmp_path / "out.dcm", research_id="R-001").path
        found = subprocess.run([dciodvfy, "-new", out], capture_output=True, text=True).stderr
        assert "Error" not in found, found
        if path.suffix != ".dcm":
            continue
        source, after = pydicom.dcmread(path, stop_before_pixels=True), out.read_bytes()
        identities = "PatientName PatientID AccessionNumber InstitutionName StationName".split()
        for keyword in [*identities, "StudyDate", "StudyInstanceUID", "SOPInstanceUID"]:
            value = str(source.get(keyword) or "")
            assert len(value) < 4 or value.encode() not in after, keyword


def test_the_reviewer_sees_before_and_after(tmp_path: Path) -> None:
    picture = written(screen(rectangle()), "LEFT", (200, 220), 16)
    image = read_ultrasound(save(dataset(picture, [region()]), tmp_path / "a.dcm"))
    seen = review_picture(image)
    rows, columns = picture.shape
    assert seen.shape == (rows, 2 * columns + 8, 3) and seen.dtype == np.uint8
    before, after = seen[:, :columns], seen[:, columns + 8 :]
    np.testing.assert_array_equal(after[..., 0], image.in_source(image.pixels))
    np.testing.assert_array_equal(before[:25], np.repeat(picture[:25, :, None], 3, axis=-1))
    blanked = image.in_source(image.blanked)
    assert blanked.any() and (before[blanked][:, 0] > before[blanked][:, 1]).mean() > 0.95
    x0, y0, x1, _ = image.region.box
    assert (before[y0, x0 : x1 + 1] == (255, 255, 0)).all()
    (mark,) = image.marks
    assert (before[mark[1], mark[0] : mark[2] + 1] == (0, 255, 0)).all()
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(InputError, match="not there any more"):
        review_picture(image)
