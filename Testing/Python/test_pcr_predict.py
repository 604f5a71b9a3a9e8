"""The folder of results a pCR case gets: complete, marked, and what is refused."""

from __future__ import annotations

import csv
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import errors_of, inconsistencies, items, read_report, texts
from pcr_predictions import Done, names, result_of
from pcr_runs import GATES_OF_A_STRANGER, SIZE, PcrTrained, drawn_case
from PIL import Image
from slide_files import on_glass, write_dicom_slide

from breastpredict import SYNTHETIC_WARNING
from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import PcrClinical, PcrModel, UltrasoundSource
from breastpredict.study.pcr_batch import pcr_results, predict_pcr_case

pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")

DICOM = {"report.dcm", "capture.dcm", "heatmap.dcm", "occlusion.dcm"}
PLAIN = {"result.json", "report.html", "overlay.png"}
MAPS = {
    f"{name}_{how}.nrrd" for name in ("us0", "us1", "pathology") for how in ("gradcam", "occlusion")
}


# --- What is there ---


def test_a_case_gets_every_file_and_no_other(pcr_done: Done) -> None:
    assert names(pcr_done.folder) == DICOM | PLAIN | MAPS
    assert not list(pcr_done.out.glob("**/.part-*"))
    (row,) = pcr_results(pcr_done.out).predictions()
    assert row["patient_id"] == pcr_done.case.patient_id and row["case_key"] == pcr_done.folder.name
    assert float(row["p_pcr"]) == pcr_done.prediction.score.score
    assert float(row["p_clinical"]) == pcr_done.prediction.baseline
    assert row["variant"] == "pcr_full" and row["note"] == "research use only"


def test_the_result_says_all_that_was_used_and_nothing_that_is_not_finite(pcr_done: Done) -> None:
    result, prediction = pcr_done.result, pcr_done.prediction
    assert result["status"] == "predicted"
    assert result["probability"] == prediction.score.score
    assert result["expected"] is (result["probability"] >= result["threshold"])
    assert result["baseline"] == prediction.baseline and 0 < result["baseline"] < 1
    assert result["inputs"] == ["pathology", "us0", "us1", "clinical"] and result["unused"] == []
    assert result["interval_weeks"] == pytest.approx(6, abs=1)
    assert result["laterality"] in ("L", "R") and result["synthetic"] is True
    assert "esearch use only" in result["note"] and result["synthetic_note"] == SYNTHETIC_WARNING
    for name in ("us0", "us1"):
        stated = result["ultrasound"][name]
        assert stated["box"] == pytest.approx(prediction.prepared.rois[name].box, abs=1e-3)
        assert stated["side_mm"] > 0 and stated["reason"] and stated["spacing_mm"]
    assert result["pathology"]["mpp"] and len(result["pathology"]["region"]) == 4
    assert result["clinical"]["ki67"] == pcr_done.case.clinical.ki67
    said = " | ".join(result["inputs_words"])
    assert "US-0: square of" in said and "US-1: square of" in said and "biopsy:" in said
    assert f"subtype: {pcr_done.case.clinical.subtype}" in said
    assert all(map(math.isfinite, numbers_in(result)))
    (digest,) = result["weights_sha256"].values()
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert set(result["versions"]) >= {"torch", "pydicom", "highdicom"}
    for one in result["maps"]:
        assert one["verified"] is False and "not verified" in one["label"]


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in numbers_in(one)]
    return [float(value)] if isinstance(value, int | float) else []


def test_every_dicom_result_is_valid_and_of_the_patient(
    pcr_done: Done, dciodvfy: str, tmp_path: Path
) -> None:
    us1 = pydicom.dcmread(pcr_done.case.us1.path, stop_before_pixels=True)  # type: ignore[union-attr]
    for name in sorted(DICOM):
        assert errors_of(dciodvfy, pcr_done.folder / name) == [], name
        data = pydicom.dcmread(pcr_done.folder / name)
        assert data.PatientID == us1.PatientID and data.PatientName == us1.PatientName
        assert "RESEARCH USE ONLY" in data.SeriesDescription.upper()
    # The report and the capture join the study of US-1, the maps that of their slide.
    slide = pydicom.dcmread(pcr_done.case.pathology, stop_before_pixels=True)  # type: ignore[arg-type]
    for name, study in (
        ("report.dcm", us1), ("capture.dcm", us1), ("heatmap.dcm", slide),
    ):  # fmt: skip
        data = pydicom.dcmread(pcr_done.folder / name, stop_before_pixels=True)
        assert data.StudyInstanceUID == study.StudyInstanceUID
    for name in DICOM:
        shutil.copyfile(pcr_done.folder / name, tmp_path / name)
    assert inconsistencies(dciodvfy, tmp_path) == []


def test_the_report_holds_the_prediction_and_names_all_three_images(
    pcr_done: Done, tmp_path: Path
) -> None:
    data = pydicom.dcmread(pcr_done.folder / "report.dcm")
    found = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in items(data, "MeasuredValueSequence")
    }
    prediction = pcr_done.prediction
    assert found == {
        "Model output P(pathologic complete response)": pytest.approx(prediction.score.score),
        "Threshold of P(pathologic complete response)": pytest.approx(prediction.score.threshold),
        "Clinical variables only: P(pathologic complete response)": pytest.approx(
            prediction.baseline
        ),
        "Interval between both ultrasound examinations": pytest.approx(
            pcr_done.result["interval_weeks"]
        ),
    }
    said = " | ".join(texts(data))
    for line in pcr_done.result["inputs_words"]:
        assert f"Input: {line}" in said
    assert "Research use only" in said and "pcr_full" in said
    content = pydicom.Dataset()
    content.ContentSequence = data.ContentSequence
    named = {
        str(item.ReferencedSOPInstanceUID) for item in items(content, "ReferencedSOPInstanceUID")
    }
    used = [pcr_done.case.us0.path, pcr_done.case.us1.path, pcr_done.case.pathology]  # type: ignore[union-attr]
    assert named == {str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in used}
    group = read_report(pcr_done.folder / "report.dcm", tmp_path)["Measurements"][
        0
    ]  # as Slicer does
    assert len(group["measurementItems"]) == 4


# --- The page and the pictures ---


class Page(HTMLParser):
    """What a page asks for and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


def test_the_page_stands_alone_and_says_what_must_be_read_with_it(pcr_done: Done) -> None:
    page = page_of(pcr_done.folder)
    assert "esearch use only" in page.text and SYNTHETIC_WARNING in page.text
    assert "not verified" in page.text and f"{pcr_done.prediction.score.score:.3f}" in page.text
    assert (
        "Clinical variables only" in page.text
        and f"{pcr_done.prediction.baseline:.3f}" in page.text
    )
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    # Of both times the whole region, the square and two maps; of the biopsy no whole slide.
    assert len(pictures) == 4 + 4 + 3
    assert all(str(p["src"]).startswith("data:image/png;base64,") for p in pictures)
    assert not any({"href", "onload", "onerror"} & set(attributes) for _, attributes in page.tags)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]


def test_a_hostile_name_of_a_variant_is_text_on_the_page(
    pcr_done: Done, pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>&'"
    shutil.copytree(pcr_trained.run / "pcr_ultrasound", tmp_path / "run" / hostile)
    model = PcrModel.load(tmp_path / "run")
    folder, _ = predict_pcr_case(pcr_done.case, model, tmp_path / "out", explain=())
    page = page_of(folder)
    assert hostile in page.text and "not used by this variant: the biopsy" in page.text
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_panel_has_a_row_an_image_and_a_column_a_map_and_its_warnings(pcr_done: Done) -> None:
    panel = np.asarray(Image.open(pcr_done.folder / "overlay.png"))
    capture = pydicom.dcmread(pcr_done.folder / "capture.dcm")
    assert np.array_equal(capture.pixel_array, panel)
    assert panel.shape[1] > 3 * 400 and panel.shape[0] > 3 * 400
    band = panel[3 * 426 :]
    assert (band == (255, 210, 0)).all(axis=-1).sum() > 100  # RESEARCH USE ONLY


# --- Refusals ---


@pytest.fixture(scope="module")
def refused(
    pcr_done: Done, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A case that was predicted before, with another interval now; results and case folder."""
    out = tmp_path_factory.mktemp("refused") / "out"
    predict_pcr_case(pcr_done.case, pcr_model, out, explain=())
    late = replace(pcr_done.case.us1, date="2031-01-01")  # type: ignore[type-var]
    early = replace(pcr_done.case.us0, date="2021-01-01")  # type: ignore[type-var]
    with pytest.raises(GateRefusal) as caught:
        predict_pcr_case(replace(pcr_done.case, us0=early, us1=late), pcr_model, out)
    assert caught.value.gate == "interval"
    (folder,) = (p for p in out.iterdir() if p.is_dir())
    return out, folder


def test_a_refused_case_has_a_reason_and_no_output_anywhere(
    refused: tuple[Path, Path], pcr_done: Done, dciodvfy: str
) -> None:
    out, folder = refused
    assert names(folder) == {"result.json", "report.html", "report.dcm"}
    result = result_of(folder)
    assert result["status"] == "refused" and result["gate"] == "interval" and result["reason"]
    assert not {"probability", "threshold", "baseline", "expected", "maps"} & set(result)
    page = page_of(folder)
    assert "Not assessed" in page.text and "esearch use only" in page.text
    assert "Model output" not in page.text
    data = pydicom.dcmread(folder / "report.dcm")
    assert errors_of(dciodvfy, folder / "report.dcm") == []
    assert not [t for t in texts(data) if "P(pathologic" in t]
    assert any("Not assessed" in t for t in texts(data))
    # Nor in the tables: the number of the first time is gone.
    assert pcr_results(out).predictions() == []
    (failure,) = pcr_results(out).failures()
    assert failure["stage"] == "gate interval" and failure["reason"] == result["reason"]
    score = f"{pcr_done.prediction.score.score:.4f}"[:6]
    for path in out.rglob("*"):
        if path.suffix in (".json", ".html", ".csv"):
            assert score not in path.read_text("utf-8")


def test_an_overridden_gate_is_said_everywhere(
    pcr_done: Done, pcr_model: PcrModel, shared: Path, tmp_path: Path
) -> None:
    stained = replace(
        pcr_done.case,
        pathology=shared / "data" / "he" / "skimage" / "ihc.png",
        pathology_region=None,
    )
    with pytest.raises(GateRefusal) as caught:
        predict_pcr_case(stained, pcr_model, tmp_path / "out", explain=())
    assert caught.value.gate == "pathology"
    folder, prediction = predict_pcr_case(
        stained, pcr_model, tmp_path / "out", explain=(), override_gates=("pathology", "stain")
    )
    assert any("Gate 'pathology' was overridden" in line for line in prediction.overrides)
    assert "Gate 'pathology' was overridden" in page_of(folder).text
    said = " ".join(texts(pydicom.dcmread(folder / "report.dcm")))
    assert "Gate 'pathology' was overridden" in said
    (row,) = pcr_results(tmp_path / "out").predictions()
    assert "Gate 'pathology' was overridden" in row["overrides"]
    assert pcr_results(tmp_path / "out").failures() == []


def test_nothing_is_written_where_the_input_cannot_be_used(
    pcr_done: Done, pcr_model: PcrModel, tmp_path: Path
) -> None:
    for case in (
        replace(pcr_done.case, us0=pcr_done.case.us1, us1=pcr_done.case.us0),
        replace(pcr_done.case, clinical=PcrClinical()),
        replace(pcr_done.case, pathology=tmp_path / "absent.svs"),
    ):
        with pytest.raises(InputError) as caught:
            predict_pcr_case(case, pcr_model, tmp_path / "out")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be overridden"):
        predict_pcr_case(pcr_done.case, pcr_model, tmp_path / "out", override_gates=("no-tumour",))
    assert not (tmp_path / "out").exists()


# --- Plain pictures ---


def test_of_plain_pictures_no_dicom_is_written_and_that_is_said(
    pcr_model: PcrModel, tmp_path: Path
) -> None:
    case = drawn_case(tmp_path)
    plain = {}
    for name, date in (("us0", "2024-01-01"), ("us1", "2024-02-12")):
        source: UltrasoundSource = getattr(case, name)
        path = tmp_path / f"{name}.png"
        Image.fromarray(pydicom.dcmread(source.path).pixel_array).save(path)
        plain[name] = replace(source, path=path, date=date)
    folder, prediction = predict_pcr_case(
        replace(case, **plain), pcr_model, tmp_path / "out", override_gates=("stain",)
    )
    assert names(folder) == PLAIN | MAPS
    assert "No DICOM results were written" in result_of(folder)["no_dicom"]
    assert "No DICOM results were written" in page_of(folder).text
    result = result_of(folder)
    for name in ("us0", "us1"):
        assert result["ultrasound"][name]["side_mm"] is None
        assert "no spacing" in result["ultrasound"][name]["side"]
        image = sitk.ReadImage(str(folder / "maps" / f"{name}_gradcam.nrrd"))
        assert image.GetSpacing() == (1, 1, 1) and image.GetSize() == (400, 300, 1)
    assert " mm" not in " ".join(result["inputs_words"])
    assert prediction.prepared.pathology is not None
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        assert next(csv.DictReader(file))["interval_weeks"] == "6.0"


def test_of_plain_ultrasound_and_a_dicom_slide_the_results_join_the_slides_study(
    pcr_model: PcrModel, dciodvfy: str, tmp_path: Path
) -> None:
    """Named is the smaller image of the pyramid; the map lies on the largest."""
    levels = write_dicom_slide(
        tmp_path / "wsi", on_glass(600, 700, (40, 40, 640, 540)), (1, 4), mpp=2.0
    )
    case = drawn_case(tmp_path, pathology=levels[1], pathology_region=(101, 60, 384, 400))
    plain = {}
    for name, date in (("us0", "2024-01-01"), ("us1", "2024-02-12")):
        source: UltrasoundSource = getattr(case, name)
        Image.fromarray(pydicom.dcmread(source.path).pixel_array).save(tmp_path / f"{name}.png")
        plain[name] = replace(source, path=tmp_path / f"{name}.png", date=date)
    folder, prediction = predict_pcr_case(
        replace(case, **plain),
        pcr_model,
        tmp_path / "out",
        override_gates=GATES_OF_A_STRANGER,
        explain=("occlusion",),
    )
    assert names(folder) >= {"report.dcm", "capture.dcm", "occlusion.dcm"}
    slide = pydicom.dcmread(levels[0], stop_before_pixels=True)
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        assert errors_of(dciodvfy, path) == [], path.name
        assert data.StudyInstanceUID == slide.StudyInstanceUID
    report = pydicom.dcmread(folder / "report.dcm")
    content = pydicom.Dataset()
    content.ContentSequence = report.ContentSequence
    named = {i.ReferencedSOPInstanceUID for i in items(content, "ReferencedSOPInstanceUID")}
    assert named == {slide.SOPInstanceUID}
    found = pydicom.dcmread(folder / "occlusion.dcm")
    of_map = hd.spatial.ImageToReferenceTransformer.for_image(found, frame_number=1)
    of_slide = hd.spatial.ImageToReferenceTransformer.for_image(slide, for_total_pixel_matrix=True)
    ends = of_slide(np.array([[101.0, 60.0], [101 + 384, 60 + 400]]))
    assert np.allclose(of_map(np.array([[0.0, 0.0], [3 * SIZE, 3 * SIZE]])), ends, atol=1e-4)
    assert "no_dicom" in result_of(folder) and result_of(folder)["no_dicom"] == ""
    assert prediction.prepared.pathology is not None


def test_results_may_not_be_read_by_everybody_who_can_guess(pcr_done: Done) -> None:
    """A case key tells nothing of the patient: it is salted, and the salt is the owner's."""
    salt = pcr_done.out / ".salt"
    assert salt.stat().st_mode & 0o077 == 0 or os.name == "nt"
    assert pcr_done.case.patient_id not in pcr_done.folder.name
