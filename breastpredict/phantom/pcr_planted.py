"""Synthetic patients whose informative places are known, to test maps with (`breastpredict.pcr`'s
``verify``).

All respond: the tumour shrinks and brightens, or is gone on US-1, and one or two of the nine
patches hold very many lymphocytes, the others few (the picture is put together from two slides that
differ in nothing but the lymphocytes). The squares on ultrasound are 2.4 times as wide as the
tumour, so that it fills a tenth of them, and lie around a point beside its middle, which is outside
of the tumour in most of them; the tumour lies in the square as a whole. The clinical variables
speak for response too, or few patients would be positive to a network that knows them, and only of
those that are can be told what its maps find.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift

from breastpredict.errors import InputError
from breastpredict.pcr import FromUs0, GivenRoi, PcrCase, PcrClinical, PointRoi, UltrasoundSource
from breastpredict.pcr.verify import PlantedCase
from breastpredict.phantom.dealing import in_order
from breastpredict.phantom.pcr import Examination, write_examination
from breastpredict.phantom.pcr_clinical import clinical_score, draw_clinical
from breastpredict.phantom.pcr_plan import CasePlan, plan_pcr_cohorts
from breastpredict.phantom.pcr_pyramid import write_png
from breastpredict.phantom.pcr_tissue import render_tissue

SQUARE = 2.4
"""Side of the square on ultrasound, in widths of the tumour."""
RICH, POOR = 3.0, -1.5
"""The tissue (`CasePlan.tissue`) of patches with many and with few lymphocytes."""

_LEAST_MM = 20.0  # of a square, as of any region
_PURPOSE = 40
_SEEN = 60  # grey levels in sum of three: no noise of the picture
_DRAWN = 20  # responders, of whose clinical variables the clearest are taken
_FIT = 5  # of nine patches, those with the most stroma


def make_planted(
    out: str | os.PathLike[str],
    cases: int = 60,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PlantedCase]:
    """Write the files of planted cases below ``out`` and say where what is planted.

    Args:
        out: the folder; made if missing.
        cases: how many.
        seed: the same arguments give the same cases.
        workers: processes; None takes the machine's cores, at most 8. 1 starts none.
        progress: called with (done, total) after every case.

    Raises:
        InputError: no case, or a folder that cannot be written.
    """
    if cases < 1:
        raise InputError("at least one planted case is needed")
    folder = Path(out)
    try:
        for name in ("us", "masks", "slides"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError("the phantom's folder cannot be made", path=folder) from problem
    plans = [_responding(plan) for plan in plan_pcr_cohorts({"PHANTOM-B": cases}, seed=seed)]
    made = []
    for one in in_order(partial(_write, folder), plans, workers):
        made.append(one)
        if progress is not None:
            progress(len(made), len(plans))
    return made


def _responding(plan: CasePlan) -> CasePlan:
    """The same patient with a small tumour that responds."""
    rng = plan.generator(_PURPOSE)
    change = float(rng.uniform(0.8, 2.2))
    return replace(
        plan,
        pcr=True,
        clinical=max((draw_clinical(True, rng) for _ in range(_DRAWN)), key=clinical_score),
        change=change,
        shrinking=change,
        brightening=change,
        middle_width_mm=float(rng.uniform(7.5, 10.0)),
        tissue=POOR,
        pixels="mono",
        roi="box",
        slide="png",
    )


def _write(folder: Path, plan: CasePlan) -> PlantedCase:
    rng = plan.generator(_PURPOSE + 1)
    shown = [write_examination(folder, plan, time) for time in (0, 1)]
    before, after = (_on_frame(one.scan.lesions[0], one) for one in shown)
    old, new = (np.add(one.scan.centre, one.screen.origin) for one in shown)
    # Moved with the anatomy: what is gone where the tumour was is the response, too.
    was = shift(before.astype(np.float32), (new - old)[::-1], order=1) > 0.5
    side = max(SQUARE * plan.width_mm(0), _LEAST_MM) / shown[0].scan.pixel_mm
    # Never near the middle: a map that always points there must fail.
    offset = rng.uniform(0.5, 1, 2) * rng.choice((-1, 1), 2)
    rois: list[GivenRoi] = [PointRoi(*_middle(shown[0], before, side, offset), side)]
    rois.append(
        PointRoi(*_middle(shown[1], was, side, offset), side) if plan.visible else FromUs0()
    )
    us0, us1 = (
        UltrasoundSource(folder / one.file, roi) for one, roi in zip(shown, rois, strict=True)
    )
    picture, patches = _tissue(plan, rng)
    slide = folder / "slides" / f"{plan.number:04d}.png"
    write_png(slide, picture)
    clinical = plan.clinical
    case = PcrCase(
        patient_id=plan.patient_id,
        cohort=plan.cohort,
        us0=us0,
        us1=us1,
        pathology=slide,
        clinical=PcrClinical.parse(
            clinical.subtype, clinical.er, str(clinical.ki67), clinical.regimen
        ),
        pcr=True,
        laterality=plan.laterality,
    )
    return PlantedCase(case, {"us0": before, "us1": was | after}, patches)


def _on_frame(mask: NDArray[np.bool_], shown: Examination) -> NDArray[np.bool_]:
    """A mask of the scan on the whole frame."""
    x, y = shown.screen.origin
    whole = np.zeros(shown.screen.furniture.shape[:2], bool)
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole


def _middle(
    shown: Examination, tumour: NDArray[np.bool_], side: float, offset: NDArray[np.float64]
) -> tuple[float, float]:
    """(column, row) of the square's middle on the frame.

    Args:
        shown: the examination.
        tumour: on the whole frame.
        side: of the square, pixels.
        offset: -1 to 1 (across, down): from one end to the other of where the square holds the
            tumour, and lies in the scan as far as it fits into it.
    """
    middle = []
    for axis, extent in enumerate((tumour.any(axis=0), tumour.any(axis=1))):
        at = np.flatnonzero(extent)
        low, high = at[-1] + 1 - side / 2, at[0] - 1 + side / 2
        first = shown.screen.origin[axis]
        last = first + shown.scan.pixels.shape[1 - axis] - 1
        inside = first + side / 2, last - side / 2
        if max(low, inside[0]) < min(high, inside[1]):
            low, high = max(low, inside[0]), min(high, inside[1])
        middle.append(float(low + (high - low) * (offset[axis] + 1) / 2))
    return middle[0], middle[1]


def _tissue(
    plan: CasePlan, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The rectangle, and which of its nine patches hold many lymphocytes."""
    pictures = []
    for tissue in (RICH, POOR):
        made = render_tissue(replace(plan, tissue=tissue))
        x, y, width, height = made.region
        pictures.append(made.pixels[y : y + height, x : x + width])
    rows, columns = (-(-n // 3) for n in pictures[0].shape[:2])
    number = np.arange(9).reshape(3, 3).repeat(rows, axis=0).repeat(columns, axis=1)
    number = number[: pictures[0].shape[0], : pictures[0].shape[1]]
    differs = np.abs(np.subtract(*pictures, dtype=np.int16)).sum(axis=-1) > _SEEN
    stroma = np.bincount(number.ravel(), differs.ravel())
    fit = np.argsort(-stroma)[:_FIT]  # in a patch of nests alone there is no room for them
    patches = np.zeros(9, bool)
    patches[rng.choice(fit, size=int(rng.integers(1, 3)), replace=False)] = True
    rich = patches[number]
    return np.where(rich[..., None], pictures[0], pictures[1]), patches
