"""The commands of the pCR system: bad input costs one clear line and exit code 2."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from cli_runs import Ended, command
from pcr_runs import PcrTrained, drawn_case, rows
from PIL import Image
from slide_files import on_glass, write_pyramid
from ultrasound_screens import dataset, rectangle, region, save, screen

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING

pytest.importorskip("torch")

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")

OVERRIDES = [w for g in ("stain", "spacing", "region-size") for w in ("--override-gate", g)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of one patient, in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("files")
    drawn_case(folder)
    return folder


@dataclass
class Asked:
    """``pcr predict`` of the patient with some words changed; nothing may be left if refused."""

    capfd: Capture
    files: Path
    run: Path
    out: Path

    def __call__(self, *more: str | Path, **change: str | Path | None) -> Ended:
        options: dict[str, str | Path | None] = {
            "us0": self.files / "us0.dcm",
            "us0_roi": "box:150,110,230,190",
            "us1": self.files / "us1.dcm",
            "us1_roi": "box:170,130,210,170",
            "pathology": self.files / "tissue.png",
            "subtype": "TN",
            "er": "negative",
            "ki67": "60",
            "regimen": "taxane+platinum",
            **change,
        }
        words: list[str | Path] = []
        for name, value in options.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", value]
        ended = command(
            self.capfd, "pcr", "predict", *words, "--model", self.run, "--out", self.out,
            "--explain", "none", *OVERRIDES, *more,
        )  # fmt: skip
        if ended.code == 2:
            assert not self.out.exists()
        return ended


@pytest.fixture
def asked(capfd: Capture, files: Path, pcr_trained: PcrTrained, tmp_path: Path) -> Asked:
    return Asked(capfd, files, pcr_trained.run, tmp_path / "out")


def refused(ended: Ended, *words: str | Path) -> None:
    """Wrong input: exit code 2 and one line that says what is wrong."""
    assert ended.code == 2, ended
    assert ended.line.startswith("breastpredict: error: ")
    for word in words:
        assert str(word).lower() in ended.line.lower(), ended.line
    assert ended.out == "" and "Traceback" not in ended.err


# --- A patient in whom nothing is wrong ---


def test_a_patient_of_options_is_predicted(asked: Asked) -> None:
    """Or the tests below would be refused for another reason than the one they plant."""
    ended = asked()
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("Complete response ") and "variant pcr_full" in lines[0]
    assert lines[1].startswith("Clinical variables only: ")
    assert RESEARCH_USE_ONLY in lines and SYNTHETIC_WARNING in lines
    assert (Path(lines[-1]) / "result.json").is_file()


def test_json_is_the_result_for_programs(asked: Asked) -> None:
    ended = asked("--json", pathology=None)
    result = json.loads(ended.out)
    assert ended.code == 0 and result["variant"] == "pcr_ultrasound"
    assert result["inputs"] == ["us0", "us1", "clinical"]


def test_a_patient_of_a_table_gives_what_the_batch_gives(
    capfd: Capture, pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    case = pcr_trained.fitted()[0]
    more = ("--model", pcr_trained.run, "--explain", "none")
    one = command(
        capfd, "pcr", "predict", pcr_trained.table, "--patient", case.patient_id,
        "--out", tmp_path / "one", *more,
    )  # fmt: skip
    assert (one.code, one.err) == (0, "")
    (row,) = rows(tmp_path / "one" / "predictions.csv")
    table = tmp_path / "COHORT.csv"
    head, *lines = pcr_trained.table.read_text().splitlines()
    mine = next(line for line in lines if line.startswith(case.patient_id))
    shutil.copytree(pcr_trained.table.parent, tmp_path, dirs_exist_ok=True)
    table.write_text(f"{head}\n{mine}\n")
    batch = command(
        capfd, "pcr", "batch", table, "--out", tmp_path / "many", "--workers", "0", *more, "--quiet"
    )
    assert batch.code == 0 and "1 predicted, 0 done already, 0 failed" in batch.out
    (other,) = rows(tmp_path / "many" / "predictions.csv")
    assert {k: v for k, v in row.items() if k != "case_key"} == {
        k: v for k, v in other.items() if k != "case_key"
    }
    again = command(
        capfd, "pcr", "batch", table, "--out", tmp_path / "many", "--workers", "0", *more, "--quiet"
    )
    assert "0 predicted, 1 done already" in again.out


def test_a_cohort_is_counted(capfd: Capture, pcr_trained: PcrTrained) -> None:
    ended = command(capfd, "pcr", "cohort", pcr_trained.table, "--json")
    counts = json.loads(ended.out)["cohorts"]
    assert counts["PHANTOM-A"]["patients"] == 32 and counts["PHANTOM-TC2"]["multifocal"] == 2
    assert counts["PHANTOM-A"]["pcr"] + counts["PHANTOM-A"]["no_pcr"] == 32


# --- The list of what goes wrong ---


def edited(source: Path, to: Path, **change: object) -> Path:
    data = pydicom.dcmread(source)
    for keyword, value in change.items():
        setattr(data, keyword, value)
    data.save_as(to)
    return to


def test_us1_before_us0(asked: Asked, files: Path) -> None:
    refused(asked(us0=files / "us1.dcm", us1=files / "us0.dcm"), "US-1 was taken 42 days before")


def test_another_side(asked: Asked, files: Path, tmp_path: Path) -> None:
    left = edited(files / "us1.dcm", tmp_path / "left.dcm", ImageLaterality="L")
    refused(asked(us1=left), "same breast", "US-0 says R", "US-1 says L")
    refused(asked(laterality="L"), "same breast", "the cohort table says L")


def test_another_patient(asked: Asked, files: Path, tmp_path: Path) -> None:
    other = edited(files / "us1.dcm", tmp_path / "other.dcm", PatientID="SECRET-9")
    ended = asked(us1=other)
    refused(ended, "different patients", "identifier differs")
    assert "SECRET-9" not in ended.err and "4711" not in ended.err


@pytest.mark.parametrize("roi", ["box:900,800,950,850", "point:-90,10,40", "point:5,5,90"])
def test_a_region_off_the_image(roi: str, asked: Asked, files: Path) -> None:
    refused(asked(us0_roi=roi), "lies off the image", files / "us0.dcm")


@pytest.mark.parametrize("roi", ["box:1,2,3", "point:a,b,c", "box:30,30,10,10", "", "absent.png"])
def test_a_region_that_is_none(roi: str, asked: Asked) -> None:
    refused(asked(us0_roi=roi))


def test_no_region_at_all(asked: Asked) -> None:
    refused(asked(us1_roi=None), "tumour", "us1")
    refused(asked(us0=None, us0_roi=None, us1_roi="us0"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("ki67", text) for text in ("140", "-1", "nan", "a lot")),
        *(("regimen", text) for text in ("TC", "tamoxifen")),
        *(("subtype", text) for text in ("luminal A", "HER2")),
        *(("er", text) for text in ("5", "101 %")),
    ],
)
def test_a_clinical_variable_that_is_none(name: str, value: str, asked: Asked) -> None:
    refused(asked(**{name: value}), f"{name} is '{value}'", "use ")


def test_a_slide_without_a_scale(asked: Asked, tmp_path: Path) -> None:
    slide = write_pyramid(tmp_path / "slide.tif", on_glass(600, 700, (40, 40, 640, 540)))
    refused(asked(pathology=slide), "no scale", "microns per pixel", slide)
    assert asked("--mpp", "2", pathology=slide).code == 0
    refused_region = Asked(asked.capfd, asked.files, asked.run, tmp_path / "other")
    refused(refused_region("--pathology-region", "1,2,3", pathology=slide), "1,2,3")
    refused(
        refused_region("--mpp", "2", "--pathology-region", "600,0,200,200", pathology=slide),
        "lies off the slide",
    )


def test_a_truncated_multi_frame_file(asked: Asked, tmp_path: Path) -> None:
    frames = np.stack([screen(rectangle(), seed) for seed in range(3)])
    data = dataset(frames, [region()], NumberOfFrames=3, StudyDate="20240131")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    data.StudyInstanceUID = "1.2.3.4567.30"
    path = save(data, tmp_path / "cine.dcm")
    path.write_bytes(path.read_bytes()[:-150_000])
    refused(asked("--us0-frame", "3", us0=path), path)
    refused(asked("--us0-frame", "9", us0=path), path)


def test_an_immunostain_is_a_refusal_with_a_reason_and_exit_code_1(
    asked: Asked, shared: Path
) -> None:
    ended = asked(pathology=shared / "data" / "he" / "skimage" / "ihc.png")
    assert ended.code == 1 and ended.out == ""
    assert "pathology" in ended.line and "no H&E" in ended.line
    (failure,) = rows(asked.out / "failures.csv")
    assert failure["stage"] == "gate pathology" and "no H&E" in failure["reason"]
    assert not (asked.out / "predictions.csv").exists()


def test_files_that_are_not_there_or_are_none(asked: Asked, tmp_path: Path) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("no image")
    for name in ("us0", "us1", "pathology"):
        refused(asked(**{name: tmp_path / "absent.dcm"}), tmp_path / "absent.dcm")
        refused(asked(**{name: text}), text)


def test_what_the_run_has_no_variant_for(asked: Asked) -> None:
    refused(asked(us1=None, us1_roi=None), "No variant of the model was trained", "US-0")
    refused(asked(ki67=None), "not known: ki67")
    refused(asked("--variant", "pcr_magic"), "no variant 'pcr_magic'", "pcr_full")
    refused(asked("--override-gate", "no-tumour"), "cannot be overridden")
    refused(asked("--override-gate", "x"), "There is no gate 'x'")


def test_a_run_of_the_other_system_or_none(
    capfd: Capture, files: Path, pcr_trained: PcrTrained, tiny_run: Path, tmp_path: Path
) -> None:
    for run in (tiny_run, tmp_path / "absent", files):
        refused(Asked(capfd, files, run, tmp_path / "out")())
    table = tmp_path / "COHORT.csv"
    table.write_text(pcr_trained.table.read_text())  # without its files
    for words in (
        ("pcr", "batch", table, "--model", pcr_trained.run, "--out", tmp_path / "out"),
        ("pcr", "train", table, "--out", tmp_path / "run"),
        ("pcr", "cohort", tmp_path / "absent.csv"),
        ("pcr", "predict", pcr_trained.table, "--model", pcr_trained.run, "--out", tmp_path / "o"),
        (
            "pcr", "recalibrate", pcr_trained.table, "--model", pcr_trained.run,
            "--cohort", "PHANTOM-A", "--out", tmp_path / "new",
        ),
    ):  # fmt: skip
        ended = command(capfd, *words)
        assert ended.code == 2 and ended.out == "" and "Traceback" not in ended.err
        assert all(line.startswith("breastpredict: ") for line in ended.err.splitlines()[:1])
    assert not {p.name for p in tmp_path.iterdir()} & {"out", "run", "o", "new"}


def test_a_picture_without_a_tumour(asked: Asked, tmp_path: Path) -> None:
    Image.new("L", (400, 300)).save(tmp_path / "mask.png")
    ended = asked(us0_roi=str(tmp_path / "mask.png"))
    assert ended.code == 1 and "no-tumour" in ended.line
