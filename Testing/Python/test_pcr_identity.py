"""Nothing of the patient leaves with a pCR result, except where it must.

Where it must: the DICOM results join the patient's own study, so they carry the attributes that
DICOM says identify patient and study, and name the images they came from by UID. The tables
(predictions.csv, failures.csv and the hidden ledger they are written from) are the owner's and keep
the ``patient_id`` of his cohort table; failures.csv may name a file. That is all; pixels count too.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pcr_runs import (
    GATES_OF_A_STRANGER,
    PICTURE,
    PcrTrained,
    drawn_case,
    pictures_of,
    pixels_of,
)
from pydicom import Dataset
from slide_files import LABEL_COLOUR, SECRET, on_glass, write_dicom_slide, write_svs
from ultrasound_screens import written

from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import PcrCase, PcrModel
from breastpredict.study.batch import Limits
from breastpredict.study.pcr_batch import predict_pcr_case, run_pcr_batch

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

TABLE_ID = "TABLE-ID-0815"
FOLDER = "Beeblebrox Zaphod"
HEADER = {
    "PatientName": "Beeblebrox^Zaphod",
    "PatientID": "PID-4711",
    "PatientBirthDate": "19510829",
    "OtherPatientNames": "Zeemond^Ford",
    "PatientAddress": "Megadodo House 9",
    "AccessionNumber": "ACC-998877",
    "InstitutionName": "Magrathea Clinic",
    "InstitutionAddress": "Ursa Minor 42",
    "ReferringPhysicianName": "Halfrunt^Gag",
    "OperatorsName": "Vogon^Jeltz",
    "StationName": "MILLIWAYS-1",
    "DeviceSerialNumber": "SERIAL-5550123",
    "StudyDescription": "Mamma of Zaphod",
    "SeriesDescription": "links, Fr. Zaphod",
    "ImageComments": "told to Trillian",
    "StudyID": "STUDY-7654",
}
WORDS = (
    *("Zaphod", "Beeblebrox", "PID-4711", "19510829", "Zeemond", "Megadodo", "ACC-998877"),
    *("Magrathea", "Ursa Minor", "Halfrunt", "Jeltz", "MILLIWAYS", "5550123", "Trillian"),
    *("STUDY-7654", "1.2.3.4567", "20240131", "20240313", "101112", SECRET, TABLE_ID),
)
OF_PATIENT_AND_STUDY = {
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyID"),
    *("ReferringPhysicianName", "StudyDescription", "StudyDate", "StudyTime", "StudyInstanceUID"),
    *("SeriesInstanceUID", "ReferencedSOPInstanceUID", "FrameOfReferenceUID"),
    *("OtherPatientNames", "PatientAddress", "ContainerIdentifier"),
}
"""What a DICOM result may take over from its source: PS3.3 C.7.1.1, C.7.2.1, and references."""


def planted(folder: Path, slide: str, patient: str = TABLE_ID, burnt_in: str = "") -> PcrCase:
    """A patient whose name is in headers, in the slide's, in the paths and in the pixels.

    Args:
        slide: "dicom" or "svs".
        burnt_in: written over what stands around the scan on the screens.
    """
    home = folder / FOLDER / "PID-4711"
    home.mkdir(parents=True)
    case = drawn_case(home, patient=patient)
    picture = on_glass(600, 700, (40, 40, 640, 540))
    path = home / f"{FOLDER}.svs"
    if slide == "dicom":
        path = write_dicom_slide(home / "wsi", picture, (1, 4), mpp=2.0)[0]
        with pydicom.config.disable_value_validation():
            for file in (home / "wsi").iterdir():
                data = pydicom.dcmread(file)
                data.PatientID = HEADER["PatientID"]
                data.save_as(file)
    else:
        write_svs(path, picture, mpp=2.0)
    for source in (case.us0, case.us1):
        assert source is not None
        data = pydicom.dcmread(source.path)
        for keyword, value in HEADER.items():
            setattr(data, keyword, value)
        data.private_block(0x0029, "MAGRATHEA", create=True).add_new(1, "LO", "Zaphod")
        pixels = data.pixel_array.copy()
        if burnt_in:
            pixels[:28] = noise(burnt_in, (28, 400))  # where the name stands
            pixels[60:76, 42:62] = noise(burnt_in, (16, 20))  # and inside of the stated region
        data.PixelData = pixels.tobytes()
        data.save_as(source.path)
    return replace(case, pathology=path)


def noise(text: str, shape: tuple[int, int]) -> np.ndarray:
    """Sparse white on black, as writing is; another for each text."""
    random = np.random.default_rng(zlib.crc32(text.encode()))
    return np.where(random.uniform(size=shape) < 0.3, 235, 0).astype(np.uint8)


@dataclass(frozen=True)
class Left:
    """What was written: the results folder and what was said on the way."""

    out: Path
    said: str

    def files(self) -> Iterator[Path]:
        yield from (p for p in sorted(self.out.rglob("*")) if p.is_file())


OVERRIDES = GATES_OF_A_STRANGER


@pytest.fixture(scope="module")
def alone(pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """``predict`` of a patient with a slide in DICOM, and of one with an SVS, refused as well."""
    folder = tmp_path_factory.mktemp("alone")
    lines: list[str] = []
    for slide in ("dicom", "svs"):
        case = planted(folder / slide, slide)
        predict_pcr_case(
            replace(case, patient_id="" if slide == "svs" else TABLE_ID),
            pcr_model,
            folder / "out",
            override_gates=OVERRIDES,
            progress=lambda done, total, line: lines.append(line),
        )
    with pytest.raises(GateRefusal) as caught:
        predict_pcr_case(replace(case, patient_id="other"), pcr_model, folder / "out")
    lines.append(str(caught.value))
    return Left(folder / "out", "\n".join(lines))


@pytest.fixture(scope="module")
def batch(pcr_trained: PcrTrained, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """``batch`` of a good patient, one that a gate refuses, and one with a file that is gone."""
    folder = tmp_path_factory.mktemp("batch")
    lines: list[str] = []
    good = planted(folder, "svs")
    assert good.us0 is not None and good.us1 is not None
    refused = replace(good, patient_id="P2", us1=replace(good.us1, path=good.us0.path))
    gone = replace(good, patient_id="P3", pathology=folder / FOLDER / "absent.svs")
    done = run_pcr_batch(
        [good, refused, gone],
        pcr_trained.run,
        folder / "out",
        override_gates=OVERRIDES,
        progress=lambda done, total, line: lines.append(line),
        limits=Limits(workers=0),
    )
    assert (done.predicted, done.failed) == (1, 2)
    return Left(folder / "out", "\n".join(lines))


@pytest.fixture(params=["alone", "batch"])
def left(request: pytest.FixtureRequest) -> Left:
    found: Left = request.getfixturevalue(request.param)
    return found


# --- Words ---


def test_no_planted_word_is_in_any_byte_of_what_is_no_dicom_and_no_table(left: Left) -> None:
    kinds = set()
    for path in left.files():
        for word in WORDS:
            assert word.lower() not in path.relative_to(left.out).as_posix().lower()
        if path.suffix in (".dcm", ".csv") or path.name == ".ledger.sqlite":
            continue
        kinds.add(path.suffix)
        assert words_in(content_of(path)) == [], path.name
        for inner in pictures_of(path) if path.suffix in (".html", ".png") else ():
            assert not set(inner.info) - {"dpi"}  # nothing beside the pixels
        if path.suffix == ".nrrd":
            image = sitk.ReadImage(str(path))
            said = " ".join(image.GetMetaData(key) for key in image.GetMetaDataKeys())
            assert words_in(said.encode()) == []
    assert {".json", ".html", ".png", ".nrrd"} <= kinds


def content_of(path: Path) -> bytes:
    """Of a file; pictures in a page as they are: in base64 chance writes words, too."""
    content = path.read_bytes()
    if path.suffix != ".html":
        return content
    return PICTURE.sub(lambda found: base64.b64decode(found[1]), content)


def words_in(content: bytes) -> list[str]:
    """Planted words in bytes, in whatever case, as UTF-8 or UTF-16."""
    lower = content.lower()
    return [
        word
        for word in WORDS
        if word.lower().encode() in lower or word.lower().encode("utf-16-le") in lower
    ]


def test_the_tables_keep_the_owners_identifier_and_nothing_of_the_headers(left: Left) -> None:
    for path in left.files():
        if path.name in ("predictions.csv", ".ledger.sqlite", "failures.csv"):
            # A failure names the file that cannot be read: the owner must find it.
            own = {TABLE_ID} | (
                {"Zaphod", "Beeblebrox"} if path.name != "predictions.csv" else set()
            )
            assert set(words_in(path.read_bytes())) <= own, path.name
    assert TABLE_ID in (left.out / "predictions.csv").read_text()


def test_nothing_is_said_of_the_patient_on_the_way(left: Left) -> None:
    assert left.said and words_in(left.said.encode()) == []


def test_dicom_results_carry_identity_only_in_the_attributes_that_are_for_it(left: Left) -> None:
    results = [p for p in left.files() if p.suffix == ".dcm"]
    assert {p.name for p in results} >= {"report.dcm", "capture.dcm"}
    for path in results:
        data = pydicom.dcmread(path)
        assert str(data.PatientID) in ("PID-4711", SECRET)  # it is the patient's own
        for keyword, text in values_of(data):
            if words_in(text.encode()):
                assert keyword in OF_PATIENT_AND_STUDY, (path.name, keyword, text)
        assert TABLE_ID.encode() not in path.read_bytes()


def values_of(data: Dataset) -> Iterator[tuple[str, str]]:
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                yield from values_of(item)
        elif element.keyword != "PixelData":
            value = element.value
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            yield element.keyword or str(element.tag), text


def test_what_was_planted_would_be_found(tmp_path: Path) -> None:
    """Or the tests above would pass of themselves."""
    case = planted(tmp_path, "dicom")
    assert case.us0 is not None and case.pathology is not None
    content = case.us0.path.read_bytes() + case.pathology.read_bytes()
    assert set(WORDS) - set(words_in(content)) == {TABLE_ID, "20240313"}


def test_errors_name_the_file_and_nothing_from_inside_of_it(
    pcr_model: PcrModel, tmp_path: Path
) -> None:
    case = planted(tmp_path, "svs")
    assert case.us0 is not None and case.us1 is not None
    for wrong in (
        replace(case, us0=case.us1, us1=case.us0),
        replace(case, laterality="L"),
        replace(case, us1=case.us0),
    ):
        with pytest.raises(InputError) as caught:
            pcr_model.prepare(wrong)
        text = str(caught.value).replace(str(tmp_path / FOLDER / "PID-4711"), "")
        assert words_in(text.encode()) == []


# --- Pixels ---


def test_what_is_burnt_in_around_the_scan_changes_no_pixel_of_any_output(
    pcr_model: PcrModel, tmp_path: Path
) -> None:
    """Whatever is written there, the pictures are the same: so nothing of it can be in them."""
    seen = []
    for text in ("Zaphod", "Trillian"):
        case = planted(tmp_path / text, "svs", burnt_in=text)
        folder, _ = predict_pcr_case(
            case,
            pcr_model,
            tmp_path / "out" / text,
            variant="pcr_ultrasound",
            override_gates=OVERRIDES,
        )
        assert case.us0 is not None
        seen.append((pydicom.dcmread(case.us0.path).pixel_array, pixels_of(folder)))
    (one, first), (other, second) = seen
    assert (one != other).sum() > 1000
    assert len(first) == 1 + 1 + 2 * 4 + 4 and set(first) == set(second)
    for name in first:
        assert np.array_equal(first[name], second[name]), name


@pytest.mark.parametrize(("words", "stated"), [("", "NO"), ("ZAPHOD B", "YES")])
def test_where_writing_may_be_on_the_scan_the_capture_does_not_deny_it(
    words: str, stated: str, pcr_model: PcrModel, tmp_path: Path
) -> None:
    case = drawn_case(tmp_path)
    assert case.us1 is not None
    data = pydicom.dcmread(case.us1.path)
    data.PixelData = written(data.pixel_array, words, (210, 225), 18).tobytes()
    data.save_as(case.us1.path)
    folder, prediction = predict_pcr_case(
        case,
        pcr_model,
        tmp_path / "out",
        variant="pcr_ultrasound",
        override_gates=OVERRIDES,
        explain=(),
    )
    assert bool(prediction.prepared.rois["us1"].image.marks) == bool(words)
    assert pydicom.dcmread(folder / "capture.dcm").BurnedInAnnotation == stated


def test_the_slides_label_is_in_no_picture(left: Left) -> None:
    looked = 0
    for path in left.files():
        if path.name in ("overlay.png", "capture.dcm", "report.html"):
            for picture in pictures_of(path):
                far = np.abs(np.asarray(picture.convert("RGB"), int) - np.array(LABEL_COLOUR))
                assert (far.max(axis=-1) > 40).all(), path.name
                looked += 1
    assert looked >= 10
