"""``pcr evaluate``: the folder of a report, whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breastpredict.pcr import PcrCase
from breastpredict.pcr.inputs import TITLES
from breastpredict.study.evaluation import figures
from breastpredict.study.evaluation.numbers import CLINICAL
from breastpredict.study.evaluation.page import (
    Progress,
    Report,
    check_target,
    flow_pictures,
    flow_sets,
    lost_row,
    write_report,
)
from breastpredict.study.evaluation.panels import choose_panels
from breastpredict.study.evaluation.pcr_cases import (
    CLASSES,
    JoinedPcr,
    Lost,
    ScoredPcr,
    class_of,
    counts,
    join_pcr,
)
from breastpredict.study.evaluation.pcr_numbers import PcrNumbers, evaluate_pcr
from breastpredict.study.evaluation.pcr_variants import NAME, Ablation
from breastpredict.study.evaluation.tables import (
    Row,
    csv_of,
    metric_rows,
    number,
    roc_rows,
    task_tables,
    to_json,
)
from breastpredict.study.evaluation.views import (
    Shown,
    cohort_view,
    p_value,
    signed,
    task_figures,
)
from breastpredict.study.flow import count_flow

WORDS = {"pcr": "pCR", "no_pcr": "no pCR"}
NO_OUTCOME = "outcome not known"
_MANY = 4  # names that the legend below a usual panel has room for


def evaluate_pcr_cohort(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    cases: Sequence[str] = (),
    random_cases: int = 6,
    identifiers: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Evaluate predictions and write the report.

    Args:
        cohort: COHORT.csv.
        predictions: results folder of a batch; only read.
        out: folder of the report: ``index.html`` (self-contained), ``evaluation.json`` (every
            number), ``figures/`` (SVG and PNG), ``tables/`` (CSV). An earlier report is replaced.
        run: the training run of the model.
        cases: patients or case keys to show.
        random_cases: how many to show besides, drawn with ``seed``.
        identifiers: name cases by patient_id instead of by case key.
        seed: of the draw and the bootstraps.
        progress: called with steps done, steps in all and what is being done.

    Returns:
        The page.

    Raises:
        CohortError, JoinError: tables that are wrong or do not fit together, all violations.
        InputError: nothing to evaluate, or ``out`` holds something else than a report.
    """
    say = progress or (lambda done, total, line: None)
    out = Path(out)
    check_target(out)
    say(0, 4, "joining cohort and predictions")
    joined = join_pcr(cohort, predictions, run)
    panels = choose_panels(joined.scored, cases, random_cases, seed)
    say(1, 4, "computing")
    numbers = evaluate_pcr(joined, seed=seed)

    def name_of(scored: ScoredPcr) -> str:
        return scored.case.patient_id if identifiers else scored.key

    def row_of(entry: Lost[PcrCase]) -> Row:
        label = {"pcr": WORDS[class_of(entry.case)]}
        return lost_row(entry, label, _secrets(entry.case), identifiers)

    def columns_of(scored: ScoredPcr) -> dict[str, Any]:
        return {
            "case": name_of(scored),
            "pcr": int(bool(scored.case.pcr)),
            "interval_weeks": number(scored.interval_weeks),
        }

    say(2, 4, "drawing")
    shown = {
        task.evaluation.task.name: task_figures(task, WORDS.__getitem__) for task in numbers.tasks
    }
    if numbers.ablation is not None:
        shown[NAME] = [_ablation_figure(numbers.ablation)]
    sets, reasons = flow_sets(joined.scored, joined.lost)
    flows = count_flow(
        joined.cases,
        lambda case: NO_OUTCOME if case.pcr is None else "",
        lambda case: WORDS[class_of(case)],
        tuple(WORDS.values()),
        sets,
        reasons,
    )
    flow, variants = counts(joined), _variants(joined, numbers)
    say(3, 4, "writing")
    page = write_report(
        out,
        Report(
            template="pcr_evaluation.html.j2",
            label=("pcr", "Response"),
            joined=joined,
            tasks=numbers.tasks,
            words=WORDS.__getitem__,
            figures=shown,
            flow=flow,
            flows=flow_pictures(flows, ""),
            tables={
                "flow.csv": csv_of(flow),
                **task_tables(numbers.tasks, columns_of),
                "variants.csv": csv_of(variants),
                **_ablation_tables(numbers.ablation),
            },
            panels=panels,
            name_of=name_of,
            row_of=row_of,
            seed=seed,
            content={"variants": variants, "ablation": to_json(numbers.ablation)},
            view={
                "classes": CLASSES,
                "words": WORDS,
                "variants": variants,
                "ablation": _ablation_view(numbers.ablation),
                "ablation_figures": shown.get(NAME, []),
            },
        ),
    )
    say(4, 4, "done")
    return page


def _variants(joined: JoinedPcr, numbers: PcrNumbers) -> list[Row]:
    """One row a variant that predicted patients of the cohort."""
    used = Counter((s.variant, s.training) for s in joined.scored)
    return [
        {
            "variant": variant,
            "files": task.evaluation.task.name,
            "inputs": ", ".join(TITLES.get(one, one) for one in joined.inputs.get(variant, ())),
            "patients": used[(variant, True)] + used[(variant, False)],
            "training": used[(variant, True)],
            "evaluated": used[(variant, False)],
            "threshold": number(joined.thresholds[variant].value),
        }
        for variant, task in zip(numbers.variants, numbers.tasks, strict=True)
    ]


def _ablation_figure(found: Ablation) -> Shown:
    names = [marker.marker for marker in found.cohorts[0].markers]
    return Shown(
        f"roc_{NAME}",
        "ROC curves of the run's variants on patients the training held out, with the operating "
        f"point of each fixed threshold and the band of {found.reference}. AUC with logit-DeLong "
        "interval.",
        f"roc_{NAME}.csv",
        figures.roc(found.cohorts, names, height=4.2 + 0.2 * max(0, len(names) - _MANY)),
    )


def _ablation_tables(found: Ablation | None) -> dict[str, str]:
    if found is None:
        return {}
    cohorts = [("held out", cohort) for cohort in found.cohorts]
    return {
        f"metrics_{NAME}.csv": csv_of(metric_rows(NAME, cohorts)),
        f"roc_{NAME}.csv": csv_of(roc_rows(cohorts)),
        f"delong_{NAME}.csv": csv_of(
            {
                "cohort": pair.cohort,
                "first": pair.first,
                "second": pair.second,
                "n": pair.n,
                "positives": pair.positives,
                "auc_difference": "" if pair.test is None else number(pair.test.difference),
                "p": "" if pair.test is None else number(pair.test.p_value),
                "note": pair.note,
            }
            for pair in found.pairs
        ),
    }


def _ablation_view(found: Ablation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "reference": found.reference,
        "cohorts": [cohort_view(cohort, {}) for cohort in found.cohorts],
        "pairs": [
            {
                "cohort": pair.cohort,
                "first": pair.first,
                "second": pair.second,
                "n": pair.n,
                "difference": "–" if pair.test is None else signed(pair.test.difference),
                "p": pair.note if pair.test is None else p_value(pair.test.p_value),
            }
            for pair in found.pairs
        ],
        "clinical": CLINICAL in {m.marker for m in found.cohorts[0].markers},
    }


def _secrets(case: PcrCase) -> list[str]:
    """Places and names of a patient's files."""
    paths = [one.path for one in (case.us0, case.us1) if one is not None]
    if case.pathology is not None:
        paths.append(case.pathology)
    return [text for path in paths for text in (str(path), path.name)]
