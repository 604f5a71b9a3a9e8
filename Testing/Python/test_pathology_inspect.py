"""What `inspect` says of slides: in their studies, beside them, and without identifiers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from slide_files import SECRET, coded, on_glass, write_dicom_slide, write_pyramid, write_svs

from breastpredict.cli import main
from breastpredict.dicom import inspect_folder
from breastpredict.errors import InputError
from breastpredict.pathology import describe_slide, inspect_everything, inspect_everything_text

PICTURE = on_glass(512, 640, (50, 50, 500, 450))
SCALE = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def test_a_dicom_slide_stands_in_its_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_dicom_slide(tmp_path / "slide", PICTURE)
    (study,) = json.loads(inspected(capsys, str(tmp_path), "--json"))["studies"]
    header = pydicom.dcmread(paths[0], stop_before_pixels=True)
    assert study["study_uid"] == header.StudyInstanceUID and study["modality"] == "SM"
    assert study["rejected"] == [] and study["dce"] == [] and study["ultrasound"] == []
    assert study["slides"] == [
        {
            "file": "slide/level-0.dcm",
            "series_uid": header.SeriesInstanceUID,
            "kind": "DICOM",
            "size": [640, 512],
            "mpp": [0.5, 0.5],
            "why_no_mpp": None,
            "levels": [
                {"size": [640, 512], "downsample": 1.0},
                {"size": [160, 128], "downsample": 4.0},
            ],
            "warnings": [],
        }
    ]
    text = inspected(capsys, str(tmp_path))
    assert "slide slide/level-0.dcm: DICOM, 640 × 512, 2 levels, 0.5 × 0.5 µm per pixel" in text
    assert "no DCE acquisition" not in text and "left out" not in text


def test_slides_that_are_no_dicom_stand_in_a_study_without_identity(tmp_path: Path) -> None:
    write_svs(tmp_path / "b.svs", PICTURE)
    write_pyramid(tmp_path / "deep.tif", PICTURE, **SCALE)
    Image.fromarray(PICTURE).save(tmp_path / "patch.png")
    tifffile.imwrite(tmp_path / "patch.tif", PICTURE)
    (tmp_path / "notes.txt").write_text("none")
    found = inspect_everything(tmp_path)
    (study,) = found["studies"]
    assert study["study_uid"] == "" and study["rejected"] == []
    assert [one["file"] for one in study["slides"]] == ["b.svs", "deep.tif"]
    assert [one["kind"] for one in study["slides"]] == ["SVS", "TIFF pyramid"]
    assert "slide b.svs: SVS, 640 × 512, 2 levels" in inspect_everything_text(found)


def test_a_single_slide_file_may_be_named(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "b.svs", PICTURE, mpp=None)
    (study,) = inspect_everything(path)["studies"]
    (slide,) = study["slides"]
    assert slide["file"] == "b.svs" and slide["mpp"] is None
    assert "×20" in slide["why_no_mpp"]
    assert "no scale: " in inspect_everything_text(inspect_everything(path))
    dicom = write_dicom_slide(tmp_path / "d", PICTURE, label=False)[0]
    (study,) = inspect_everything(dicom)["studies"]
    assert study["slides"][0]["size"] == [640, 512]


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    whole = write_svs(tmp_path / "whole.svs", PICTURE).read_bytes()
    (tmp_path / "cut.svs").write_bytes(whole[: len(whole) // 2])
    write_dicom_slide(tmp_path / "d", PICTURE, TotalPixelMatrixFocalPlanes=3)
    found = inspect_everything(tmp_path)
    dicom, other = found["studies"]
    assert dicom["slides"] == [] and len(other["slides"]) == 1
    assert "focal planes" in dicom["rejected"][0]["reason"]
    assert "slide cut.svs: The slide is damaged" in other["rejected"][0]["reason"]
    text = inspect_everything_text(found)
    assert "cut.svs" in text and str(tmp_path) not in text


def test_slides_beside_an_mr_study_do_not_disturb_it(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "data" / "dicom_mr", tmp_path / "mr")
    before = inspect_everything(tmp_path / "mr")
    assert before["studies"] == inspect_folder(tmp_path / "mr")["studies"]
    write_svs(tmp_path / "mr" / "z.svs", PICTURE)
    *after, other = inspect_everything(tmp_path / "mr")["studies"]
    assert after == before["studies"] and len(other["slides"]) == 1


def test_nothing_that_is_said_identifies_the_patient(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", PICTURE)
    write_dicom_slide(tmp_path / "d", PICTURE)
    found = inspect_everything(tmp_path)
    assert SECRET not in json.dumps(found) + inspect_everything_text(found)
    assert SECRET not in json.dumps(describe_slide(tmp_path / "a.svs"))


def test_the_real_slides_are_listed(shared: Path) -> None:
    studies = inspect_everything(shared / "data" / "he")["studies"]
    slides = [slide for study in studies for slide in study["slides"]]
    assert {slide["kind"] for slide in slides} == {"DICOM"}
    assert all(slide["size"] == [50, 50] and slide["mpp"] == [0.499, 0.499] for slide in slides)
    # One of the eight is a copy of another, and two show fluorescence.
    assert len(slides) == 5
    reasons = [one["reason"] for study in studies for one in study["rejected"]]
    assert sum("fluorescence" in reason for reason in reasons) == 2


def test_a_folder_of_neither_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.asarray(coded(40, 40))).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="no DICOM file"):
        inspect_everything(tmp_path)


def test_what_is_wrong_with_the_dicom_files_is_not_hidden_by_a_slide(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", PICTURE)
    paths = write_dicom_slide(tmp_path / "d", PICTURE)
    other = pydicom.dcmread(paths[0])
    other.PatientID, other.SOPInstanceUID = "another", "1.2.3"
    other.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    other.save_as(paths[0])
    with pytest.raises(InputError, match="belongs to 2 patients"):
        inspect_everything(tmp_path)


def test_no_pixel_of_a_slide_is_decoded(tmp_path: Path) -> None:
    """A slide whose pixels are all damaged is described all the same."""
    path = write_pyramid(tmp_path / "a.tif", PICTURE, compression="zlib", **SCALE)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
                data[offset : offset + length] = b"\xff" * length
    path.write_bytes(bytes(data))
    assert describe_slide(path)["size"] == [640, 512]
