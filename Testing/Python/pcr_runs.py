"""A small phantom cohort for pCR, a run trained on it, and single cases to predict from them.

The cohort has what a hospital's has: ultrasound of three scanners, slides of four formats, boxes,
masks, and tumours that are gone. The run has two variants, for patients with and without a biopsy.
It has seen too little to know anything; what it must do, it does with any weights.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from slide_files import tissue
from torch_threads import on_one_thread
from ultrasound_screens import dataset, rectangle, region, save, screen

from breastpredict.pcr import PcrCase, PcrClinical, PcrModel, UltrasoundSource, parse_roi

VARIANTS = ("full", "ultrasound")
PICTURE = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=]+)")
"""In a page."""

SIZE = 64
"""Side of the reduced network's inputs."""

GATES_OF_A_STRANGER = ("spacing", "region-size", "interval", "stain")
"""Those that a case of another kind than the training's may have to pass."""


@dataclass(frozen=True)
class PcrTrained:
    """A cohort and the run trained on it.

    Attributes:
        table: COHORT.csv.
        cases: its rows as they were given to the training: also the multifocal ones are its own.
        run: the run folder.
    """

    table: Path
    cases: tuple[PcrCase, ...]
    run: Path

    def sets(self) -> dict[str, str]:
        """Patient → set, of split.csv."""
        return {row["patient_id"]: row["set"] for row in rows(self.run / "split.csv")}

    def fitted(self) -> list[PcrCase]:
        """Patients whom the gates know: their features are in the training's ranges."""
        sets = self.sets()
        return [c for c in self.cases if sets.get(c.patient_id) in ("train", "tuning")]

    def with_slide(self, end: str) -> PcrCase:
        """The first fitted patient with a slide whose name ends so, and a visible tumour."""
        return next(
            c
            for c in self.fitted()
            if c.pathology is not None
            and c.pathology.name.endswith(end)
            and c.us1 is not None
            and "Us0" not in type(c.us1.roi).__name__
        )


@pytest.fixture(scope="session")
def pcr_trained(tmp_path_factory: pytest.TempPathFactory) -> PcrTrained:
    """36 phantoms and a run of two epochs; to look at, not to change."""
    from breastpredict.pcr.train import train_pcr
    from breastpredict.pcr.train_config import PcrTrainConfig
    from breastpredict.phantom import make_pcr_phantom
    from breastpredict.study import read_pcr_cohort

    folder = tmp_path_factory.mktemp("pcr")
    sizes = {"PHANTOM-A": 32, "PHANTOM-B": 2, "PHANTOM-TC2": 2}
    table = make_pcr_phantom(folder / "cohort", sizes, seed=6, workers=1)
    # The phantom's multifocal cohort is external; here it is the training's own.
    cases = tuple(
        c if c.cohort == "PHANTOM-B" else replace(c, split="train") for c in read_pcr_cohort(table)
    )
    config = PcrTrainConfig(
        preset="reduced", variants=VARIANTS, epochs=2, device="cpu", seed=1, minimum_per_class=4
    )
    with on_one_thread():
        train_pcr(cases, folder / "run", config)
    return PcrTrained(table, cases, folder / "run")


@pytest.fixture(scope="session")
def pcr_model(pcr_trained: PcrTrained) -> PcrModel:
    """The run, loaded once."""
    return PcrModel.load(pcr_trained.run)


def rows(path: Path) -> list[dict[str, str]]:
    """Of a table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pictures_of(path: Path) -> list[Image.Image]:
    """Every picture in a file."""
    if path.suffix == ".html":
        found = PICTURE.findall(path.read_bytes())
        return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]
    if path.suffix == ".dcm":
        return [Image.fromarray(pydicom.dcmread(path).pixel_array)]
    return [Image.open(path)]


def pixels_of(folder: Path) -> dict[str, np.ndarray]:
    """Everything that can be looked at in a case's folder."""
    out = {}
    for name in ("overlay.png", "capture.dcm", "report.html"):
        for number, picture in enumerate(pictures_of(folder / name)):
            out[f"{name} {number}"] = np.asarray(picture)
    for path in sorted(folder.glob("maps/us*.nrrd")):
        out[path.name] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return out


def drawn_case(
    folder: Path, *, patient: str = "P1", radius: tuple[float, float] = (40, 20), **change: object
) -> PcrCase:
    """A patient drawn by hand: two DICOM screens, a box on each, and a picture of tissue.

    Args:
        folder: for the files.
        patient: in the table; the files say PID-4711.
        radius: of the dark disc on US-0 and US-1, in columns.
        change: attributes of the case.
    """
    sources = []
    for time, (day, wide) in enumerate(zip(("20240131", "20240313"), radius, strict=True)):
        pixels = screen(rectangle(), time)
        y, x = np.indices(pixels.shape)
        pixels[np.hypot(x - 190, y - 150) < 26] = 90  # the screen's own cyst
        pixels[np.hypot(x - 190, y - 150) < wide] = 0
        data = dataset(pixels, [region()], StudyDate=day, ImageLaterality="R")
        data.StudyInstanceUID = f"1.2.3.4567.{time + 10}"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4567.{time + 20}"
        box = parse_roi(f"box:{190 - wide},{150 - wide},{190 + wide},{150 + wide}")
        sources.append(UltrasoundSource(save(data, folder / f"us{time}.dcm"), box))
    Image.fromarray(tissue(192, 192)).save(folder / "tissue.png")
    case = PcrCase(
        patient_id=patient,
        cohort="SITE",
        us0=sources[0],
        us1=sources[1],
        pathology=folder / "tissue.png",
        clinical=PcrClinical("TN", "negative", 60.0, "taxane+platinum"),
        laterality="R",
    )
    return replace(case, **change)  # type: ignore[arg-type]
