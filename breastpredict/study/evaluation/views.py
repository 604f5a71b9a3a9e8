"""One task as a report shows it: its figures, its tables, and its part of evaluation.json."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breastpredict.learning.evaluation import CohortResult
from breastpredict.stats import Estimate
from breastpredict.study.drawing import Drawing
from breastpredict.study.evaluation import figures
from breastpredict.study.evaluation.figures import Spread
from breastpredict.study.evaluation.numbers import TRAINED, TaskNumbers
from breastpredict.study.evaluation.tables import PROPORTIONS, to_json


@dataclass(frozen=True)
class Shown:
    """A figure of the page.

    Attributes:
        name: of its files.
        text: what it shows.
        table: file with its numbers.
        drawing: itself.
    """

    name: str
    text: str
    table: str
    drawing: Drawing

    @property
    def uri(self) -> str:
        """The SVG as a data URI; in an image of its own no style or name of it meets the page's."""
        return svg_uri(self.drawing.svg)


def task_figures(task: TaskNumbers, words: Callable[[str], str]) -> list[Shown]:
    """The figures of a task; none where nobody unseen has a prediction.

    Args:
        task: its numbers.
        words: name of a class → as readers see it.
    """
    evaluation, name = task.evaluation, task.evaluation.task.name
    positive, negative = words(evaluation.task.positive), words(evaluation.task.negative)
    cohorts = evaluation.cohorts
    if not cohorts:
        return []
    curves = [marker.name for marker in task.markers if marker.name != TRAINED]
    what = "Predicted probability" if task.probability else "Score"
    found = [
        Shown(
            f"roc_{name}",
            "ROC curves with pointwise 95 % bands of the model (bootstrap by patient) and the "
            "operating point of each fixed threshold; no band below 5 cases of a class. AUC "
            "with logit-DeLong interval.",
            f"roc_{name}.csv",
            figures.roc(cohorts, curves),
        ),
        Shown(
            f"confusion_{name}",
            "Confusion matrices of the model at its threshold: cases, and share of the row.",
            f"confusion_{name}.csv",
            figures.confusion(cohorts, negative, positive),
        ),
        Shown(
            f"scores_{name}",
            f"The model's scores by true class; a high score points to {positive}.",
            f"scores_{name}.csv",
            figures.scores(_spreads(task), negative, positive, what),
        ),
    ]
    if task.probability:
        found.append(
            Shown(
                f"calibration_{name}",
                "Calibration: predicted probability against the observed share in bins of "
                "equal size, with Wilson intervals.",
                f"calibration_{name}.csv",
                figures.calibration(cohorts),
            )
        )
        found.append(
            Shown(
                f"decision_{name}",
                f"Decision curves: net benefit of acting on {positive} at each threshold "
                "probability.",
                f"decision_{name}.csv",
                figures.decision(cohorts, curves),
            )
        )
    if evaluation.subgroups:
        found.append(
            Shown(
                f"subgroups_{name}",
                "AUC of the model in subgroups of all unseen patients. Differences between "
                "cohorts are part of them.",
                "subgroups.csv",
                figures.subgroups(evaluation.subgroups),
            )
        )
    return found


def task_view(
    task: TaskNumbers, shown: Sequence[Shown], words: Callable[[str], str]
) -> dict[str, Any]:
    """One task as the page shows it."""
    evaluation = task.evaluation
    notes = {marker.name: marker.note for marker in task.markers}
    return {
        "title": evaluation.title,
        "positive": words(evaluation.task.positive),
        "negative": words(evaluation.task.negative),
        "threshold": task.markers[0].threshold,
        "notes": [(m.name, m.note) for m in task.markers if m.note],
        "cohorts": [cohort_view(cohort, notes) for cohort in evaluation.cohorts],
        "training": [cohort_view(cohort, notes) for cohort in evaluation.training],
        "out_of_fold": None if task.out_of_fold is None else cohort_view(task.out_of_fold, {}),
        "figures": shown,
        "subgroups": evaluation.subgroups,
        "probability": task.probability,
        "baseline": task.baseline,
        "trained": TRAINED in {marker.name for marker in task.markers},
    }


def task_content(task: TaskNumbers) -> dict[str, Any]:
    """One task in evaluation.json."""
    baseline = task.baseline
    return {
        **to_json(task.evaluation),
        "probability": task.probability,
        "cross_validated": to_json(task.out_of_fold),
        "clinical_baseline": None
        if baseline is None
        else {
            "columns": list(baseline.columns),
            "dropped": dict(baseline.dropped),
            "handling": list(baseline.handling),
            "coefficients": list(baseline.coefficients),
            "training_patients": baseline.rows,
            "threshold": baseline.threshold,
        },
    }


def cohort_view(cohort: CohortResult, notes: Mapping[str, str]) -> dict[str, Any]:
    """One cohort; what is to be said of a marker in every cohort stands above the table."""
    rows = []
    for marker in cohort.markers:
        test = marker.against_model
        rows.append(
            {
                "marker": marker.marker,
                "n": marker.n,
                "auc": estimate(marker.auc),
                "threshold": marker.threshold,
                "proportions": [
                    estimate(getattr(marker.metrics, name), 2) if marker.metrics else "–"
                    for name in PROPORTIONS
                ],
                "p": "" if test is None else p_value(test.p_value),
                "difference": "" if test is None else signed(test.difference),
                "note": marker.note.removeprefix(notes.get(marker.marker, "")).lstrip("; "),
            }
        )
    return {
        "cohort": cohort.cohort,
        "n": cohort.n,
        "positives": cohort.positives,
        "markers": rows,
        "warnings": cohort.warnings,
    }


def p_value(p: float) -> str:
    """A p value as tables show it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def signed(value: float) -> str:
    """A difference as tables show it."""
    return f"{value:+.3f}".replace("-", "−")


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """A number and its limits as tables show them."""
    if value is None or not np.isfinite(value.value):
        return "–"
    text = f"{value.value:.{digits}f}"
    if np.isfinite(value.low):
        text += f" ({value.low:.{digits}f} to {value.high:.{digits}f})"
    return text.replace("-", "−")


def svg_uri(svg: str) -> str:
    """An SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _spreads(task: TaskNumbers) -> list[Spread]:
    model = task.markers[0]
    groups = np.array(task.cases.cohorts, dtype=object)
    out = []
    for cohort in task.evaluation.cohorts:
        part = (groups == cohort.cohort) & ~task.cases.training
        cut = model.threshold.value if model.threshold else None
        out.append(Spread(cohort.cohort, task.cases.labels[part], model.scores[part], cut))
    return out
