"""Drawing the cases of a reader study, blinding them, and keeping the key apart."""

from __future__ import annotations

import json
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom import read_study
from breastpredict.dicom.study import DceAcquisition, Phase
from breastpredict.dicom.write_blinded import write_blinded
from breastpredict.errors import BreastPredictError, InputError
from breastpredict.files import write_atomic, write_folder
from breastpredict.her2 import Her2Case, early_phase, prepare_case
from breastpredict.her2.inputs import reference_phase
from breastpredict.phantom.dealing import apportion
from breastpredict.reader.plan import MODES, Expected, Mode, Plan, check_readers, open_plan
from breastpredict.stats import planned_icc_interval
from breastpredict.study import read_cohort
from breastpredict.study.results import salted_key

Progress = Callable[[int, int, str], None]

DAYS_OF_WASHOUT = 14.0
TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class Planned:
    """A plan that was made.

    Attributes:
        plan: for the readers.
        key_file: for the coordinator only.
        strata: cases drawn of each HER2 class.
        passed_over: drawn cases that could not be read, replaced by the next of their class.
        left_out: patients without a class.
    """

    plan: Plan
    key_file: Path
    strata: dict[str, int]
    passed_over: int
    left_out: int


def make_plan(
    cohort: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    readers: Sequence[str],
    cases: int = 60,
    sessions: int = 2,
    washout_days: float = DAYS_OF_WASHOUT,
    seed: int = 0,
    mode: Mode = "point",
    tolerance_mm: float = TOLERANCE_MM,
    expected_icc: float = 0.8,
    only: Sequence[str] = (),
    key_file: str | os.PathLike[str] | None = None,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Draw cases of a HER2 cohort and write the plan (paper A8).

    The sample keeps the shares of the HER2 classes; patients without a class are left out. Each
    reader and session has an order of its own. Keys are salted; images are rewritten without
    anything of the patient (`breastpredict.dicom.write_blinded`).

    Args:
        cohort: COHORT.csv.
        out: folder of the plan; must be new or empty.
        readers: their pseudonyms.
        cases: how many to draw.
        sessions: how often each reader reads every case.
        washout_days: least time between a reader's sessions.
        seed: of the sample and the orders; it is kept in the key file, not in the plan.
        mode: how every reader starts a contour.
        tolerance_mm: of the surface Dice in the report.
        expected_icc: for the width of the interval to expect.
        only: cohorts to draw from; all when empty.
        key_file: for the coordinator; beside ``out`` by default. Mode 0600.
        now: the time of planning.
        progress: called with cases done, cases in all and what is being done.

    Raises:
        CohortError: the table, all violations.
        InputError: too few cases, impossible settings, or a folder that is not empty.
    """
    out = Path(out)
    names = tuple(readers)
    check_readers(names)
    if sessions < 1 or cases < 2:
        raise InputError("A reader study needs at least two cases and one session")
    if sessions * len(names) < 2:
        raise InputError(
            "One reader and one session leave nothing to compare",
            remedy="Plan a second reader or a second session",
        )
    if not washout_days >= 0 or not tolerance_mm > 0:
        raise InputError("The wash-out must not be negative, and the tolerance above 0 mm")
    if mode not in MODES:
        raise InputError(f"There is no mode {mode!r}", remedy=f"Use one of {', '.join(MODES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("The folder of the plan is not empty", path=out, remedy="Give a new one")
    key_path = Path(key_file) if key_file is not None else out.with_name(f"{out.name}-key.json")
    if out.resolve() in key_path.resolve().parents:
        raise InputError("The key file must lie outside of the plan, which readers get")
    if key_path.exists():
        raise InputError("There is a key file already", path=key_path, remedy="Name another")
    interval = planned_icc_interval(expected_icc, cases, max(sessions, len(names)), form="ICC2")
    rng = np.random.default_rng(seed)
    table = read_cohort(cohort)
    wanted, left_out = _queues(table, cases, only, rng)
    salt = secrets.token_bytes(32)
    say = progress or (lambda done, total, line: None)
    drawn: dict[str, Her2Case] = {}
    strata: dict[str, int] = {}
    passed_over: list[dict[str, str]] = []
    with write_folder(out) as folder:
        for stratum, (count, queue) in wanted.items():
            taken = 0
            for case in queue:
                if taken == count:
                    break
                say(len(drawn), cases, "blinding")
                key = salted_key(salt, case.patient_id)
                try:
                    _blind(case, folder / "cases" / key, key)
                except BreastPredictError as error:
                    passed_over.append({"patient_id": case.patient_id, "reason": str(error)})
                    continue
                drawn[key] = case
                taken += 1
            if taken < count:
                raise InputError(
                    f"Of class {stratum} only {taken} of {count} cases can be read",
                    path=cohort,
                    remedy="Plan fewer cases; the reasons are: "
                    + "; ".join(entry["reason"] for entry in passed_over[:3]),
                )
            strata[stratum] = taken
        keys = sorted(drawn)
        plan = Plan(
            folder=folder,
            study=secrets.token_hex(8),
            readers=names,
            sessions=sessions,
            washout_days=float(washout_days),
            mode=mode,
            tolerance_mm=float(tolerance_mm),
            cases=tuple(keys),
            order={
                name: [[keys[i] for i in rng.permutation(len(keys))] for _ in range(sessions)]
                for name in names
            },
            expected=Expected(*interval),
            created=(now or datetime.now().astimezone()).isoformat(timespec="seconds"),
            synthetic=all(case.extra.get("synthetic") == "1" for case in drawn.values()),
        )
        plan.save()
        _write_key(key_path, plan, Path(cohort), salt, seed, drawn, passed_over)
    say(cases, cases, "done")
    return Planned(open_plan(out), key_path, strata, len(passed_over), left_out)


def _queues(
    table: Sequence[Her2Case], cases: int, only: Sequence[str], rng: np.random.Generator
) -> tuple[dict[str, tuple[int, list[Her2Case]]], int]:
    """HER2 class → how many to draw, and its patients in random order; and those without one."""
    unknown = set(only) - {case.cohort for case in table}
    if unknown:
        raise InputError(f"There is no cohort {', '.join(sorted(unknown))}")
    fitting = [case for case in table if not only or case.cohort in only]
    members: dict[str, list[Her2Case]] = defaultdict(list)
    for case in sorted(fitting, key=lambda case: case.patient_id):
        if case.her2 is not None:
            members[case.her2].append(case)
    total = sum(map(len, members.values()))
    if total < cases:
        raise InputError(
            f"There are {total} patients with a HER2 class, fewer than {cases} cases",
            remedy="Plan fewer cases",
        )
    names = sorted(members)
    counts = apportion(cases, [len(members[name]) for name in names])
    out = {
        name: (count, [members[name][i] for i in rng.permutation(len(members[name]))])
        for name, count in zip(names, counts, strict=True)
    }
    return out, len(fitting) - total


def _blind(case: Her2Case, folder: Path, key: str) -> None:
    """The phase before contrast and the early phase of a case, blinded."""
    acquisition, early = _phases(case)
    before = reference_phase(acquisition, early)
    phases = [early] if before is None else [before, early]
    if len(phases) < 2:
        raise InputError("There is no phase before the early one to see the enhancement against")
    write_blinded(phases, folder, name=key, laterality=acquisition.laterality)


def _phases(case: Her2Case) -> tuple[DceAcquisition, Phase]:
    """The acquisition that holds the tumour, where the table has its mask; else the only one."""
    if case.segmentation is not None:
        prepared = prepare_case(
            case.study, image_size=32, segmentation=case.segmentation, **case.reading
        )
        return prepared.acquisition, prepared.phase
    reading: dict[str, Any] = {
        name: value
        for name, value in case.reading.items()
        if name in ("laterality", "acquisition", "phase")
    }
    study = read_study(case.study, study_uid=case.reading.get("study_uid"))
    acquisition, early, _ = early_phase(study, **reading)
    return acquisition, early


def _write_key(
    path: Path,
    plan: Plan,
    cohort: Path,
    salt: bytes,
    seed: int,
    drawn: dict[str, Her2Case],
    passed_over: Sequence[dict[str, str]],
) -> None:
    content = {
        "format": "breastpredict reader key 1",
        "note": f"For the coordinator only: it tells who the cases are. {RESEARCH_USE_ONLY}",
        "study": plan.study,
        "cohort_table": str(cohort.resolve()),
        "seed": seed,
        "salt": salt.hex(),
        "cases": {
            key: {
                "patient_id": drawn[key].patient_id,
                "cohort": drawn[key].cohort,
                "her2": drawn[key].her2,
            }
            for key in plan.cases
        },
        "passed_over": list(passed_over),
    }
    with write_atomic(path) as temporary:
        os.chmod(temporary, 0o600)
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
