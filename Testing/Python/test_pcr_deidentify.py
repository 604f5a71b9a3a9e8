"""``pcr deidentify``: what leaves is a cohort again, and tells nothing of its patients."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_results import errors_of
from pcr_runs import PcrTrained, rows

from breastpredict.cli import main
from breastpredict.pcr import prepare_pcr
from breastpredict.study import read_pcr_cohort

Capture = pytest.CaptureFixture[str]
NEEDS = ("pathology", "us0", "us1", "clinical")
PATIENTS = 5


@pytest.fixture(scope="module")
def table(pcr_trained: PcrTrained) -> Path:
    """Some patients of the phantom with research identifiers of their own.

    With boxes, masks, a tumour that is gone, every slide format.
    """
    found = rows(pcr_trained.table)
    gone = [row for row in found if row["us1_roi"] == "us0"]
    chosen = [*gone[:1], *(row for row in found if row not in gone[:1])][:PATIENTS]
    path = pcr_trained.table.with_name("RESEARCH.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*chosen[0], "research_id"])
        writer.writeheader()
        writer.writerows({**row, "research_id": f"R-{n:02d}"} for n, row in enumerate(chosen))
    return path


@pytest.fixture(scope="module")
def left(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that leaves; the review's pictures and the key lie beside it."""
    folder = tmp_path_factory.mktemp("leaves")
    words = ["pcr", "deidentify", str(table), "--out", str(folder / "out"), "--quiet"]
    code = main([*words, "--review", str(folder / "review"), "--key", str(folder / "key")])
    assert code == 0
    return folder / "out"


def test_the_network_sees_of_the_new_cohort_what_it_saw_of_the_old(table: Path, left: Path) -> None:
    before, after = read_pcr_cohort(table), read_pcr_cohort(left / "COHORT.csv")
    assert [case.patient_id for case in after] == [f"R-{n:02d}" for n in range(PATIENTS)]
    for old, new in zip(before, after, strict=True):
        one = prepare_pcr(old, needs=NEEDS, image_size=64)
        other = prepare_pcr(new, needs=NEEDS, image_size=64)
        for name in ("us0", "us1", "clinical"):
            assert np.allclose(one.inputs[name], other.inputs[name], atol=1e-5), name
        assert one.pair is not None and other.pair is not None
        assert one.pair.interval_weeks == other.pair.interval_weeks  # dates are shifted together
        # The same pixels, made smaller here and read from the slide's smaller level there.
        difference = one.inputs["pathology"].astype(float) - other.inputs["pathology"]
        moved = one.inputs["pathology"].astype(float) - np.roll(other.inputs["pathology"], 1, 3)
        assert np.abs(difference).mean() < 0.6 * np.abs(moved).mean()


def test_nothing_of_the_patients_is_left_in_any_file(
    table: Path, left: Path, dciodvfy: str
) -> None:
    words: set[str] = set()
    for case in read_pcr_cohort(table):
        words.add(case.patient_id)
        for one in (case.us0, case.us1):
            assert one is not None
            header = pydicom.dcmread(one.path, stop_before_pixels=True)
            for keyword in (
                *("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
                *("SOPInstanceUID", "AccessionNumber", "StudyDate", "InstitutionName"),
            ):
                if value := str(header.get(keyword) or ""):
                    words.add(value)
    assert len(words) > 4 * PATIENTS
    files = [path for path in left.rglob("*") if path.is_file()]
    assert len(files) > 3 * PATIENTS
    for path in files:
        content = path.read_bytes()
        for word in words:
            assert word.encode() not in content, (path.name, word)
            assert word not in str(path.relative_to(left))
    for path in left.glob("us/*.dcm"):
        assert errors_of(dciodvfy, path) == []
        data = pydicom.dcmread(path)
        assert data.PatientIdentityRemoved == "YES"
        claims = [code.CodeValue for code in data.DeidentificationMethodCodeSequence]
        # What is claimed of the pixels is what BurnedInAnnotation says.
        assert (data.BurnedInAnnotation == "NO") == ("113101" in claims)


def test_the_pictures_for_the_review_and_the_key_stay_with_the_user(left: Path) -> None:
    assert len(list(left.parent.glob("review/*.png"))) == 2 * PATIENTS
    assert stat.S_IMODE((left.parent / "key").stat().st_mode) == 0o600


def test_one_key_gives_the_same_identifiers_again_and_another_does_not(
    table: Path, left: Path, tmp_path: Path
) -> None:
    def uids(folder: Path) -> list[str]:
        return [
            pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID
            for path in sorted(folder.glob("us/*.dcm"))
        ]

    words = ["pcr", "deidentify", str(table), "--quiet", "--drop-dates"]
    key = left.parent / "key"
    assert main([*words, "--out", str(tmp_path / "same"), "--key", str(key)]) == 0
    assert main([*words, "--out", str(tmp_path / "other")]) == 0
    assert uids(tmp_path / "same") == uids(left)
    assert not set(uids(tmp_path / "other")) & set(uids(left))
    one = pydicom.dcmread(next((tmp_path / "other").glob("us/*.dcm")))
    assert not one.StudyDate and one.LongitudinalTemporalInformationModified == "REMOVED"


def test_what_a_person_found_clean_says_so(table: Path, tmp_path: Path) -> None:
    reviewed = tmp_path / "clean.txt"
    reviewed.write_text("\n".join(f"R-{n:02d}" for n in range(PATIENTS)))
    words = ["pcr", "deidentify", str(table), "--quiet", "--reviewed", str(reviewed)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    found = [pydicom.dcmread(p).BurnedInAnnotation for p in tmp_path.glob("out/us/*.dcm")]
    assert set(found) == {"NO"}


def test_the_patient_s_own_identifier_is_no_research_identifier(
    pcr_trained: PcrTrained, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert main(["pcr", "deidentify", str(pcr_trained.table), "--out", str(out), "--quiet"]) == 1
    assert "research identifier identifies the patient" in capsys.readouterr().out
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["COHORT.csv"]
    assert rows(out / "COHORT.csv") == []


@pytest.mark.parametrize("where", ["review inside", "not empty", "no key"])
def test_bad_places_are_refused_in_one_line(
    where: str, table: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    words = ["pcr", "deidentify", str(table), "--out", str(out), "--quiet"]
    if where == "review inside":
        words += ["--review", str(out / "review")]
    elif where == "not empty":
        out.mkdir()
        (out / "file").touch()
    else:
        (tmp_path / "key").write_text("no key")
        words += ["--key", str(tmp_path / "key")]
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
