"""The folder of results a case gets (design §4): whole, marked, and without identifiers."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import resource
import shutil
import stat
import string
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from browser import below_whole_banners, browse
from cli_runs import (
    LESION,
    SECRET_ID,
    SECRET_NAME,
    command,
    make_mask,
    make_study,
    phase_files,
    truncate,
)
from dce_volumes import files_below
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import fftconvolve

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli import main
from breastpredict.study import Results

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")

FILES = {
    "result.json", "segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm", "overlay.png",
    "report.html",
}  # fmt: skip
Slices = tuple[slice, slice, slice]
SMALL = (slice(4, 5), slice(18, 20), slice(22, 24))
"""A lesion too small for the gate."""


@dataclass(frozen=True)
class Case:
    """A case that was run: its input, the results folder, and its folder in there."""

    study: Path
    mask: Path
    out: Path
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds."""
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text("utf-8"))
        return found

    @property
    def page(self) -> str:
        """report.html as it is written."""
        return (self.folder / "report.html").read_text("utf-8")


def run(root: Path, model: Path, *more: str, lesion: Slices = LESION) -> Case:
    """A case below ``root``, whose paths hold the patient's name, through the command line."""
    study = root / SECRET_NAME / "study"
    if not study.exists():
        make_study(study)
        # A slice that is not needed is damaged: a warning that names its file comes with the case.
        truncate(phase_files(study, 3)[2])
    mask = make_mask(root / SECRET_NAME / "mask.nrrd", study, lesion)
    out = root / "out"
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        code = main([*arguments(study, mask, model, out), *more])
    assert code in (0, 1), errors.getvalue()
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return Case(study, mask, out, folder)


def arguments(study: Path, mask: Path, model: Path, out: Path) -> list[str]:
    """Of ``her2 predict``."""
    given = (study, "--segmentation", mask, "--model", model, "--out", out)
    return ["her2", "predict", *map(str, given)]


@pytest.fixture(scope="module")
def patient_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same networks, as if they had been trained on patients."""
    folder = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("patients") / "run"))
    for path in folder.glob("*/configs/metadata.json"):
        metadata = json.loads(path.read_text())
        metadata["breastpredict"]["synthetic"] = False
        path.write_text(json.dumps(metadata))
    return folder


@pytest.fixture(scope="module")
def predicted(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """To look at, not to change."""
    return run(tmp_path_factory.mktemp("predicted"), tiny_run)


@pytest.fixture(scope="module")
def refused(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """To look at, not to change."""
    return run(tmp_path_factory.mktemp("refused"), tiny_run, lesion=SMALL)


@pytest.fixture(scope="module")
def overridden(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """To look at, not to change."""
    root = tmp_path_factory.mktemp("overridden")
    return run(root, tiny_run, "--override-gate", "tumour-size", lesion=SMALL)


@pytest.fixture
def fresh(tmp_path: Path, tiny_run: Path) -> Case:
    """A predicted case below ``tmp_path``."""
    return run(tmp_path, tiny_run)


def words_of(page: str) -> str:
    """What a reader reads of a page."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.words: list[str] = []
            self.inside: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.inside.append(tag)

        def handle_endtag(self, tag: str) -> None:
            self.inside.append("")

        def handle_data(self, data: str) -> None:
            if self.inside[-1:] != ["style"]:
                self.words.append(data)

    reader = Reader()
    reader.feed(page)
    return " ".join(" ".join(reader.words).split())


def sr_texts(path: Path) -> tuple[list[str], int]:
    """Every text of a structured report, and how many numbers it holds."""
    texts, numbers = [], 0
    waiting = [pydicom.dcmread(path)]
    while waiting:
        item = waiting.pop()
        texts += [str(item.TextValue)] if "TextValue" in item else []
        numbers += item.get("ValueType") == "NUM"
        waiting += list(item.get("ContentSequence", []))
    return texts, numbers


def shows(picture: NDArray[np.uint8], words: str) -> bool:
    """Whether the pixels hold these words in bright letters of the default font, in any size."""
    lit = (picture.max(axis=2) > 60).astype(float)
    for size in range(12, 40):
        page = Image.new("L", (picture.shape[1], 2 * size))
        ImageDraw.Draw(page).text(
            (0, size // 2), words, fill=210, font=ImageFont.load_default(size)
        )
        glyphs = np.asarray(page) > 50
        rows, columns = (np.flatnonzero(glyphs.any(axis=axis)) for axis in (1, 0))
        glyphs = glyphs[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float)
        if glyphs.shape[1] >= picture.shape[1]:
            return False
        agree = fftconvolve(lit, glyphs[::-1, ::-1], "valid")
        beside = fftconvolve(lit, np.ones_like(glyphs), "valid") - agree
        if np.any((agree > 0.97 * glyphs.sum()) & (beside < 0.05 * glyphs.sum())):
            return True
    return False


def pngs_of(page: str) -> list[bytes]:
    """The pictures in a page, as files."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [base64.b64decode(data) for data in found]


def pictures_of(page: str) -> list[NDArray[np.uint8]]:
    """The pictures in a page, as pixels."""
    return [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs_of(page)]


# --- What is there ---


def test_every_file_is_there_and_readable_by_others(predicted: Case) -> None:
    assert {path.name for path in predicted.folder.iterdir()} == FILES
    assert sorted(path.name for path in predicted.out.iterdir()) == sorted(
        [".ledger.sqlite", ".lock", ".salt", "predictions.csv", predicted.folder.name]
    )
    assert stat.S_IMODE((predicted.out / ".salt").stat().st_mode) == 0o600
    for path in (predicted.folder, *predicted.folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_result_json_holds_what_the_contract_says(predicted: Case, tiny_run: Path) -> None:
    result = predicted.result
    assert result["status"] == "predicted"
    assert list(result["probabilities"]) == ["zero", "low", "positive"]
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-12)
    assert result["predicted_class"] in result["probabilities"]
    assert [(s["task"], s["points_to"], s["threshold"]) for s in result["scores"]] == [
        ("her2_zero_vs_rest", "low_or_positive", 0.4),
        ("her2_low_vs_positive", "low", 0.4),
    ]
    first, second = (s["score"] for s in result["scores"])
    assert result["probabilities"]["zero"] == pytest.approx(1 - first, abs=1e-12)
    assert result["probabilities"]["low"] == pytest.approx(first * second, abs=1e-12)
    assert [(p["index"], p["role"], p["slices"]) for p in result["phases"]] == [
        (1, "pre", 9), (2, "post", 9), (3, "post", 9),
    ]  # fmt: skip
    assert result["phase"] == 2 and "90 s" in result["phase_reason"]
    assert result["area_mm2"] == pytest.approx(12 * 14 * 0.9 * 1.3, rel=1e-6)
    assert result["volume_mm3"] == pytest.approx(3 * 12 * 14 * 0.9 * 1.3 * 2.6, rel=1e-6)
    assert result["slice_index"] in (3, 4, 5)
    assert result["outlined_by"] == "mask"
    for task, digest in result["weights_sha256"].items():
        weights = (tiny_run / task / "models" / "model.safetensors").read_bytes()
        assert digest == hashlib.sha256(weights).hexdigest()
    assert {"numpy", "torch", "pydicom", "highdicom"} <= set(result["versions"])
    assert result["note"] == RESEARCH_USE_ONLY
    (row,) = Results(predicted.out).predictions()
    assert row["case_key"] == predicted.folder.name
    for name, value in result["probabilities"].items():
        assert float(row[f"p_{name}"]) == value


@pytest.mark.parametrize("method", ["attention", "evidence", "rollout", "none"])
def test_the_map_that_was_asked_for(tmp_path: Path, tiny_run: Path, method: str) -> None:
    case = run(tmp_path, tiny_run, "--explain", method)
    expected = FILES - ({"heatmap.dcm"} if method == "none" else set())
    assert {path.name for path in case.folder.iterdir()} == expected
    found = case.result["map"]
    assert found is None if method == "none" else found["method"] == method
    assert len(pictures_of(case.page)) == (2 if method == "none" else 3)
    assert ("class-agnostic" in words_of(case.page)) == (method in ("attention", "rollout"))


# --- No identifiers ---


def test_no_identifier_and_no_path_leaves_with_the_results(predicted: Case, refused: Case) -> None:
    """DICOM objects belong to the patient and say so; everything else is anonymous."""
    secrets = {SECRET_ID, *SECRET_NAME.split("^"), str(predicted.study.parent)}
    for file in files_below(predicted.study):
        data = pydicom.dcmread(file, stop_before_pixels=True)
        secrets |= {str(element.value) for element in data if element.VR == "UI"}
        secrets.add(file.name)
    secrets -= {"1.2.840.10008.5.1.4.1.1.4"}  # the SOP class is nobody's
    assert len(secrets) > 40  # an identifier for each of 27 slices, and more
    for case in (predicted, refused):
        assert re.fullmatch(r"[0-9a-f]{16}", case.folder.name)
        for path in case.out.rglob("*"):
            content = path.name
            if path.suffix in (".json", ".html", ".csv"):
                # Not in the pictures' base64, in which any four letters turn up.
                content += re.sub(r"base64,[^\"]+", "", path.read_text("utf-8"))
            assert not [secret for secret in secrets if secret.lower() in content.lower()]
    assert "slice 2 of phase 3" in words_of(predicted.page)  # the warning is there all the same
    assert "slice 2 of phase 3" in " ".join(predicted.result["warnings"])
    for png in (*pngs_of(predicted.page), (predicted.folder / "overlay.png").read_bytes()):
        assert not Image.open(io.BytesIO(png)).info


def test_the_case_key_is_salted_by_its_folder(tmp_path: Path, tiny_run: Path, fresh: Case) -> None:
    again = run(tmp_path, tiny_run)
    assert again.folder == fresh.folder  # the same case in the same folder
    elsewhere = Path(shutil.move(fresh.out, tmp_path / "elsewhere"))
    other = run(tmp_path, tiny_run)
    assert other.folder.name != fresh.folder.name
    names = {key for out in (elsewhere, other.out) for key in os.listdir(out)}
    plain = {
        hashlib.new(kind, text.encode()).hexdigest()[:16]
        for kind in ("md5", "sha1", "sha256", "blake2b")
        for text in (SECRET_ID, str(fresh.study), f"folder\0{fresh.study}")
    }
    assert not names & plain


def test_a_damaged_salt_is_refused_not_replaced(
    capfd: Capture, fresh: Case, tiny_run: Path
) -> None:
    """With another salt every case would get a second key."""
    salt = fresh.out / ".salt"
    for content in (b"", b"00", b"no salt", b"\xe9"):
        salt.write_bytes(content)
        ended = command(capfd, *arguments(fresh.study, fresh.mask, tiny_run, fresh.out))
        assert ended.code == 2 and str(salt) in ended.line
        assert salt.read_bytes() == content


# --- Whole or not at all ---


@contextmanager
def disk_that_takes(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: a real error in the middle of writing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files_below(folder)
        if path.name not in (".salt", ".lock", ".ledger.sqlite")
    }


def test_where_writing_fails_midway_the_old_result_stays_as_it_was(
    capfd: Capture, fresh: Case, tiny_run: Path
) -> None:
    before = contents(fresh.out)
    assert len(before[f"{fresh.folder.name}/capture.dcm"]) > 1_000_000
    new = fresh.out.parent / "new"
    with disk_that_takes(500_000):  # the capture, written after SEG, SR and PM, is larger
        for out in (fresh.out, new):
            ended = command(capfd, *arguments(fresh.study, fresh.mask, tiny_run, out))
            assert (ended.code, ended.out) == (2, "")
            assert "File too large" in ended.line and "capture.dcm" in ended.line
    assert contents(fresh.out) == before
    assert contents(new) == {}
    for out in (fresh.out, new):
        assert not list(out.glob(".part-*"))


def test_what_a_killed_run_left_of_a_case_is_cleared(
    tmp_path: Path, tiny_run: Path, fresh: Case
) -> None:
    left = fresh.out / f".part-{fresh.folder.name}-abc"
    left.mkdir()
    (left / "segmentation.dcm").write_bytes(b"half")
    run(tmp_path, tiny_run)
    assert not list(fresh.out.glob(".part-*"))


# --- Strings from outside ---

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


def test_a_hostile_name_is_shown_as_text(capfd: Capture, tmp_path: Path, tiny_run: Path) -> None:
    """The name of an empty segment stands in the reason of the refusal."""
    study = make_study(tmp_path / "study")
    mask = sitk.ReadImage(str(make_mask(tmp_path / "empty.nrrd", study, None)))
    for name, value in {"ID": "s", "Name": HOSTILE, "LabelValue": "1", "Layer": "0"}.items():
        mask.SetMetaData(f"Segment0_{name}", value)
    sitk.WriteImage(mask, str(tmp_path / "tumour.seg.nrrd"))
    given = arguments(study, tmp_path / "tumour.seg.nrrd", tiny_run, tmp_path / "out")
    ended = command(capfd, *given)
    assert ended.code == 1 and HOSTILE in ended.line
    (page,) = (path.read_text("utf-8") for path in (tmp_path / "out").glob("*/report.html"))
    assert "<script" not in page and "<img" not in page and "onerror=alert(1)>" not in page
    assert f"({HOSTILE})" in words_of(page)


def test_a_formula_in_the_cohort_is_disarmed_and_comes_back_as_it_was(tmp_path: Path) -> None:
    results = Results(tmp_path)
    names = ["=1+1", "+x", "-x", "@x", "\t=1", "\r=1", "＝1", "'=1", "''", "-1.5", "O'Neil"]
    for number, name in enumerate(names):
        results.predicted(f"{number:016x}", {"patient_id": name, "cohort": "A"})
        results.failed(f"{number + 99:016x}", {"patient_id": name, "reason": f'{name},\n"{name}"'})
    assert [row["patient_id"] for row in results.predictions()] == names
    assert [row["patient_id"] for row in results.failures()] == names
    assert results.failures()[0]["reason"] == '=1+1,\n"=1+1"'
    for table in ("predictions.csv", "failures.csv"):
        with open(tmp_path / table, encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [c for c in cells if c[:1] in set("=+@\t\r＝") or (c[:1] == "-" and c != "-1.5")]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.text(
                st.characters(codec="utf-8") | st.sampled_from("=+-@'\"\t\r\n,;＝0"), max_size=8
            ),
            st.text(string.printable, max_size=8),
        ),
        max_size=5,
    )
)
def test_any_text_survives_the_tables(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    results = Results(folder)
    for number, (patient, cohort) in enumerate(rows):
        results.predicted(f"{number:016x}", {"patient_id": patient, "cohort": cohort})
    for number in range(len(rows)):  # every rewriting keeps them
        results.failed("f" * 16, {"reason": str(number)})
    found = [(row["patient_id"], row["cohort"]) for row in Results(folder).predictions()]
    assert found == rows
    shutil.rmtree(folder)


def test_a_file_name_that_is_no_utf8_is_kept_readable(tmp_path: Path) -> None:
    results = Results(tmp_path)
    key = results.key(os.fsdecode(b"/data/M\xfcller"))
    results.failed(key, {"reason": os.fsdecode(b"damaged [/data/M\xfcller]")})
    assert results.failures()[0]["reason"] == "damaged [/data/M\\udcfcller]"


# --- Warnings ---

OBJECTS = ("segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm")


def test_everything_says_research_use_only_and_trained_on_synthetic_data(predicted: Case) -> None:
    words = words_of(predicted.page)
    assert RESEARCH_USE_ONLY in words and SYNTHETIC_WARNING in words
    assert predicted.result["note"] == RESEARCH_USE_ONLY
    assert predicted.result["synthetic"] is True
    assert predicted.result["synthetic_note"] == SYNTHETIC_WARNING
    (row,) = Results(predicted.out).predictions()
    assert row["synthetic"] == "1" and row["note"] == "research use only"
    for name in OBJECTS:
        content = (predicted.folder / name).read_bytes()
        assert RESEARCH_USE_ONLY.encode() in content and SYNTHETIC_WARNING.encode() in content
        assert b"RESEARCH USE ONLY" in content  # in the description of the series, for PACS lists
    texts, numbers = sr_texts(predicted.folder / "report.dcm")
    assert {RESEARCH_USE_ONLY, SYNTHETIC_WARNING} <= set(texts) and numbers >= 7


def test_every_picture_has_both_warnings_in_its_pixels(predicted: Case) -> None:
    overlay = np.asarray(Image.open(predicted.folder / "overlay.png").convert("RGB"))
    capture = pydicom.dcmread(predicted.folder / "capture.dcm").pixel_array
    pictures = [overlay, capture, *pictures_of(predicted.page)]
    assert len(pictures) == 5
    for picture in pictures:
        assert shows(picture[-80:], "RESEARCH USE ONLY")
        assert shows(picture[-80:], SYNTHETIC_WARNING.upper())
        assert not shows(picture[-80:], "APPROVED FOR CLINICAL USE")


def test_a_model_trained_on_patients_is_not_called_synthetic(
    tmp_path: Path, patient_run: Path
) -> None:
    case = run(tmp_path, patient_run)
    assert case.result["synthetic"] is False and case.result["synthetic_note"] == ""
    assert SYNTHETIC_WARNING not in words_of(case.page)
    for name in OBJECTS:
        assert b"synthetic" not in (case.folder / name).read_bytes().lower()
    overlay = np.asarray(Image.open(case.folder / "overlay.png").convert("RGB"))
    assert shows(overlay[-80:], "RESEARCH USE ONLY")
    assert not shows(overlay[-80:], SYNTHETIC_WARNING.upper())


# --- Gates ---


def test_an_overridden_gate_is_recorded_everywhere(overridden: Case) -> None:
    note = "Gate 'tumour-size' was overridden"
    (stated,) = overridden.result["overrides"]
    assert stated.startswith(note) and "mm²" in stated
    words = words_of(overridden.page)
    assert stated in words
    assert words.index(stated) < words.index("Model output")  # before any number
    texts, _ = sr_texts(overridden.folder / "report.dcm")
    assert stated in texts
    (row,) = Results(overridden.out).predictions()
    assert row["overrides"] == stated
    for name in ("segmentation.dcm", "heatmap.dcm", "capture.dcm"):
        assert note in pydicom.dcmread(overridden.folder / name).ImageComments


def test_without_an_override_nothing_speaks_of_one(predicted: Case) -> None:
    assert predicted.result["overrides"] == []
    assert "overridden" not in words_of(predicted.page)
    assert Results(predicted.out).predictions()[0]["overrides"] == ""
    for name in OBJECTS:
        assert b"overridden" not in (predicted.folder / name).read_bytes()


def test_a_refused_case_says_why_and_gives_no_number_of_the_model(refused: Case) -> None:
    assert {path.name for path in refused.folder.iterdir()} == {
        "result.json", "report.dcm", "report.html",
    }  # fmt: skip
    result, words = refused.result, words_of(refused.page)
    assert (result["status"], result["gate"]) == ("refused", "tumour-size")
    assert "Not assessed." in words and result["reason"] in words and "tumour-size" in words
    assert not {"probabilities", "scores", "predicted_class", "map", "overrides"} & set(result)
    for word in ("Score", "Threshold", "Model output", "HER2-zero", "HER2-low", "HER2-positive"):
        assert word not in words
    texts, numbers = sr_texts(refused.folder / "report.dcm")
    assert numbers == 0 and f"Not assessed: {result['reason']}" in texts
    assert {RESEARCH_USE_ONLY, SYNTHETIC_WARNING} <= set(texts)
    assert RESEARCH_USE_ONLY in words and SYNTHETIC_WARNING in words
    assert result["weights_sha256"]
    for digest in result["weights_sha256"].values():
        assert digest in words and digest.encode() in (refused.folder / "report.dcm").read_bytes()
    assert len(pictures_of(refused.page)) == 2
    assert all(shows(p[-80:], SYNTHETIC_WARNING.upper()) for p in pictures_of(refused.page))


def test_a_refusal_takes_the_place_of_an_earlier_prediction(
    tmp_path: Path, tiny_run: Path, fresh: Case
) -> None:
    assert len(Results(fresh.out).predictions()) == 1
    again = run(tmp_path, tiny_run, lesion=SMALL)
    assert again.folder == fresh.folder and again.result["status"] == "refused"
    assert not (again.folder / "heatmap.dcm").exists()
    assert Results(again.out).predictions() == []
    (failure,) = Results(again.out).failures()
    assert failure["stage"] == "gate tumour-size" and failure["reason"] == again.result["reason"]


# --- In a browser ---


@pytest.mark.parametrize("width", [1280, 500])
def test_the_report_opens_in_a_browser_with_its_banners_whole(
    chromium: str, tmp_path: Path, predicted: Case, width: int
) -> None:
    png = tmp_path / "page.png"
    page = predicted.folder / "report.html"
    browse(chromium, tmp_path, page, f"--window-size={width},1400", f"--screenshot={png}")
    picture = np.asarray(Image.open(png).convert("RGB"))
    assert picture.shape == (1400, width, 3)
    body = below_whole_banners(picture).reshape(-1, 3)
    for what, colour, least in (
        ("bars", (33, 102, 172), 500),
        ("thresholds", (178, 24, 43), 20),
        ("the tumour's outline", (0, 220, 255), 20),
        ("words", (27, 31, 36), 500),
    ):
        assert (body == np.array(colour, np.uint8)).all(axis=1).sum() >= least, what
    assert len(np.unique(body, axis=0)) > 200  # grey values of the images
    background = (body == np.array((245, 246, 248), np.uint8)).all(axis=1).mean()
    assert 0.2 < background < 0.95


def test_the_report_prints_on_one_page_with_its_banners(
    chromium: str, tmp_path: Path, overridden: Case
) -> None:
    pdf = tmp_path / "page.pdf"
    page = overridden.folder / "report.html"
    browse(chromium, tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    content = pdf.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1
    assert len(content) > 50_000  # the pictures are in it
