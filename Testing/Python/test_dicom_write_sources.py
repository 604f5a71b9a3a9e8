"""Sources with odd headers give valid objects that carry no more of them than patient and study."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from dce_volumes import files_below
from dicom_results import (
    OBJECTS,
    PROVENANCE,
    edit,
    errors_of,
    inconsistencies,
    read_phase,
    read_report,
    source_study,
    write_all,
)
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from breastpredict.dicom import (
    Written,
)

BOTH = pytest.mark.parametrize("layout", ["siemens", "enhanced"])


@dataclass(frozen=True)
class Edited:
    """A study whose headers were edited, and the objects written for it."""

    source: Path
    out: Path
    written: dict[str, Written]

    def object(self, name: str) -> Dataset:
        return pydicom.dcmread(self.written[name].path)


def edited(folder: Path, layout: str, change: Callable[[Dataset], None]) -> Edited:
    source_study(folder / "source", layout)
    edit(folder / "source", change)
    written, _, _ = write_all(read_phase(folder / "source"), folder / "out")
    return Edited(folder / "source", folder / "out", written)


def code(meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "MR1", "99LOCAL", meaning
    return item


def put_names(
    alphabet: list[str], name: str, description: str, meaning: str
) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data.SpecificCharacterSet = alphabet
        data.PatientName = name
        data.StudyDescription = description
        data.ReferringPhysicianName = name
        data.ProcedureCodeSequence = [code(meaning)]

    return change


@BOTH
@pytest.mark.parametrize(
    ("alphabet", "name", "description", "meaning"),
    [
        (["ISO_IR 192"], "Müllerová^Žofie^^Dr.", "乳房MRI ö β", "Груди"),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "乳房MRI",
            "乳房の検査",
        ),
        (["ISO_IR 100"], "Åström^Zoë", "Brust-MRT, Größe", "Brüste"),
        (["ISO_IR 192"], "TCGA-AO-A03M", "one component", "no caret"),
    ],
    ids=["utf-8", "japanese", "latin-1", "one component"],
)
def test_names_in_any_alphabet_come_out_as_they_went_in(
    tmp_path: Path,
    dciodvfy: str,
    caplog: pytest.LogCaptureFixture,
    layout: str,
    alphabet: list[str],
    name: str,
    description: str,
    meaning: str,
) -> None:
    source_study(tmp_path / "source", layout)
    edit(tmp_path / "source", put_names(alphabet, name, description, meaning))
    phase = read_phase(tmp_path / "source")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        written, _, _ = write_all(phase, tmp_path / "out")
    shown = " ".join([*(str(warning.message) for warning in said), caplog.text])
    assert name.split("^")[0] not in shown  # names are in no warning and in no log
    for key in OBJECTS:
        path = written[key].path
        assert errors_of(dciodvfy, path) == [], key
        content = path.read_bytes()
        for text in (*name.split("="), description, meaning):
            assert text.encode("utf-8") in content, (key, text)
        data = pydicom.dcmread(path)
        assert data.SpecificCharacterSet == "ISO_IR 192"
        assert (str(data.PatientName), data.StudyDescription) == (name, description)
        assert str(data.ReferringPhysicianName) == name
        assert data.ProcedureCodeSequence[0].CodeMeaning == meaning
    report = read_report(written["report"].path, tmp_path)
    said_of_gate = [e["conceptValue"] for e in report["Measurements"][0]["qualitativeEvaluations"]]
    assert PROVENANCE.overrides[0] in said_of_gate  # its "mm²" too


@BOTH
def test_what_a_source_does_not_say_is_empty(tmp_path: Path, dciodvfy: str, layout: str) -> None:
    missing = (
        "StudyID AccessionNumber StudyDescription ReferringPhysicianName StudyDate StudyTime "
        "PatientName PatientBirthDate PatientSex PatientAge Manufacturer PositionReferenceIndicator"
    ).split()

    def change(data: Dataset) -> None:
        for keyword in missing:
            if keyword in data:
                delattr(data, keyword)

    found = edited(tmp_path, layout, change)
    for name in OBJECTS:
        assert errors_of(dciodvfy, found.written[name].path) == [], name
        data = found.object(name)
        assert data.PatientID == "PHANTOM-0001"
        for keyword in missing:
            if keyword != "Manufacturer":
                assert not data.get(keyword), (name, keyword)
        assert "StudyDescription" not in data and "PatientAge" not in data


@BOTH
def test_study_level_attributes_are_the_sources(tmp_path: Path, dciodvfy: str, layout: str) -> None:
    values = {
        "AccessionNumber": "ACC-2024/17",
        "StudyID": "S 42",
        "StudyDescription": "x" * 64,
        "PatientSize": "1.68",
        "PatientWeight": "60.5",
        "PatientComments": "second reading",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "by hand",
        "LongitudinalTemporalInformationModified": "MODIFIED",
        "PatientAge": "050Y",
        "ClinicalTrialSubjectID": "T-7",
        "ClinicalTrialProtocolID": "P-1",
        "ClinicalTrialSponsorName": "Sponsor",
    }

    def change(data: Dataset) -> None:
        for keyword, value in values.items():
            setattr(data, keyword, value)

    found = edited(tmp_path, layout, change)
    assert inconsistencies(dciodvfy, found.source, found.out) == []
    source = pydicom.dcmread(files_below(found.source)[0])
    for name in OBJECTS:
        data = found.object(name)
        for keyword in values:
            assert data[keyword].value == source[keyword].value, (name, keyword)


@BOTH
def test_what_breaks_the_standard_is_not_passed_on_but_for_identifiers(
    tmp_path: Path, dciodvfy: str, layout: str
) -> None:
    def change(data: Dataset) -> None:
        data.StudyDescription = "MRT der Brust " * 9
        data.PatientSex = "FEMALE"
        data.PatientAge = "50"
        data.PatientBirthDate = "1970/01/02"
        data.StudyTime = "9:30"
        for keyword, vr, value in (
            ("PatientWeight", "DS", b"60,5"),
            ("PregnancyStatus", "US", b"3"),
        ):
            tag = Tag(keyword)  # raw, as pydicom makes no number of it
            data[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)

    found = edited(tmp_path, layout, change)
    for name in OBJECTS:
        assert errors_of(dciodvfy, found.written[name].path) == [], name
        data = found.object(name)
        assert data.StudyDescription == ("MRT der Brust " * 9)[:64].rstrip()
        assert not data.PatientSex and not data.PatientBirthDate and not data.StudyTime
        assert not {"PatientAge", "PatientWeight", "PregnancyStatus"} & set(data.dir())
    # Cut, an accession number would be another one; and no log shows an identifier.
    values = {"AccessionNumber": "A" * 20, "StudyInstanceUID": "1.2.0003.4"}
    edit(found.source, lambda data: [setattr(data, *item) for item in values.items()])
    phase = read_phase(found.source)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        written, _, _ = write_all(phase, tmp_path / "again")
    assert not [str(warning.message) for warning in said]
    for name in OBJECTS:
        with pydicom.config.disable_value_validation():
            data = pydicom.dcmread(written[name].path)
            assert {keyword: data[keyword].value for keyword in values} == values


@BOTH
def test_nothing_but_patient_and_study_is_carried_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    mark = "CARRIEDOVER"
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, mark)

    def change(data: Dataset) -> None:
        for keyword in (
            "InstitutionName InstitutionAddress InstitutionalDepartmentName StationName "
            "DeviceSerialNumber ProtocolName SeriesDescription RequestedProcedureDescription "
            "PatientInstitutionResidence CurrentPatientLocation ImageComments "
            "PerformedProcedureStepDescription RequestedProcedureID"
        ).split():
            setattr(data, keyword, f"{mark} x"[:16])
        for keyword in (
            "OperatorsName PerformingPhysicianName RequestingPhysician ContentCreatorName"
        ).split():
            setattr(data, keyword, f"{mark}^x")
        block = data.private_block(0x0011, "VENDOR 1.0", create=True)
        block.add_new(0x01, "LO", mark)
        item = code("a procedure")
        item.private_block(0x0011, "VENDOR 1.0", create=True).add_new(0x01, "LO", mark)
        data.ProcedureCodeSequence = [item]

    found = edited(tmp_path, layout, change)
    for name in OBJECTS:
        content = found.written[name].path.read_bytes()
        assert mark.encode() not in content, name
        assert b"VENDOR 1.0" not in content, name
        assert str(tmp_path).encode() not in content and tmp_path.name.encode() not in content
        if len(host := socket.gethostname()) > 6:
            assert host.encode() not in content, name
        assert b"a procedure" in content  # which shows that the marked item was copied


@BOTH
def test_lossy_sources_without_their_ratio_are_written(tmp_path: Path, layout: str) -> None:
    found = edited(tmp_path, layout, lambda data: setattr(data, "LossyImageCompression", "01"))
    for name in ("segmentation", "attention"):
        assert found.object(name).LossyImageCompression == "01"
