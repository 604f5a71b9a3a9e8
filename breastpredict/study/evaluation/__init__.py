"""The evaluation of a cohort as a report: page, figures, tables, and every number as JSON."""

from __future__ import annotations

from breastpredict.study.evaluation.her2_cases import join_her2
from breastpredict.study.evaluation.her2_numbers import evaluate_her2
from breastpredict.study.evaluation.her2_report import evaluate_her2_cohort
from breastpredict.study.evaluation.join import JoinError
from breastpredict.study.evaluation.pcr_cases import join_pcr
from breastpredict.study.evaluation.pcr_numbers import evaluate_pcr
from breastpredict.study.evaluation.pcr_report import evaluate_pcr_cohort

__all__ = [
    "JoinError",
    "evaluate_her2",
    "evaluate_her2_cohort",
    "evaluate_pcr",
    "evaluate_pcr_cohort",
    "join_her2",
    "join_pcr",
]
