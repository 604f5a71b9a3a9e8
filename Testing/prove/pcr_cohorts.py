"""Phantom cohorts as arrays for the proofs of the pCR system: rendered, written, read, prepared.

The lymphocytes' density follows the tissue `TISSUE` times as strongly as in the phantom itself:
patches of 64 pixels show 4 µm a pixel, at which the phantom's own differences drown (the best
count of dark pixels has an area of 0.72, with this 0.77; the ideal observer 0.78). Who is ill, and
how, is as planned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.learning.examples import MultiInputExample
from breastpredict.pcr import (
    PcrCase,
    PcrClinical,
    UltrasoundSource,
    parse_roi,
    prepare_pcr,
)
from breastpredict.phantom.dealing import in_order
from breastpredict.phantom.pcr import write_examination, write_slide
from breastpredict.phantom.pcr_plan import CasePlan, Null, plan_pcr_cohorts
from breastpredict.phantom.pcr_tissue import render_tissue

TISSUE = 1.8
SIZE = 64
CLEAR = {True: 1.9, False: -1.5}
POOL, OUTSIDE = "PHANTOM-A", "PHANTOM-B"
ALL = ("pathology", "us0", "us1", "clinical")


@dataclass(frozen=True)
class Patients:
    """A cohort.

    Attributes:
        arrays: input → ``[patients, ...]`` as `breastpredict.pcr.prepare_pcr` makes it.
        pcr: 0 or 1.
        outside: who is of the external cohort.
        clinical: what was known of each.
    """

    arrays: dict[str, NDArray[Any]]
    pcr: NDArray[np.int64]
    outside: NDArray[np.bool_]
    clinical: tuple[PcrClinical, ...]

    def examples(
        self, names: Sequence[str], outside: bool, pcr: NDArray[np.int64] | None = None
    ) -> list[MultiInputExample]:
        """Of the pool or of the external cohort, with these inputs; ``pcr`` for other labels."""
        labels = self.pcr if pcr is None else pcr
        return [
            MultiInputExample(
                f"P{n}",
                {name: self.arrays[name][n] for name in names},
                int(labels[n]),
            )
            for n in np.flatnonzero(self.outside == outside)
        ]


def make_patients(
    pool: int,
    outside: int,
    seed: int,
    *,
    null: Null | None = None,
    needs: Sequence[str] = ALL,
    clear: bool = False,
    workers: int | None = 1,
) -> Patients:
    """Render a cohort, write its files, read and prepare them.

    Args:
        pool, outside: patients to train on, and of the external cohort.
        seed, null: of the plan.
        needs: what is prepared.
        clear: the tumours of one outcome all change alike (`CLEAR`): what few patients can teach.
        workers: processes.
    """
    plans = plan_pcr_cohorts({POOL: pool, OUTSIDE: outside}, seed=seed, null=null)
    found = list(in_order(partial(_prepared, tuple(needs), clear), plans, workers))
    return Patients(
        {name: np.stack([one[name] for one in found]) for name in needs},
        np.array([int(plan.pcr) for plan in plans]),
        np.array([plan.cohort == OUTSIDE for plan in plans]),
        tuple(_clinical(plan) for plan in plans),
    )


def _clinical(plan: CasePlan) -> PcrClinical:
    found = plan.clinical
    return PcrClinical.parse(found.subtype, found.er, str(found.ki67), found.regimen)


def _prepared(needs: tuple[str, ...], clear: bool, plan: CasePlan) -> dict[str, NDArray[Any]]:
    plan = replace(
        plan,
        tissue=TISSUE * plan.tissue,
        slide="png",
        pixels="mono",
        roi="box",
    )
    if clear:
        plan = replace(plan, shrinking=CLEAR[plan.pcr], brightening=CLEAR[plan.pcr])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("us", "masks", "slides"):
            (folder / part).mkdir()
        sources: dict[str, UltrasoundSource] = {}
        if {"us0", "us1"} & set(needs):
            for time in (0, 1):
                shown = write_examination(folder, plan, time)
                roi = parse_roi(shown.roi, folder)
                sources[f"us{time}"] = UltrasoundSource(folder / shown.file, roi)
        slide = None
        if "pathology" in needs:
            slide = folder / write_slide(folder, plan, render_tissue(plan))[0]
        case = PcrCase(
            patient_id=plan.patient_id,
            us0=sources.get("us0"),
            us1=sources.get("us1"),
            pathology=slide,
            clinical=_clinical(plan),
            laterality=plan.laterality,
        )
        return dict(prepare_pcr(case, needs=needs, image_size=SIZE).inputs)
