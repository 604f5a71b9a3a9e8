"""What the report pages of both systems share: figures of a task, views, and the folder."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.learning.evaluation import CohortResult
from breastpredict.stats import Estimate
from breastpredict.study.case_output import templates
from breastpredict.study.drawing import Drawing
from breastpredict.study.evaluation import figures
from breastpredict.study.evaluation.figures import Spread
from breastpredict.study.evaluation.join import Lost, ScoredCase
from breastpredict.study.evaluation.numbers import TRAINED, TaskNumbers
from breastpredict.study.evaluation.panels import pictures_of
from breastpredict.study.evaluation.tables import PROPORTIONS, to_json
from breastpredict.study.flow import CohortFlow, flow_svg
from breastpredict.study.results import csv_text

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]
PAGE, DATA = "index.html", "evaluation.json"
_LOST_SHOWN = 200
_LOST_PICTURES = 6
_FLOWS = 3


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
        return _svg_uri(self.drawing.svg)


@dataclass(frozen=True)
class Report:
    """All of a report's folder but what every report has.

    Attributes:
        template: of the page.
        label: column of the true class in ``lost``, and its title.
        synthetic: the model was trained on phantoms.
        figures: group → its figures; every one becomes files.
        flows: the inclusion flow, as SVG.
        tables: file name → CSV text.
        lost: rows of not_evaluated.csv.
        content: of evaluation.json.
        view: what the template needs besides.
    """

    template: str
    label: tuple[str, str]
    synthetic: bool
    figures: Mapping[str, Sequence[Shown]]
    flows: Sequence[str]
    tables: Mapping[str, str]
    lost: Sequence[Row]
    content: Mapping[str, Any]
    view: Mapping[str, Any]


def write_report(out: Path, report: Report) -> Path:
    """Write the folder, whole or not at all; an earlier report is replaced. Returns the page."""
    synthetic_note = SYNTHETIC_WARNING if report.synthetic else ""
    with write_folder(out) as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir()
        for figure in [f for group in report.figures.values() for f in group]:
            _write(folder / "figures" / f"{figure.name}.svg", figure.drawing.svg)
            (folder / "figures" / f"{figure.name}.png").write_bytes(figure.drawing.png)
        for number, flow in enumerate(report.flows, start=1):
            _write(folder / "figures" / f"flow_{number}.svg", flow)
        for name, text in report.tables.items():
            _write(folder / "tables" / name, text)
        columns = ("case", "cohort", report.label[0], "kind", "stage", "reason")
        _write(folder / "tables" / "not_evaluated.csv", csv_text(columns, report.lost))
        content = {
            "software": f"BreastPredict {__version__}",
            "research_use_only": RESEARCH_USE_ONLY,
            "synthetic": report.synthetic,
            "synthetic_note": synthetic_note,
            **report.content,
            "not_evaluated": list(report.lost),
        }
        _write(folder / DATA, json.dumps(content, indent=1, allow_nan=False) + "\n")
        page = (
            templates()
            .get_template(report.template)
            .render(
                note=RESEARCH_USE_ONLY,
                synthetic_note=synthetic_note,
                flow_uris=list(map(_svg_uri, report.flows)),
                lost=report.lost[:_LOST_SHOWN],
                lost_total=len(report.lost),
                label_column=report.label[0],
                label_title=report.label[1],
                estimate=estimate,
                software=f"BreastPredict {__version__}",
                date=datetime.now().astimezone().isoformat(timespec="seconds"),
                **report.view,
            )
        )
        _write(folder / PAGE, page)
    return out / PAGE


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """A number and its limits as tables show them."""
    if value is None or not np.isfinite(value.value):
        return "–"
    text = f"{value.value:.{digits}f}"
    if np.isfinite(value.low):
        text += f" ({value.low:.{digits}f} to {value.high:.{digits}f})"
    return text.replace("-", "−")


def check_target(out: Path) -> None:
    """Refuse a folder that is none of ours: the old one is replaced as a whole.

    Raises:
        InputError: a file, or a folder that holds something else.
    """
    if out.exists() and not out.is_dir():
        raise InputError("The report needs a folder, and this is a file", path=out)
    if out.is_dir() and any(out.iterdir()) and not (out / DATA).is_file():
        raise InputError(
            "The folder for the report is not empty and holds no earlier report",
            path=out,
            remedy="Give a new folder",
        )


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


def lost_row(
    entry: Lost[Any],
    label: Mapping[str, Any],
    secrets: Sequence[str],
    identifiers: bool,
) -> Row:
    """A patient without a prediction, as a row of not_evaluated.csv.

    Args:
        entry: the patient.
        label: name of the column of the true class, and that.
        secrets: texts that must not be in the reason: paths often hold the patient's name.
        identifiers: name the patient, and leave the reason as it is.
    """
    reason = entry.reason
    if not identifiers:
        reason = re.sub(r"\[.*\]", "[…]", reason)
        for secret in (entry.case.patient_id, *secrets):
            if len(secret) > 1:
                reason = reason.replace(secret, "…")
    return {
        "case": entry.case.patient_id if identifiers else entry.key or "–",
        "cohort": entry.case.cohort,
        **label,
        "kind": entry.kind,
        "stage": entry.stage,
        "reason": reason,
    }


def lost_views(lost: Sequence[Lost[Any]], row_of: Callable[[Lost[Any]], Row]) -> list[Row]:
    """Refused cases that have pictures of their own."""
    out: list[Row] = []
    for entry in lost:
        if len(out) == _LOST_PICTURES:
            break
        if entry.kind == "refused" and (views := pictures_of(entry.folder)):
            out.append({**row_of(entry), "views": views})
    return out


def flow_sets(
    scored: Sequence[ScoredCase], lost: Sequence[Lost[Any]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Patient → set of the evaluation, and patient → why there is no prediction."""
    sets = {s.case.patient_id: "seen by the model" if s.training else "evaluated"
            for s in scored}  # fmt: skip
    sets |= {
        entry.case.patient_id: "seen by the model"
        if entry.kind == "training"
        else "without a prediction"
        for entry in lost
    }
    reasons = {
        entry.case.patient_id: "seen by the model, not predicted"
        if entry.kind == "training"
        else f"{entry.kind}: {entry.stage}".strip(": ")
        for entry in lost
    }
    return sets, reasons


def flow_pictures(flows: Sequence[CohortFlow], prefix: str) -> list[str]:
    """The inclusion flow as SVG, so few cohorts in each that its letters stay readable."""
    return [flow_svg(flows[i : i + _FLOWS], prefix) for i in range(0, len(flows), _FLOWS)]


def _spreads(task: TaskNumbers) -> list[Spread]:
    model = task.markers[0]
    groups = np.array(task.cases.cohorts, dtype=object)
    out = []
    for cohort in task.evaluation.cohorts:
        part = (groups == cohort.cohort) & ~task.cases.training
        cut = model.threshold.value if model.threshold else None
        out.append(Spread(cohort.cohort, task.cases.labels[part], model.scores[part], cut))
    return out


def _svg_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
