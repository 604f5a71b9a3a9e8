"""The folder of a report, of either system: its page, files and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.study.case_output import templates
from breastpredict.study.evaluation.joined import Joined, Lost, ScoredCase
from breastpredict.study.evaluation.numbers import TaskNumbers
from breastpredict.study.evaluation.panels import Panel, pictures_of
from breastpredict.study.evaluation.tables import Row
from breastpredict.study.evaluation.views import (
    Shown,
    estimate,
    svg_uri,
    task_content,
    task_view,
)
from breastpredict.study.flow import CohortFlow, flow_svg
from breastpredict.study.results import csv_text

Progress = Callable[[int, int, str], None]
PAGE, DATA = "index.html", "evaluation.json"
_LOST_SHOWN = 200
_LOST_PICTURES = 6
_FLOWS = 3


@dataclass(frozen=True)
class Report:
    """What is in a report's folder.

    Attributes:
        template: of the page.
        label: column of the true class in ``lost``, and its title.
        joined: cohort and predictions.
        tasks: the numbers.
        words: name of a class → as readers see it.
        figures: group → its figures; every one becomes files. A task's group has the task's name.
        flow: the inclusion flow, as rows.
        flows: the same, as SVG.
        tables: file name → CSV text.
        panels: the cases that are shown.
        name_of: a case that is shown → what it is called.
        row_of: a patient without a prediction → the row of not_evaluated.csv.
        seed: of the draw and the bootstraps.
        content: of evaluation.json, besides what every report has.
        view: what the template needs, besides what every template needs.
    """

    template: str
    label: tuple[str, str]
    joined: Joined[Any, Any]
    tasks: Sequence[TaskNumbers]
    words: Callable[[str], str]
    figures: Mapping[str, Sequence[Shown]]
    flow: Sequence[Row]
    flows: Sequence[str]
    tables: Mapping[str, str]
    panels: Sequence[Panel]
    name_of: Callable[[Any], str]
    row_of: Callable[[Lost[Any]], Row]
    seed: int
    content: Mapping[str, Any]
    view: Mapping[str, Any]


def write_report(out: Path, report: Report) -> Path:
    """Write the folder, whole or not at all; an earlier report is replaced. Returns the page."""
    joined = report.joined
    synthetic_note = SYNTHETIC_WARNING if joined.synthetic else ""
    lost = [report.row_of(entry) for entry in joined.lost if entry.kind != "training"]
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
        _write(folder / "tables" / "not_evaluated.csv", csv_text(columns, lost))
        content = {
            "software": f"BreastPredict {__version__}",
            "research_use_only": RESEARCH_USE_ONLY,
            "synthetic": joined.synthetic,
            "synthetic_note": synthetic_note,
            "warnings": list(joined.warnings),
            "flow": report.flow,
            "tasks": [task_content(task) for task in report.tasks],
            **report.content,
            "not_evaluated": lost,
        }
        _write(folder / DATA, json.dumps(content, indent=1, allow_nan=False) + "\n")
        page = (
            templates()
            .get_template(report.template)
            .render(
                note=RESEARCH_USE_ONLY,
                synthetic_note=synthetic_note,
                joined=joined,
                flow=report.flow,
                flow_uris=list(map(svg_uri, report.flows)),
                tasks=[
                    task_view(task, report.figures[task.evaluation.task.name], report.words)
                    for task in report.tasks
                ],
                panels=report.panels,
                name_of=report.name_of,
                lost=lost[:_LOST_SHOWN],
                lost_total=len(lost),
                lost_views=lost_views(joined.lost, report.row_of),
                label_column=report.label[0],
                label_title=report.label[1],
                estimate=estimate,
                seed=report.seed,
                software=f"BreastPredict {__version__}",
                date=datetime.now().astimezone().isoformat(timespec="seconds"),
                **report.view,
            )
        )
        _write(folder / PAGE, page)
    return out / PAGE


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
    scored: Sequence[ScoredCase[Any]], lost: Sequence[Lost[Any]]
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


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
