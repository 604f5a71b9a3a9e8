"""Real ultrasound images and biopsies through the whole path, from the file to DICOM.

They are of different patients and no pairs; here they are taken for pairs, with the identifiers of
one in copies. Gates that know the phantoms of the training are overridden.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import errors_of, items, read_report
from pcr_runs import GATES_OF_A_STRANGER, pixels_of
from PIL import Image

from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import (
    PcrCase,
    PcrClinical,
    PcrModel,
    PcrPrediction,
    UltrasoundSource,
    parse_roi,
)
from breastpredict.study.pcr_batch import predict_pcr_case

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

OVERRIDES = ("pathology", *GATES_OF_A_STRANGER)
CLINICAL = PcrClinical("HR-/HER2+", "negative", 45.0, "anti-HER2")
EPIQ, S2000 = "GREYSCALE_IMAGE.dcm", "RGB_IMAGE.dcm"
PLACES = {EPIQ: "point:512,340,400", S2000: "point:510,170,220"}
"""Both show no patient: reverberations of a probe in air, and what is left is nearly black."""


@dataclass(frozen=True)
class Predicted:
    folder: Path
    prediction: PcrPrediction

    @property
    def files(self) -> set[str]:
        return {p.name for p in self.folder.rglob("*") if p.is_file()}


def dicom_source(
    shared: Path, name: str, folder: Path, around: int | None = None
) -> UltrasoundSource:
    """A real image as one of the patient X1.

    Args:
        around: grey level that is put over all that is outside of the stated B-mode region.
    """
    data = pydicom.dcmread(shared / "data" / "us" / "dicom" / name)
    data.PatientID, data.PatientName, data.PatientBirthDate = "X1", "X", "19500101"
    if around is not None:
        if data.file_meta.TransferSyntaxUID.is_compressed:
            data.decompress()
        pixels = data.pixel_array.copy()
        region = data.SequenceOfUltrasoundRegions[0]
        inside = np.zeros(pixels.shape[:2], bool)
        inside[
            region.RegionLocationMinY0 : region.RegionLocationMaxY1 + 1,
            region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1,
        ] = True
        pixels[~inside] = around
        data.PixelData = pixels.tobytes()
    folder.mkdir(exist_ok=True)
    data.save_as(folder / name)
    return UltrasoundSource(folder / name, parse_roi(PLACES[name]))


def busi_source(shared: Path, name: str, date: str) -> UltrasoundSource:
    path = shared / "data" / "us" / "busi" / name
    masks = sorted(path.parent.glob(f"{path.stem}_mask*.png"))
    return UltrasoundSource(path, parse_roi(";".join(map(str, masks))), date=date)


def look(name: str, folder: Path) -> None:
    """Keep what a person should look at, where asked for."""
    if to := os.environ.get("BREASTPREDICT_KEEP_PICTURES"):
        Path(to).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "overlay.png", Path(to) / f"{name}.png")
        shutil.copyfile(folder / "report.html", Path(to) / f"{name}.html")


@pytest.fixture(scope="module")
def of_dicom(
    shared: Path, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> Predicted:
    """Philips EPIQ, Siemens S2000 and a tiny slide in DICOM."""
    folder = tmp_path_factory.mktemp("dicom")
    case = PcrCase(
        patient_id="R1",
        us0=dicom_source(shared, EPIQ, folder),
        us1=dicom_source(shared, S2000, folder),
        pathology=shared / "data" / "he" / "dicom_wsi_highdicom" / "sm_image.dcm",
        clinical=CLINICAL,
    )
    found = Predicted(*predict_pcr_case(case, pcr_model, folder / "out", override_gates=OVERRIDES))
    look("dicom", found.folder)
    return found


@pytest.fixture(scope="module")
def of_pictures(
    shared: Path, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> Predicted:
    """Two pictures of BUSI with their masks, and a picture of H&E with an alpha channel."""
    case = PcrCase(
        patient_id="R2",
        us0=busi_source(shared, "malignant/malignant_53.png", "2024-01-01"),
        us1=busi_source(shared, "benign/benign_100.png", "2024-02-12"),
        pathology=shared / "data" / "he" / "torchstain" / "source.png",
        clinical=CLINICAL,
    )
    out = tmp_path_factory.mktemp("pictures") / "out"
    found = Predicted(*predict_pcr_case(case, pcr_model, out, override_gates=OVERRIDES))
    look("pictures", found.folder)
    return found


def test_real_dicom_becomes_valid_dicom(of_dicom: Predicted, dciodvfy: str, tmp_path: Path) -> None:
    for name in ("report", "capture", "heatmap", "occlusion"):
        assert errors_of(dciodvfy, of_dicom.folder / f"{name}.dcm") == [], name
    report = pydicom.dcmread(of_dicom.folder / "report.dcm")
    assert report.PatientID == "X1"
    content = pydicom.Dataset()
    content.ContentSequence = report.ContentSequence
    assert (
        len({i.ReferencedSOPInstanceUID for i in items(content, "ReferencedSOPInstanceUID")}) == 3
    )
    assert len(read_report(of_dicom.folder / "report.dcm", tmp_path)["Measurements"]) == 1


def test_real_lengths_are_those_of_the_files(of_dicom: Predicted) -> None:
    rois = of_dicom.prediction.prepared.rois
    sides = [400 * 0.0649046896896883, 220 * 0.2378716878]
    # Linked: both squares have the larger side in mm.
    assert rois["us0"].side_mm == rois["us1"].side_mm == pytest.approx(max(sides), rel=1e-3)
    weeks = of_dicom.prediction.prepared.pair
    assert weeks is not None and weeks.interval_weeks is not None and weeks.interval_weeks > 100
    assert any("Gate 'interval' was overridden" in one for one in of_dicom.prediction.overrides)
    image = sitk.ReadImage(str(of_dicom.folder / "maps" / "us1_occlusion.nrrd"))
    assert image.GetSize() == (1024, 768, 1)
    assert image.GetSpacing()[0] == pytest.approx(0.2378716878)


def test_the_burnt_in_text_of_a_real_screen_is_in_no_output(
    of_dicom: Predicted, shared: Path, pcr_model: PcrModel, tmp_path: Path
) -> None:
    """The name stands outside of the region: with white there, all pictures are alike."""
    source = pydicom.dcmread(shared / "data" / "us" / "dicom" / EPIQ).pixel_array
    assert (source[:38] > 128).sum() > 500  # there is writing
    case = PcrCase(
        patient_id="R1",
        us0=dicom_source(shared, EPIQ, tmp_path, around=255),
        us1=dicom_source(shared, S2000, tmp_path),
        pathology=shared / "data" / "he" / "dicom_wsi_highdicom" / "sm_image.dcm",
        clinical=CLINICAL,
    )
    folder, _ = predict_pcr_case(case, pcr_model, tmp_path / "out", override_gates=OVERRIDES)
    before, after = pixels_of(of_dicom.folder), pixels_of(folder)
    assert set(before) == set(after)
    for name in before:
        assert np.array_equal(before[name], after[name]), name


def test_real_pictures_give_everything_but_dicom(of_pictures: Predicted) -> None:
    assert not [name for name in of_pictures.files if name.endswith(".dcm")]
    result = json.loads((of_pictures.folder / "result.json").read_text())
    assert "No DICOM results" in result["no_dicom"]
    assert result["ultrasound"]["us0"]["lesions"] == result["ultrasound"]["us1"]["lesions"] == 2
    for name, size in (("us0", "malignant/malignant_53"), ("us1", "benign/benign_100")):
        image = sitk.ReadImage(str(of_pictures.folder / "maps" / f"{name}_gradcam.nrrd"))
        assert image.GetSize()[:2] == of_pictures.prediction.prepared.rois[name].image.source_size
        assert size
    assert 0 < result["probability"] < 1 and result["baseline"] is not None
    panel = np.asarray(Image.open(of_pictures.folder / "overlay.png"))
    # The biopsy has its own colours: pink, not grey.
    biopsy = panel[2 * 426 + 40 : 3 * 426 - 10, 10:400].astype(float).mean(axis=(0, 1))
    assert biopsy[0] > biopsy[1] + 20 and biopsy[2] > biopsy[1] + 10


def test_the_region_shown_is_the_tumour_the_mask_outlines(
    of_pictures: Predicted, shared: Path
) -> None:
    """The picture of a region is the source's own pixels there, and the mask lies inside of it."""
    roi = of_pictures.prediction.prepared.rois["us0"]
    x0, y0, x1, y1 = roi.box
    path = shared / "data" / "us" / "busi" / "malignant"
    joined = np.zeros(roi.image.source_size[::-1], bool)
    for mask in path.glob("malignant_53_mask*.png"):
        joined |= np.asarray(Image.open(mask).convert("L")) > 0
    rows, columns = np.nonzero(joined)
    share = np.mean((columns >= x0) & (columns <= x1) & (rows >= y0) & (rows <= y1))
    assert share > 0.5  # of the largest lesion all of it
    source = np.asarray(Image.open(path / "malignant_53.png").convert("L"), float)
    middle = source[round((y0 + y1) / 2) - 3 : round((y0 + y1) / 2) + 4]
    middle = middle[:, round((x0 + x1) / 2) - 3 : round((x0 + x1) / 2) + 4]
    shown = roi.extract(round(x1 - x0))
    half = shown.shape[0] // 2
    assert np.nanmean(shown[half - 3 : half + 4, half - 3 : half + 4]) == pytest.approx(
        middle.mean(), abs=12
    )


def test_real_immunostain_and_real_strangers_are_refused_with_a_reason(
    shared: Path, pcr_model: PcrModel, tmp_path: Path
) -> None:
    case = PcrCase(
        patient_id="R3",
        us0=busi_source(shared, "malignant/malignant_1.png", "2024-01-01"),
        us1=busi_source(shared, "malignant/malignant_2.png", "2024-02-12"),
        pathology=shared / "data" / "he" / "skimage" / "ihc.png",
        clinical=CLINICAL,
    )
    with pytest.raises(GateRefusal) as caught:
        predict_pcr_case(case, pcr_model, tmp_path / "out", override_gates=("stain",))
    assert caught.value.gate == "pathology"
    (folder,) = (p for p in (tmp_path / "out").iterdir() if p.is_dir())
    look("refused", folder) if (folder / "overlay.png").exists() else None
    data = shared / "data" / "us" / "dicom"
    strangers = [UltrasoundSource(data / name, parse_roi(PLACES[name])) for name in (EPIQ, S2000)]
    with pytest.raises(InputError, match="different patients"):
        pcr_model.prepare(replace(case, us0=strangers[0], us1=strangers[1]))
