"""Cohort tables with synthetic predictions, as ``her2 batch`` leaves them, of any size."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict.her2.cases import POINTS_TO
from breastpredict.study.results import FAILURES, PREDICTIONS, csv_text

CLASSES = ("zero", "low", "positive")
STAINS = {"zero": ("0", ""), "low": ("1+", ""), "positive": ("3+", "")}
THRESHOLDS = (0.55, 0.45)
WEIGHTS = {task: letter * 64 for task, letter in zip(POINTS_TO, "ab", strict=True)}
MASK = "mask.nrrd"


@dataclass(frozen=True)
class Site:
    """Patients of one cohort and split; the share of each HER2 class follows the paper."""

    name: str
    patients: int
    split: str = "external"
    predicted: bool = True


SMALL = (Site("SITE-A", 40, "train", False), Site("SITE-A", 10, "validation"), Site("SITE-B", 20))
"""The 30 patients predicted, and 40 to fit the baselines on."""
LARGE = (
    Site("SITE-A", 1200, "train", False),
    Site("SITE-A", 300, "validation"),
    Site("SITE-B", 700),
    Site("University Hospital of the Long Name, Department of Radiology, 1.5 T scanners", 600),
    Site("SITE-D", 500),
    Site("SITE-E", 500),
    Site("SITE-F <b>&amp;</b> $x_1$", 400),
)
"""3000 predicted in six groups, one with a name that does not fit and one that is no name."""


@dataclass(frozen=True)
class Cohort:
    """The files, and what is in them; ``columns`` are those of predictions.csv."""

    table: Path
    predictions: Path
    rows: list[dict[str, Any]]
    predicted: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    columns: Sequence[str] = tuple(PREDICTIONS)

    def write(self) -> None:
        """Write the tables anew, after a change."""
        with open(self.table, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        text = csv_text(self.columns, self.predicted)
        (self.predictions / "predictions.csv").write_text(text, "utf-8")
        text = csv_text(FAILURES, self.failures)
        (self.predictions / "failures.csv").write_text(text, "utf-8")

    def of(self, patient: str) -> dict[str, Any]:
        """The patient's row of predictions.csv."""
        return next(row for row in self.predicted if row["patient_id"] == patient)


def make_evaluation_cohort(
    folder: Path,
    sites: Sequence[Site],
    *,
    seed: int = 0,
    calibrated: bool = True,
    results: int = 200,
    thresholds: tuple[float, float] = THRESHOLDS,
    lost: Mapping[str, int] | None = None,
) -> Cohort:
    """Write COHORT.csv and OUT.

    Args:
        folder: gets both.
        sites: the patients; a cohort may stand in several splits.
        seed: of everything.
        calibrated: the scores are probabilities.
        results: so many predictions get a result.json (the tables alone are enough).
        thresholds: of both tasks.
        lost: of the last site: number "refused", "failed", "missing" and "indeterminate".
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MASK).touch()
    out = folder / "OUT"
    out.mkdir()
    cohort = Cohort(folder / "COHORT.csv", out, [], [], [])
    left = dict(lost or {})
    for site in sites:
        for _ in range(site.patients):
            number = len(cohort.rows)
            her2 = str(rng.choice(CLASSES, p=(0.2, 0.48, 0.32)))
            row = _patient(rng, number, site, her2)
            cohort.rows.append(row)
            kind = next((k for k, n in left.items() if n), "") if site is sites[-1] else ""
            if kind:
                left[kind] -= 1
            if kind == "indeterminate":
                row["ihc"], row["ish"] = "2+", ""
            elif kind in ("refused", "failed"):
                cohort.failures.append(_failure(number, row, kind))
                continue
            if site.predicted and kind != "missing":
                cohort.predicted.append(_prediction(rng, number, row, her2, thresholds))
                if len(cohort.predicted) <= results:
                    _result(out, rng, cohort.predicted[-1], her2, calibrated)
    cohort.write()
    return cohort


def _patient(rng: np.random.Generator, number: int, site: Site, her2: str) -> dict[str, Any]:
    ihc, ish = STAINS[her2]
    age = int(np.clip(rng.normal(52, 11), 25, 88))
    return {
        "patient_id": f"MRN-{number:05d}",
        "cohort": site.name,
        "split": site.split,
        "study": ".",
        "segmentation": MASK,
        "ihc": ihc,
        "ish": ish,
        "age": "NA" if rng.random() < 0.05 else age,
        "menopause": "post" if age > 51 else "pre",
        "grade": "NA" if rng.random() < 0.1 else int(rng.choice([1, 2, 3])),
        "er": "+" if rng.random() < (0.8 if her2 == "low" else 0.5) else "-",
        "ki67": int(np.clip(rng.normal(25 if her2 == "low" else 35, 15), 1, 95)),
        "vendor": str(rng.choice(["SIEMENS", "GE", "Philips"])),
        "synthetic": 1,
    }


def _prediction(
    rng: np.random.Generator,
    number: int,
    row: Mapping[str, Any],
    her2: str,
    cuts: tuple[float, float],
) -> dict[str, Any]:
    first = 1 / (1 + np.exp(-rng.normal(2.0 if her2 != "zero" else 0.3, 1.2)))
    second = 1 / (1 + np.exp(-rng.normal(1.2 if her2 == "low" else -0.6, 1.2)))
    said = "zero" if first < cuts[0] else "low" if second >= cuts[1] else "positive"
    return {
        "patient_id": row["patient_id"],
        "case_key": f"{number:016x}",
        "cohort": row["cohort"],
        "p_zero": repr(float(1 - first)),
        "p_low": repr(float(first * second)),
        "p_positive": repr(float(first * (1 - second))),
        "predicted_class": said,
        "task1_score": repr(float(first)),
        "task1_points_to": "low_or_positive",
        "task1_threshold": repr(cuts[0]),
        "task2_score": repr(float(second)),
        "task2_points_to": "low",
        "task2_threshold": repr(cuts[1]),
        "synthetic": 1,
        "overrides": "",
        "note": "research use only",
    }


def _result(
    out: Path, rng: np.random.Generator, row: Mapping[str, Any], her2: str, calibrated: bool
) -> None:
    folder = out / row["case_key"]
    folder.mkdir()
    content = {
        "status": "predicted",
        "area_mm2": float(np.exp(rng.normal(5.4 if her2 == "zero" else 5.6, 0.5))),
        "volume_mm3": 2000.0,
        "scores": [{"task": task, "calibrated": calibrated} for task in POINTS_TO],
        "weights_sha256": WEIGHTS,
    }
    (folder / "result.json").write_text(json.dumps(content), "utf-8")


def _failure(number: int, row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    refused = kind == "refused"
    return {
        "patient_id": row["patient_id"],
        "case_key": f"{number:016x}",
        "cohort": row["cohort"],
        "stage": "gate spacing" if refused else "input",
        "reason": "the pixels are 3.00 mm wide; the model was trained on 0.50 to 1.20 mm"
        if refused
        else f"The series has no phase [/data/{row['patient_id']}/series 1]. Export it again.",
    }
