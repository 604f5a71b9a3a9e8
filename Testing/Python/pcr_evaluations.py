"""Cohort tables, predictions and a run of pCR, made by hand: nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_cohorts import Cohort

from breastpredict.models import build_network, save_bundle
from breastpredict.models.pcr_network import PCR_PRESETS, PCR_VARIANTS, pcr_variant
from breastpredict.pcr import PcrClinical
from breastpredict.pcr.baseline import ClinicalBaseline, fit_clinical, write_baseline
from breastpredict.pcr.train_files import write_scores, write_split
from breastpredict.study.case_output import data_uri
from breastpredict.study.pcr_batch import COLUMNS

VARIANTS = ("full", "ultrasound", "pathology")
THRESHOLDS = {"pcr_full": 0.45, "pcr_ultrasound": 0.5, "pcr_pathology": 0.4}
_SKILL = {"pcr_full": 2.2, "pcr_ultrasound": 1.4, "pcr_pathology": 0.8}
_KINDS = (("HR+/HER2-", "positive", "anthracycline+taxane", 0.15),
          ("HR+/HER2+", "low", "anti-HER2", 0.5),
          ("TN", "negative", "taxane+platinum", 0.6))  # fmt: skip


@dataclass(frozen=True)
class PcrCohort:
    """The files, the run, and what is in both.

    Attributes:
        cohort: table and predictions.
        run: of the training.
        sets: patient → set of the training.
        scores: rows of scores.csv.
        baseline: of the run.
    """

    cohort: Cohort
    run: Path
    sets: dict[str, str]
    scores: list[dict[str, Any]]
    baseline: ClinicalBaseline

    def write(self) -> None:
        """Write all tables anew, after a change."""
        self.cohort.write()
        rows = {row["patient_id"]: row for row in self.cohort.rows}
        write_split(
            self.run,
            [
                {"patient_id": p, "cohort": rows[p]["cohort"], "pcr": rows[p]["pcr"], "set": name}
                for p, name in self.sets.items()
            ],
        )
        write_scores(self.run, self.scores)

    def patients(self, name: str) -> list[str]:
        """Those of a set."""
        return [patient for patient, own in self.sets.items() if own == name]


def make_pcr_evaluation(
    folder: Path,
    *,
    seed: int = 0,
    external: str = "SITE-B",
    external_patients: int = 60,
    pictures: int = 0,
) -> PcrCohort:
    """100 patients of a training (10 tuning, 12 validation, 18 multifocal), and an external site.

    Of the external site two were refused, one failed, one was not tried, one has no outcome, and
    six multifocal ones are among it. Every fifth has no biopsy: scored by the variant without it.

    Args:
        folder: gets everything.
        seed: of the numbers.
        external: name of the external site.
        external_patients: there.
        pictures: so many predictions get a report with a picture.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "OUT"
    out.mkdir()
    cohort = Cohort(folder / "COHORT.csv", out, [], [], [], COLUMNS)
    order = ["train"] * 60 + ["tuning"] * 10 + ["validation"] * 12 + ["apart"] * 18
    sets: dict[str, str] = {}
    for number in range(len(order) + external_patients):
        name = order[number] if number < len(order) else ""
        row = _patient(rng, number, name, external)
        cohort.rows.append(row)
        if name:
            sets[row["patient_id"]] = name
    strangers = cohort.rows[len(order) :]
    for row in strangers[5:11]:
        row["focality"] = "multifocal"
    clinical = {row["patient_id"]: _clinical(row) for row in cohort.rows}
    fitted = [row for row in cohort.rows if sets.get(row["patient_id"]) in ("train", "tuning")]
    baseline = fit_clinical(
        [clinical[row["patient_id"]] for row in fitted], [row["pcr"] for row in fitted]
    )
    run = write_untrained_run(folder / "run")
    write_baseline(run, baseline)
    logits = {
        row["patient_id"]: {
            task: float(rng.normal(skill * (row["pcr"] - 0.5), 1.0))
            for task, skill in _SKILL.items()
        }
        for row in cohort.rows
    }
    scores = [
        _score(row, sets[row["patient_id"]], task, logits[row["patient_id"]][task])
        for task in _SKILL
        for row in cohort.rows[: len(order)]
    ]
    lost = {id(strangers[0]): "gate spacing", id(strangers[1]): "gate spacing",
            id(strangers[2]): "input"}  # fmt: skip
    for number, row in enumerate(strangers):
        if id(row) in lost:
            cohort.failures.append(_failure(number, row, lost[id(row)]))
        elif number != 3:
            task = "pcr_ultrasound" if number % 5 == 0 else "pcr_full"
            logit = logits[row["patient_id"]][task]
            p = baseline.probability(clinical[row["patient_id"]])
            cohort.predicted.append(_prediction(number, row, task, logit, p))
            _result(out, cohort.predicted[-1], run, len(cohort.predicted) <= pictures)
    strangers[4]["pcr"] = ""
    found = PcrCohort(cohort, run, sets, scores, baseline)
    found.write()
    return found


def write_untrained_run(folder: Path) -> Path:
    """A bundle a variant, of the reduced network; the weights mean nothing."""
    for variant in VARIANTS:
        task = f"pcr_{variant}"
        network = pcr_variant(PCR_PRESETS["reduced"], **PCR_VARIANTS[variant])
        save_bundle(
            folder / task,
            build_network(network),
            network=network,
            metadata={
                "task": task,
                "positive_class": "pcr",
                "negative_class": "no_pcr",
                "threshold": THRESHOLDS[task],
                "threshold_rule": "Youden index on tuning patients",
                "prevalence": 0.4,
                "calibration": {"method": "none", "probability": True},
                "synthetic": True,
                "training_data": {},
                "input": {},
            },
        )
    return folder


def change_block(bundle: Path, changes: Mapping[str, Any]) -> None:
    """Change a bundle's metadata."""
    path = bundle / "configs" / "metadata.json"
    content = json.loads(path.read_text("utf-8"))
    content["breastpredict"] |= changes
    path.write_text(json.dumps(content), "utf-8")


def _patient(rng: np.random.Generator, number: int, name: str, external: str) -> dict[str, Any]:
    subtype, er, regimen, share = _KINDS[rng.integers(len(_KINDS))]
    return {
        "patient_id": f"MRN-{number:05d}",
        "cohort": "SITE-A" if name else external,
        "split": "" if name else "external",
        "focality": "multifocal" if name == "apart" else "unifocal",
        **dict.fromkeys(("us0", "us1", "us0_roi", "us1_roi", "pathology"), ""),
        "subtype": subtype,
        "er": er,
        "ki67": int(np.clip(rng.normal(30 + 30 * share, 15), 1, 95)),
        "regimen": regimen,
        "pcr": int(rng.random() < share),
        "synthetic": 1,
    }


def _clinical(row: Mapping[str, Any]) -> PcrClinical:
    return PcrClinical(row["subtype"], row["er"], float(row["ki67"]), row["regimen"])


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _score(row: Mapping[str, Any], name: str, task: str, logit: float) -> dict[str, Any]:
    score, cut = _sigmoid(logit), THRESHOLDS[task]
    return {
        "task": task,
        "points_to": "pcr",
        "patient_id": row["patient_id"],
        "set": name,
        "out_of_sample": int(name in ("validation", "apart")),
        "label": row["pcr"],
        "score": score,
        "threshold": cut,
        "above": int(score >= cut),
    }


def _prediction(
    number: int, row: Mapping[str, Any], task: str, logit: float, clinical: float
) -> dict[str, Any]:
    score, cut = _sigmoid(logit), THRESHOLDS[task]
    return {
        "patient_id": row["patient_id"],
        "case_key": f"{number:016x}",
        "cohort": row["cohort"],
        "p_pcr": repr(score),
        "threshold": repr(cut),
        "expected": int(score >= cut),
        "p_clinical": repr(clinical),
        "variant": task,
        "interval_weeks": "6.0",
        "synthetic": 1,
        "overrides": "",
        "note": "research use only",
    }


def _result(out: Path, row: Mapping[str, Any], run: Path, picture: bool) -> None:
    folder = out / row["case_key"]
    folder.mkdir()
    task = row["variant"]
    metadata = json.loads((run / task / "configs" / "metadata.json").read_text("utf-8"))
    content = {
        "calibrated": True,
        "weights_sha256": {task: metadata["breastpredict"]["weights_sha256"]},
    }
    (folder / "result.json").write_text(json.dumps(content), "utf-8")
    if picture:
        image = np.full((64, 64, 3), 90, np.uint8)
        text = f'<img src="{data_uri(image, 64)}" alt="US-1: what the network sees">'
        (folder / "report.html").write_text(text, "utf-8")


def _failure(number: int, row: Mapping[str, Any], stage: str) -> dict[str, Any]:
    refused = stage != "input"
    return {
        "patient_id": row["patient_id"],
        "case_key": f"{number:016x}",
        "cohort": row["cohort"],
        "stage": stage,
        "reason": "the pixels are 0.50 mm wide; the model was trained on 0.05 to 0.20 mm"
        if refused
        else f"The file is cut short [/data/{row['patient_id']}/us1.dcm]. Export it again.",
    }
