"""The folder of results a pCR case gets: complete, in place, marked; and the same from a batch."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import errors_of, inconsistencies, items, read_report, texts
from pcr_runs import GATES_OF_A_STRANGER, SIZE, PcrTrained, drawn_case, rows
from PIL import Image
from scipy.ndimage import map_coordinates
from slide_files import on_glass, write_dicom_slide

from breastpredict import SYNTHETIC_WARNING
from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import PcrCase, PcrClinical, PcrModel, PcrPrediction, UltrasoundSource
from breastpredict.study.batch import Limits
from breastpredict.study.pcr_batch import pcr_results, predict_pcr_case, run_pcr_batch

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")

DICOM = {"report.dcm", "capture.dcm", "heatmap.dcm", "occlusion.dcm"}
PLAIN = {"result.json", "report.html", "overlay.png"}
MAPS = {
    f"{name}_{how}.nrrd" for name in ("us0", "us1", "pathology") for how in ("gradcam", "occlusion")
}


@dataclass(frozen=True)
class Done:
    """A case that was predicted: its results folder, its own folder there, and the prediction."""

    case: PcrCase
    out: Path
    folder: Path
    prediction: PcrPrediction

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds."""
        return result_of(self.folder)

    def map_of(self, method: str, name: str) -> np.ndarray:
        """Of an input, on the network's grid."""
        return next(m.values[name] for m in self.prediction.maps if m.method == method)


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def done(
    pcr_trained: PcrTrained, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """A patient with a DICOM slide; to look at, not to change."""
    case, out = pcr_trained.with_slide(".dcm"), tmp_path_factory.mktemp("predicted") / "out"
    return Done(case, out, *predict_pcr_case(case, pcr_model, out))


# --- What is there ---


def test_a_case_gets_every_file_and_no_other(done: Done) -> None:
    assert names(done.folder) == DICOM | PLAIN | MAPS
    assert not list(done.out.glob("**/.part-*"))
    (row,) = pcr_results(done.out).predictions()
    assert row["patient_id"] == done.case.patient_id and row["case_key"] == done.folder.name
    assert float(row["p_pcr"]) == done.prediction.score.score
    assert float(row["p_clinical"]) == done.prediction.baseline
    assert row["variant"] == "pcr_full" and row["note"] == "research use only"


def test_the_result_says_all_that_was_used_and_nothing_that_is_not_finite(done: Done) -> None:
    result, prediction = done.result, done.prediction
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
    assert result["clinical"]["ki67"] == done.case.clinical.ki67
    said = " | ".join(result["inputs_words"])
    assert "US-0: square of" in said and "US-1: square of" in said and "biopsy:" in said
    assert f"subtype: {done.case.clinical.subtype}" in said
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
    done: Done, dciodvfy: str, tmp_path: Path
) -> None:
    us1 = pydicom.dcmread(done.case.us1.path, stop_before_pixels=True)  # type: ignore[union-attr]
    for name in sorted(DICOM):
        assert errors_of(dciodvfy, done.folder / name) == [], name
        data = pydicom.dcmread(done.folder / name)
        assert data.PatientID == us1.PatientID and data.PatientName == us1.PatientName
        assert "RESEARCH USE ONLY" in data.SeriesDescription.upper()
    # The report and the capture join the study of US-1, the maps that of their slide.
    slide = pydicom.dcmread(done.case.pathology, stop_before_pixels=True)  # type: ignore[arg-type]
    for name, study in (
        ("report.dcm", us1), ("capture.dcm", us1), ("heatmap.dcm", slide),
    ):  # fmt: skip
        data = pydicom.dcmread(done.folder / name, stop_before_pixels=True)
        assert data.StudyInstanceUID == study.StudyInstanceUID
    for name in DICOM:
        shutil.copyfile(done.folder / name, tmp_path / name)
    assert inconsistencies(dciodvfy, tmp_path) == []


def test_the_report_holds_the_prediction_and_names_all_three_images(
    done: Done, tmp_path: Path
) -> None:
    data = pydicom.dcmread(done.folder / "report.dcm")
    found = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in items(data, "MeasuredValueSequence")
    }
    prediction = done.prediction
    assert found == {
        "Model output P(pathologic complete response)": pytest.approx(prediction.score.score),
        "Threshold of P(pathologic complete response)": pytest.approx(prediction.score.threshold),
        "Clinical variables only: P(pathologic complete response)": pytest.approx(
            prediction.baseline
        ),
        "Interval between both ultrasound examinations": pytest.approx(
            done.result["interval_weeks"]
        ),
    }
    said = " | ".join(texts(data))
    for line in done.result["inputs_words"]:
        assert f"Input: {line}" in said
    assert "Research use only" in said and "pcr_full" in said
    content = pydicom.Dataset()
    content.ContentSequence = data.ContentSequence
    named = {
        str(item.ReferencedSOPInstanceUID) for item in items(content, "ReferencedSOPInstanceUID")
    }
    used = [done.case.us0.path, done.case.us1.path, done.case.pathology]  # type: ignore[union-attr]
    assert named == {str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in used}
    group = read_report(done.folder / "report.dcm", tmp_path)["Measurements"][0]  # as Slicer does
    assert len(group["measurementItems"]) == 4


# --- Where the maps lie ---


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
@pytest.mark.parametrize("name", ["us0", "us1"])
def test_an_ultrasound_map_lies_on_the_pixels_of_the_source_frame(
    name: str, method: str, done: Done
) -> None:
    roi, values = done.prediction.prepared.rois[name], done.map_of(method, name)
    image = sitk.ReadImage(str(done.folder / "maps" / f"{name}_{method}.nrrd"))
    source = pydicom.dcmread(getattr(done.case, name).path, stop_before_pixels=True)
    assert image.GetSize() == (source.Columns, source.Rows, 1)
    region = source.SequenceOfUltrasoundRegions[0]
    assert image.GetSpacing()[:2] == pytest.approx(
        (region.PhysicalDeltaX * 10, region.PhysicalDeltaY * 10)
    )
    assert image.GetOrigin() == (0, 0, 0)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    placed = sitk.GetArrayFromImage(image)[0]
    # Every pixel by itself, by the region's own inverse and a linear interpolation.
    y, x = np.indices(placed.shape)
    grid = roi.from_source(np.stack([x, y], axis=-1), SIZE)
    inside = ((grid >= 0) & (grid <= SIZE - 1)).all(axis=-1)
    left, top, right, bottom = roi.image.region.box
    inside &= (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    expected = map_coordinates(values, [grid[..., 1], grid[..., 0]], order=1, mode="nearest")
    scale = float(np.abs(values).max())
    assert scale > 0 and inside.sum() > 1000
    np.testing.assert_allclose(placed[inside], expected[inside], atol=1e-4 * scale)
    x0, y0, x1, y1 = roi.box
    outside = (x < x0 - 1) | (x > x1 + 1) | (y < y0 - 1) | (y > y1 + 1)
    assert not placed[outside].any()


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_a_map_of_the_biopsy_lies_on_its_rectangle_in_mm_from_the_slides_first_pixel(
    method: str, done: Done
) -> None:
    patches = done.prediction.prepared.pathology
    assert patches is not None and patches.mpp is not None
    image = sitk.ReadImage(str(done.folder / "maps" / f"pathology_{method}.nrrd"))
    stitched = patches.stitch(done.map_of(method, "pathology"))
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], stitched)
    for column, row in ((0, 0), (3 * SIZE - 1, 0), (17, 101)):
        on_slide = patches.to_source(np.array([[column, row]]))[0] * np.array(patches.mpp) / 1000
        assert image.TransformIndexToPhysicalPoint((column, row, 0))[:2] == pytest.approx(on_slide)


@pytest.mark.parametrize(("file", "method"), [("heatmap", "gradcam"), ("occlusion", "occlusion")])
def test_a_dicom_map_lies_on_the_glass_where_its_rectangle_lies(
    file: str, method: str, done: Done
) -> None:
    found = pydicom.dcmread(done.folder / f"{file}.dcm")
    slide = pydicom.dcmread(done.case.pathology, stop_before_pixels=True)  # type: ignore[arg-type]
    patches = done.prediction.prepared.pathology
    assert patches is not None
    stitched = patches.stitch(done.map_of(method, "pathology"))
    assert np.array_equal(found.pixel_array, stitched)
    assert found.FrameOfReferenceUID == slide.FrameOfReferenceUID
    region = patches.region
    ends = np.array(
        [[region.x, region.y], [region.x + region.width, region.y + region.height]], float
    )
    of_map = hd.spatial.ImageToReferenceTransformer.for_image(found, frame_number=1)
    of_slide = hd.spatial.ImageToReferenceTransformer.for_image(slide, for_total_pixel_matrix=True)
    # The slide is the largest image of its pyramid, whichever file was named.
    assert (slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows) == patches.slide_size
    corners = of_map(np.array([[0.0, 0.0], [stitched.shape[1], stitched.shape[0]]]))
    assert np.allclose(corners, of_slide(ends), atol=1e-4)


def test_maps_are_not_called_verified_before_the_bundle_is(
    done: Done, pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(pcr_trained.run, tmp_path / "run"))
    path = run / "pcr_ultrasound" / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    content["breastpredict"]["pointing"] = {"gradcam": {"passed": True}, "occlusion": {"passed": 1}}
    path.write_text(json.dumps(content))
    model = PcrModel.load(run)
    found = model.predict(*model.prepare(done.case, "pcr_ultrasound"))
    assert [(m.method, m.verified) for m in found.maps] == [("gradcam", True), ("occlusion", False)]
    assert "not verified" not in found.maps[0].title and "not verified" in found.maps[1].title
    assert found.unused == ("pathology",)


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


def test_the_page_stands_alone_and_says_what_must_be_read_with_it(done: Done) -> None:
    page = page_of(done.folder)
    assert "esearch use only" in page.text and SYNTHETIC_WARNING in page.text
    assert "not verified" in page.text and f"{done.prediction.score.score:.3f}" in page.text
    assert "Clinical variables only" in page.text and f"{done.prediction.baseline:.3f}" in page.text
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    # Of both times the whole region, the square and two maps; of the biopsy no whole slide.
    assert len(pictures) == 4 + 4 + 3
    assert all(str(p["src"]).startswith("data:image/png;base64,") for p in pictures)
    assert not any({"href", "onload", "onerror"} & set(attributes) for _, attributes in page.tags)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]


def test_a_hostile_name_of_a_variant_is_text_on_the_page(
    done: Done, pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>&'"
    shutil.copytree(pcr_trained.run / "pcr_ultrasound", tmp_path / "run" / hostile)
    model = PcrModel.load(tmp_path / "run")
    folder, _ = predict_pcr_case(done.case, model, tmp_path / "out", explain=())
    page = page_of(folder)
    assert hostile in page.text and "not used by this variant: the biopsy" in page.text
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_the_panel_has_a_row_an_image_and_a_column_a_map_and_its_warnings(done: Done) -> None:
    panel = np.asarray(Image.open(done.folder / "overlay.png"))
    capture = pydicom.dcmread(done.folder / "capture.dcm")
    assert np.array_equal(capture.pixel_array, panel)
    assert panel.shape[1] > 3 * 400 and panel.shape[0] > 3 * 400
    band = panel[3 * 426 :]
    assert (band == (255, 210, 0)).all(axis=-1).sum() > 100  # RESEARCH USE ONLY


# --- The same from a batch ---


@pytest.fixture(scope="module")
def several(pcr_trained: PcrTrained, done: Done) -> list[PcrCase]:
    """With all images, without a biopsy, with a tumour that is gone or masks, and one damaged."""
    found = {c.patient_id: c for c in pcr_trained.fitted()}
    del found[done.case.patient_id]
    first, second = list(found.values())[:2]
    damaged = replace(first, patient_id="DAMAGED", us0=replace(first.us0, path=Path("absent")))  # type: ignore[type-var]
    return [done.case, first, replace(second, pathology=None), damaged]


@pytest.fixture(scope="module")
def batched(
    several: list[PcrCase], pcr_trained: PcrTrained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("batch") / "out"
    found = run_pcr_batch(several, pcr_trained.run, out, limits=Limits(workers=2))
    assert (found.predicted, found.skipped, found.failed) == (3, 0, 1)
    return out


def test_a_batch_of_processes_gives_what_each_case_gives_alone(
    batched: Path, several: list[PcrCase], pcr_model: PcrModel, done: Done
) -> None:
    table = {row["patient_id"]: row for row in pcr_results(batched).predictions()}
    assert [*table] == [c.patient_id for c in several[:3]]
    for case, variant in zip(several[:3], ("pcr_full", "pcr_full", "pcr_ultrasound"), strict=True):
        name, prepared = pcr_model.prepare(case)
        alone = pcr_model.predict(name, prepared)
        row = table[case.patient_id]
        assert row["variant"] == name == variant
        assert float(row["p_pcr"]) == alone.score.score  # to the last bit
        folder = batched / row["case_key"]
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "maps" / "us1_gradcam.nrrd")))
        assert np.array_equal(image[0], prepared.rois["us1"].place(alone.maps[0].values["us1"]))
    one, other = result_of(batched / table[done.case.patient_id]["case_key"]), done.result
    assert {k: v for k, v in one.items() if k != "date"} == {
        k: v for k, v in other.items() if k != "date"
    }
    assert names(batched / table[done.case.patient_id]["case_key"]) == names(done.folder)
    no_slide = batched / table[several[2].patient_id]["case_key"]
    assert not {"heatmap.dcm", "pathology_gradcam.nrrd"} & names(no_slide)


def test_the_network_says_of_a_case_what_it_says_of_it_among_others(
    several: list[PcrCase], pcr_model: PcrModel, pcr_trained: PcrTrained
) -> None:
    from breastpredict.learning.examples import network_array
    from breastpredict.models import load_bundle

    net = load_bundle(pcr_trained.run / "pcr_full", "cpu", "pcr").model
    held = [pcr_model.prepare(c, "pcr_full")[1] for c in several[:2]]
    together = {
        name: torch.stack([torch.from_numpy(network_array(name, p.inputs[name])) for p in held])
        for name in net.inputs
    }
    with torch.inference_mode():
        logits = net(**together)[:, 0].tolist()
    for prepared, logit in zip(held, logits, strict=True):
        alone = pcr_model.predict("pcr_full", prepared, explain=())
        assert alone.score.score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)


def test_a_damaged_case_costs_a_row_with_its_reason(batched: Path) -> None:
    (row,) = rows(batched / "failures.csv")
    assert row["patient_id"] == "DAMAGED" and row["reason"] and "\n" not in row["reason"]


def test_a_second_batch_does_only_what_changed(
    batched: Path, several: list[PcrCase], pcr_trained: PcrTrained, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(batched, tmp_path / "out"))

    def again(cases: list[PcrCase], **options: Any) -> tuple[int, int, int]:
        done = run_pcr_batch(cases, pcr_trained.run, out, limits=Limits(workers=0), **options)
        return done.predicted, done.skipped, done.failed

    before = {p: p.stat().st_mtime_ns for p in out.glob("*/result.json")}
    table = (out / "predictions.csv").read_bytes()
    assert again(several) == (0, 3, 1)
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/result.json")} == before
    assert (out / "predictions.csv").read_bytes() == table
    other = replace(several[1].clinical, ki67=1.5)
    assert again([several[0], replace(several[1], clinical=other), several[2]]) == (1, 2, 0)
    assert again(several[2:3], explain=("occlusion",)) == (1, 0, 0)
    names_now = names(out / pcr_results(out).predictions()[-1]["case_key"])
    assert "us0_occlusion.nrrd" in names_now and "us0_gradcam.nrrd" not in names_now


# --- Refusals ---


@pytest.fixture(scope="module")
def refused(
    done: Done, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A case that was predicted before, with another interval now; results and case folder."""
    out = tmp_path_factory.mktemp("refused") / "out"
    predict_pcr_case(done.case, pcr_model, out, explain=())
    late = replace(done.case.us1, date="2031-01-01")  # type: ignore[type-var]
    early = replace(done.case.us0, date="2021-01-01")  # type: ignore[type-var]
    with pytest.raises(GateRefusal) as caught:
        predict_pcr_case(replace(done.case, us0=early, us1=late), pcr_model, out)
    assert caught.value.gate == "interval"
    (folder,) = (p for p in out.iterdir() if p.is_dir())
    return out, folder


def test_a_refused_case_has_a_reason_and_no_output_anywhere(
    refused: tuple[Path, Path], done: Done, dciodvfy: str
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
    score = f"{done.prediction.score.score:.4f}"[:6]
    for path in out.rglob("*"):
        if path.suffix in (".json", ".html", ".csv"):
            assert score not in path.read_text("utf-8")


def test_an_overridden_gate_is_said_everywhere(
    done: Done, pcr_model: PcrModel, shared: Path, tmp_path: Path
) -> None:
    stained = replace(
        done.case, pathology=shared / "data" / "he" / "skimage" / "ihc.png", pathology_region=None
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
    done: Done, pcr_model: PcrModel, tmp_path: Path
) -> None:
    for case in (
        replace(done.case, us0=done.case.us1, us1=done.case.us0),
        replace(done.case, clinical=PcrClinical()),
        replace(done.case, pathology=tmp_path / "absent.svs"),
    ):
        with pytest.raises(InputError) as caught:
            predict_pcr_case(case, pcr_model, tmp_path / "out")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be overridden"):
        predict_pcr_case(done.case, pcr_model, tmp_path / "out", override_gates=("no-tumour",))
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


def test_results_may_not_be_read_by_everybody_who_can_guess(done: Done) -> None:
    """A case key tells nothing of the patient: it is salted, and the salt is the owner's."""
    salt = done.out / ".salt"
    assert salt.stat().st_mode & 0o077 == 0 or os.name == "nt"
    assert done.case.patient_id not in done.folder.name
