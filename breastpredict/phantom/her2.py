"""Synthetic HER2 cohorts as DICOM studies with true masks and a COHORT.csv.

HER2 status shows only in the lesions' shape and texture (`breastpredict.phantom.lesion`), never in
their size or mean enhancement, nor in scanner, voxel size, noise or brightness, which are dealt
evenly within every class (`breastpredict.phantom.her2_plan`).

Everything written says that it is not real: StudyDescription starts with ``BreastPredict phantom``
(`STUDY_DESCRIPTION`), the patient is called ``Phantom^…``, and COHORT.csv has a column
``synthetic`` that is 1 in every row. A model trained on any such case is synthetic.

Cohorts: SITE-A (70 %, split empty: the training pool), SITE-B and SITE-C (15 % each, split
``external``), all axial, with voxels two to three times as thick as wide. Each mixes vendors'
layouts in its own proportions.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path

from breastpredict.errors import InputError
from breastpredict.files import write_folder, write_text
from breastpredict.phantom.clinical import clinical_row
from breastpredict.phantom.dealing import in_order
from breastpredict.phantom.her2_plan import CasePlan, plan_her2_cohorts
from breastpredict.phantom.her2_render import render_her2_case
from breastpredict.phantom.mr_dicom import write_dce
from breastpredict.phantom.mr_study import StudyHeader
from breastpredict.phantom.truth_seg import write_truth

STUDY_DESCRIPTION = "BreastPredict phantom"
"""How the StudyDescription of every phantom study starts."""

COLUMNS = (
    "patient_id", "cohort", "split", "study", "segmentation", "ihc", "ish", "age", "menopause",
    "histology", "pt", "pn", "grade", "er", "pr", "ki67", "os_months", "os_event", "rfs_months",
    "rfs_event", "synthetic",
)  # fmt: skip


def make_her2_phantom(
    out: str | os.PathLike[str],
    cases: int | Mapping[str, int],
    *,
    seed: int = 0,
    matrix: int = 96,
    slices: int = 18,
    phases: int = 3,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic cohort: ``OUT/COHORT.csv``, ``OUT/studies/…``, ``OUT/masks/….dcm``.

    Args:
        out: the folder; made if missing. Cases that are there already are written anew.
        cases: the total (70/15/15 % to SITE-A, SITE-B, SITE-C) or a number for each cohort.
        seed: the same arguments give the same bytes.
        matrix, slices, phases: size of a study; see `plan_her2_cohorts`.
        workers: processes; None takes the machine's cores, at most 8. 1 starts none.
        progress: called with (done, total) after every case.

    Returns:
        The path of COHORT.csv; the paths in it are relative to its folder.

    Raises:
        InputError: impossible sizes, or a folder that cannot be written.
    """
    plans = plan_her2_cohorts(cases, seed=seed, matrix=matrix, slices=slices, phases=phases)
    folder = Path(out)
    try:
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        (folder / "studies").mkdir(exist_ok=True)
    except OSError as problem:
        raise InputError("the phantom's folder cannot be made", path=folder) from problem
    rows = []
    for row in in_order(partial(write_her2_case, folder), plans, workers):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(plans))
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "COHORT.csv", text.getvalue())
    return folder / "COHORT.csv"


def write_her2_case(folder: Path, plan: CasePlan) -> dict[str, str]:
    """Render and write one case below ``folder``; its row of COHORT.csv."""
    rendered = render_her2_case(plan)
    row = clinical_row(plan)
    left = rendered.mask.GetOrigin()[0] > -30  # x grows to the patient's left
    header = StudyHeader(
        patient_id=plan.patient_id,
        patient_name=f"Phantom^{plan.number:04d}",
        study_description=f"{STUDY_DESCRIPTION} HER2",
        seed=plan.seed,
        start=datetime(2020, 1, 1, 8) + timedelta(days=plan.number % 300),
        age=int(row["age"]),
        laterality="L" if left else "R",
        field_strength_t=3.0 if plan.number % 2 else 1.5,
        # Old GE scanners give no time at all; half of the phantom's are of that kind.
        trigger_times=plan.number % 2 == 0,
    )
    name = f"{plan.number:04d}"
    study, mask = folder / "studies" / name, folder / "masks" / f"{name}.dcm"
    with write_folder(study) as made:
        written = write_dce(
            made, rendered.phases, layout=plan.layout, times_s=rendered.times_s, header=header
        )
        write_truth(rendered.mask, written.phases[1], mask, header)
    return {
        "patient_id": plan.patient_id,
        "cohort": plan.cohort,
        "split": plan.split,
        "study": study.relative_to(folder).as_posix(),
        "segmentation": mask.relative_to(folder).as_posix(),
        **row,
        "synthetic": "1",
    }
