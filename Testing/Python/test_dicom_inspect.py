"""What `inspect` tells a physicist: everything that was decided, and by what."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pydicom
import pytest
from dce_volumes import TIMES, dce, files_below
from pydicom import Dataset
from vendor_variants import new_uid, save, vary, written

from breastpredict.cli import main
from breastpredict.dicom import index_folder, inspect_folder, inspect_text
from breastpredict.phantom import StudyHeader

NUMBER = {"type": ["number", "null"]}
TEXT = {"type": "string"}
STATED = {"type": "string", "minLength": 1}
CONTRACT = {
    "type": "object",
    "required": ["studies"],
    "properties": {
        "studies": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": "study_uid modality dce ultrasound slides rejected".split(),
                "properties": {
                    "study_uid": STATED,
                    "modality": STATED,
                    "ultrasound": {"type": "array"},
                    "slides": {"type": "array"},
                    "dce": {
                        "type": "array",
                        "items": {
                            "required": "laterality phases chosen reason key decisions".split(),
                            "properties": {
                                "laterality": {"enum": ["R", "L", "B", None]},
                                "chosen": {"type": ["integer", "null"]},
                                "reason": STATED,
                                "key": STATED,
                                "phases": {
                                    "minItems": 2,
                                    "items": {
                                        "required": "index time_s series_uid slices role".split(),
                                        "properties": {
                                            "index": {"type": "integer"},
                                            "time_s": NUMBER,
                                            "enhancement": NUMBER,
                                            "series_uid": STATED,
                                            "series_number": TEXT,
                                            "slices": {"type": "integer", "minimum": 1},
                                            "role": {"enum": ["pre", "post", "unknown"]},
                                        },
                                    },
                                },
                                "decisions": {
                                    "minItems": 5,
                                    "items": {
                                        "required": ["what", "by", "details"],
                                        "properties": {"what": STATED, "by": STATED},
                                    },
                                },
                            },
                        },
                    },
                    "rejected": {
                        "items": {
                            "required": ["series_uid", "reason", "files"],
                            "properties": {"reason": STATED, "files": {"minimum": 1}},
                        }
                    },
                },
            },
        }
    },
}

SETS: dict[str, tuple[list[tuple[int, str]], list[str]]] = {
    # name: phases and key of each acquisition; why the rest was left out
    "ge_multiphase": ([(10, "TemporalPositionIdentifier")], []),
    "philips_1903_classic": ([(3, "TemporalPositionIdentifier")] * 2, []),
    "siemens_xa60_enhanced": ([(3, "TemporalPositionIndex")], []),
    "siemens_mosaic": ([], ["a mosaic"]),
    "qiba_dro_q4_acqtime": ([(61, "AcquisitionTime")], ["a single slice"]),
    "enhanced_mr_test": ([], ["a single time point"]),
    "pydicom_data": (
        [],
        [
            "The tag PerFrameFunctionalGroupsSequence is missing",
            "a single slice",
            "derived or localizer (MPR)",
            "not an MR image (CT)",
        ],
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_every_real_set_is_grouped_as_its_manifest_says_or_refused_with_the_reason(
    shared: Path, name: str
) -> None:
    acquisitions, reasons = SETS[name]
    found = json.loads(
        json.dumps(inspect_folder(shared / "data" / "dicom_mr" / name), allow_nan=False)
    )
    jsonschema.validate(found, CONTRACT)
    dynamic = [dce for study in found["studies"] for dce in study["dce"]]
    assert [(len(dce["phases"]), dce["key"]) for dce in dynamic] == acquisitions
    rejected = {r["reason"] for study in found["studies"] for r in study["rejected"]}
    for reason in reasons:
        assert any(line.startswith(reason) for line in rejected), rejected
    assert len(rejected) == len(reasons)


@pytest.mark.parametrize("name", SETS)
def test_every_file_of_a_real_set_is_accounted_for(shared: Path, name: str) -> None:
    folder = shared / "data" / "dicom_mr" / name
    studies = index_folder(folder)
    used = {
        instance.path
        for study in studies
        for acquisition in study.dce
        for phase in acquisition.phases
        for instance in phase.instances
    }
    left = sum(r.files for study in studies for r in study.rejected)
    assert len(used) + left + studies[0].ignored_files == len(files_below(folder))


@pytest.mark.parametrize("name", SETS)
def test_the_text_holds_every_decision_and_no_identity(shared: Path, name: str) -> None:
    folder = shared / "data" / "dicom_mr" / name
    found = inspect_folder(folder)
    text = inspect_text(found)
    for study in found["studies"]:
        for one in study["dce"]:
            assert one["reason"] in text
            for decision in one["decisions"]:
                assert decision["what"] in text
                for finding in filter(None, decision["details"].values()):
                    assert finding in text
            for warning in one["warnings"]:
                assert f"note: {warning}" in text
        for rejected in study["rejected"]:
            assert rejected["reason"] in text
    identities = set()
    for file in files_below(folder):
        try:
            data = pydicom.dcmread(file, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        identities |= {str(data.get(k, "")) for k in ("PatientName", "PatientID")}
    words = re.sub(re.escape(str(folder)), "", text)
    for identity in identities:
        assert len(identity) < 5 or identity not in words


def test_the_text_reads_as_a_report(tmp_path: Path) -> None:
    """The whole of it, once; a change is to be read by people."""
    one = written(tmp_path, phases=dce(3), times_s=TIMES[:3])

    def tag(data: Dataset, p: int, k: int) -> None:
        data.TriggerTime = str(60000 * p)

    vary(one, tag)
    for p, file in enumerate(one.phases[1].files[:2]):
        data = pydicom.dcmread(file)
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        data.SOPInstanceUID, data.SeriesNumber = new_uid(p), 1 + p
        data.SeriesInstanceUID = new_uid("localizer", p)
        save(data, tmp_path / f"localizer{p}.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert inspect_text(inspect_folder(tmp_path)).splitlines() == [
        "Study 1: MR, SIEMENS, from a folder",
        "  DCE 1, left breast: 3 phases of 20 × 16 × 9, 0.9 × 1.3 × 2.6 mm, axial, told apart by "
        "AcquisitionTime",
        "    phase  series       time   signal  role     slices",
        "        1      10    -15.0 s      +0%  pre           9",
        "        2      11     75.0 s    +155%  post          9  <- early",
        "        3      12    165.0 s    +156%  post          9",
        "    times are counted from: injection",
        "    early phase: phase 2 (nearest to 90 s after injection): phase 2 is centred 75.0 s "
        "after injection, nearest to 90 s of 2 post-contrast phases",
        "    note: TriggerTime differs from AcquisitionTime by up to 60 s",
        "    why:",
        "      phases by AcquisitionTime (0008,0032)",
        "        series: one for each phase",
        "      times by AcquisitionTime (0008,0032)",
        "        AcquisitionTime (0008,0032): increases over 180.0 s",
        "        ContentTime (0008,0033): increases over 180.0 s",
        "        TriggerTime (0018,1060): increases over 120.0 s",
        "        SeriesTime (0008,0031): increases over 180.0 s",
        "        ContrastBolusStartTime (0018,1042): +60.0 s from the start of phase 1",
        "        counted from: injection",
        "        durations: the distance of phases in a row",
        "      roles by the signal: above +10% is post-contrast",
        "      laterality by Laterality (0020,0060)",
        "  left out: series 1, 2 (2 files): derived or localizer (LOCALIZER)",
        "Files that are not DICOM: 1",
        "Research use only. Not for diagnosis or treatment.",
    ]


def test_several_patients_in_a_folder_are_all_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        header = StudyHeader(patient_id=f"secret-{number}", patient_name=f"Secret^{number}")
        written(tmp_path / f"{number}", header=header)
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    shown = capsys.readouterr().out
    assert [len(study["dce"]) for study in json.loads(shown)["studies"]] == [1, 1]
    assert "secret" not in shown.lower()
    assert main(["inspect", str(tmp_path)]) == 0
    assert "Study 2" in capsys.readouterr().out
