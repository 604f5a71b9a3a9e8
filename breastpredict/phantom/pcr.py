"""Synthetic pCR cohorts: ultrasound before and during treatment, biopsies, a COHORT.csv.

What tells of the outcome, and how much, is stated in `breastpredict.phantom.pcr_plan`; the ideal
observer of everything has an AUC of about 0.94, of the change between the two times alone 0.81, of
the tissue 0.78, of the clinical variables 0.83, and of the tumour at one time about 0.6.

Everything written says that it is not real: StudyDescription starts with ``BreastPredict phantom``,
the patient is called ``Phantom^Pcr…``, and COHORT.csv has a column ``synthetic`` that is 1 in every
row. A model trained on any such case is synthetic.

Cohorts: PHANTOM-A (65 %, split empty: the pool to train on, unifocal), PHANTOM-B (15 %, external,
unifocal), PHANTOM-TC2 (20 %, external, multifocal).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.files import write_folder, write_text
from breastpredict.phantom.dealing import in_order
from breastpredict.phantom.her2 import STUDY_DESCRIPTION
from breastpredict.phantom.pcr_plan import CasePlan, Null, Size, plan_pcr_cohorts
from breastpredict.phantom.pcr_pyramid import write_png, write_tiff
from breastpredict.phantom.pcr_screen import Screen, make_screen
from breastpredict.phantom.pcr_tissue import RenderedTissue, render_tissue
from breastpredict.phantom.pcr_ultrasound import RenderedScan, render_ultrasound
from breastpredict.phantom.pcr_us_dicom import PhantomHeader, write_us
from breastpredict.phantom.pcr_wsi_dicom import write_wsi

COLUMNS = (
    "patient_id", "cohort", "split", "focality", "us0", "us1", "us0_roi", "us1_roi", "pathology",
    "pathology_region", "laterality", "subtype", "er", "pr", "ki67", "regimen", "pcr",
    "miller_payne", "nodes", "synthetic",
)  # fmt: skip

TRUTH = (
    "patient_id", "pcr", "change", "tissue", "clinical", "logit", "shrinking", "brightening",
    "lymphocytes_per_mm2", "lymphocytes_drawn_per_mm2",
    "us0_x", "us0_y", "us0_width", "us0_height", "us0_contrast_db",
    "us1_x", "us1_y", "us1_width", "us1_height", "us1_contrast_db", "us1_visible",
    "us0_box", "us1_box", "pixel_mm", "scan_x", "scan_y", "scan_width", "scan_height",
)  # fmt: skip
"""Columns of truth.csv: the latent variables; place and size of the main tumour and of the scan in
pixels of the frame; ``…_box`` x0,y0,x1,y1 of the tumour's own pixels."""


def make_pcr_phantom(
    out: str | os.PathLike[str],
    cases: int | Mapping[str, int],
    *,
    seed: int = 0,
    null: Null | None = None,
    size: Size = "small",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic cohort: ``OUT/COHORT.csv``, ``OUT/truth.csv`` and the patients' files.

    Args:
        out: the folder; made if missing. Cases that are there already are written anew.
        cases: the total (65/15/20 % to PHANTOM-A, -B, -TC2) or a number for each cohort.
        seed: the same arguments give the same bytes.
        null: "change", "tissue" or "clinical": what is to tell nothing of the outcome; see
            `breastpredict.phantom.pcr_plan`.
        size: "small" for tests (ultrasound of 0.125 mm, slides of 2 µm a pixel), "full" (0.05 mm,
            0.5 µm: ×20).
        workers: processes; None takes the machine's cores, at most 8. 1 starts none.
        progress: called with (done, total) after every case.

    Returns:
        The path of COHORT.csv; the paths in it are relative to its folder.

    Raises:
        InputError: no case, an unknown cohort, null or size, a folder that cannot be written, or
            the extra ``pathology`` is not installed.
    """
    plans = plan_pcr_cohorts(cases, seed=seed, null=null, size=size)
    folder = Path(out)
    try:
        for name in ("us", "masks", "slides"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError("the phantom's folder cannot be made", path=folder) from problem
    rows, truth = [], []
    for row, known in in_order(partial(write_pcr_case, folder), plans, workers):
        rows.append(row)
        truth.append(known)
        if progress is not None:
            progress(len(rows), len(plans))
    _write_table(folder / "truth.csv", TRUTH, truth)
    _write_table(folder / "COHORT.csv", COLUMNS, rows)
    return folder / "COHORT.csv"


def write_pcr_case(folder: Path, plan: CasePlan) -> tuple[dict[str, str], dict[str, str]]:
    """Render and write one case below ``folder``; its rows of COHORT.csv and truth.csv."""
    shown = [write_examination(folder, plan, time) for time in (0, 1)]
    tissue = render_tissue(plan)
    slide, region = write_slide(folder, plan, tissue)
    row = {
        "patient_id": plan.patient_id,
        "cohort": plan.cohort,
        "split": plan.split,
        "focality": "multifocal" if plan.multifocal else "unifocal",
        "us0": shown[0].file,
        "us1": shown[1].file,
        "us0_roi": shown[0].roi,
        "us1_roi": shown[1].roi,
        "pathology": slide,
        "pathology_region": region,
        "laterality": plan.laterality,
        "subtype": plan.clinical.subtype,
        "er": plan.clinical.er,
        "pr": plan.clinical.pr,
        "ki67": str(plan.clinical.ki67),
        "regimen": plan.clinical.regimen,
        "pcr": str(int(plan.pcr)),
        "miller_payne": str(plan.miller_payne),
        "nodes": plan.nodes,
        "synthetic": "1",
    }
    return row, _truth(plan, shown, tissue)


@dataclass(frozen=True)
class Examination:
    """An examination as written.

    Attributes:
        file, roi: cells of the cohort table.
        scan: what was rendered; screen: around it.
        box: of the main tumour in pixels of the frame; None where it is not seen.
    """

    file: str
    roi: str
    scan: RenderedScan
    screen: Screen
    box: tuple[int, int, int, int] | None


def write_examination(folder: Path, plan: CasePlan, time: int) -> Examination:
    """Write US-0 or US-1 of a patient and where the tumour is on it."""
    sweep = (-2, 0, 2) if plan.pixels == "frames" else (0,)
    scans = [render_ultrasound(plan, time, frame) for frame in sweep]
    scan = scans[len(sweep) // 2]
    header = _header(plan, f"us{time}", time)
    screen = make_screen(
        plan.scanner,
        scan.pixels.shape,
        (f"{plan.patient_name.upper()} (NOT REAL)", f"ID {plan.patient_id}"),
        f"{header.when:%d.%m.%Y %H:%M:%S}",
    )
    frames = [screen.show(one.pixels, plan.pixels == "rgb") for one in scans]
    name = f"{plan.number:04d}_us{time}"
    file = folder / "us" / f"{name}.dcm"
    write_us(
        file,
        frames,
        screen,
        header,
        pixel_mm=scan.pixel_mm,
        representative=len(sweep) // 2 + 1,
    )
    box = _box(scan.lesions[0], screen.origin)
    if box is None:
        roi = "us0"
    elif plan.roi == "box":
        roi = "box:" + ",".join(map(str, box))
    else:
        roi = ";".join(_write_masks(folder, name, scan, screen))
    return Examination(file.relative_to(folder).as_posix(), roi, scan, screen, box)


def _write_masks(folder: Path, name: str, scan: RenderedScan, screen: Screen) -> list[str]:
    """One mask of the whole frame for each lesion."""
    x, y = screen.origin
    names = []
    for number, lesion in enumerate(scan.lesions, start=1):
        whole = np.zeros(screen.furniture.shape[:2], np.uint8)
        whole[y : y + lesion.shape[0], x : x + lesion.shape[1]][lesion] = 255
        path = folder / "masks" / f"{name}_{number}.png"
        write_png(path, whole)
        names.append(path.relative_to(folder).as_posix())
    return names


def write_slide(folder: Path, plan: CasePlan, tissue: RenderedTissue) -> tuple[str, str]:
    """Write the biopsy; the cells ``pathology`` and ``pathology_region``."""
    name = f"{plan.number:04d}"
    x, y, width, height = tissue.region
    # Some tables name the pathologists' rectangle, in others it is found.
    region = ",".join(map(str, tissue.region)) if plan.number % 2 else ""
    if plan.slide == "dicom":
        target = folder / "slides" / name
        with write_folder(target) as made:
            files = write_wsi(made, tissue.pixels, tissue.pixel_um, _header(plan, "slide", 0))
        return (target / files[0].name).relative_to(folder).as_posix(), region
    path = folder / "slides" / f"{name}.{'tif' if plan.slide == 'tiff' else plan.slide}"
    if plan.slide == "png":  # a rectangle that somebody cut out before
        write_png(path, np.ascontiguousarray(tissue.pixels[y : y + height, x : x + width]))
        return path.relative_to(folder).as_posix(), ""
    write_tiff(path, tissue.pixels, tissue.pixel_um, plan.slide)
    return path.relative_to(folder).as_posix(), region


def _header(plan: CasePlan, study: str, time_point: int) -> PhantomHeader:
    day = plan.us0_date + timedelta(days=plan.interval_days * time_point)
    moment = time(8 + plan.number % 9, plan.number * 7 % 60, 10 * time_point + 5)
    return PhantomHeader(
        patient_id=plan.patient_id,
        patient_name=plan.patient_name,
        laterality=plan.laterality,
        when=datetime.combine(day, moment),
        study=study,
        seed=plan.seed,
        description=f"{STUDY_DESCRIPTION} pCR",
    )


def _box(mask: NDArray[np.bool_], origin: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """x0, y0, x1, y1 of a mask in pixels of the frame, last ones included; None of an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = origin
    return x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]), y + int(rows[-1])


def _truth(plan: CasePlan, shown: Sequence[Examination], tissue: RenderedTissue) -> dict[str, str]:
    numbers: dict[str, float] = {
        "change": plan.change,
        "tissue": plan.tissue,
        "clinical": plan.terms["clinical"],
        "logit": plan.logit,
        "shrinking": plan.shrinking,
        "brightening": plan.brightening,
        "lymphocytes_per_mm2": plan.lymphocytes_per_mm2,
        "lymphocytes_drawn_per_mm2": tissue.lymphocytes / max(tissue.stroma_mm2, 1e-9),
        "pixel_mm": shown[0].scan.pixel_mm,
    }
    out = {"patient_id": plan.patient_id, "pcr": str(int(plan.pcr))}
    for time_point, one in enumerate(shown):
        name = f"us{time_point}"
        x, y = (a + b for a, b in zip(one.scan.centre, one.screen.origin, strict=True))
        box = one.box
        numbers |= {
            f"{name}_x": x,
            f"{name}_y": y,
            f"{name}_width": 0.0 if box is None else box[2] - box[0] + 1,
            f"{name}_height": 0.0 if box is None else box[3] - box[1] + 1,
            f"{name}_contrast_db": plan.contrast_db(time_point),
        }
        out[f"{name}_box"] = "" if box is None else ",".join(map(str, box))
    rows, columns = shown[0].scan.pixels.shape
    x0, y0 = shown[0].screen.origin
    numbers |= {"scan_x": x0, "scan_y": y0, "scan_width": columns, "scan_height": rows}
    out["us1_visible"] = str(int(shown[1].box is not None))
    return out | {name: f"{value:.6g}" for name, value in numbers.items()}


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
