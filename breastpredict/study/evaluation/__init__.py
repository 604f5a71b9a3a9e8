"""The evaluation of a cohort as a report: page, figures, tables, and every number as JSON."""

from __future__ import annotations

from breastpredict.study.evaluation.her2_cases import JoinError, join_her2
from breastpredict.study.evaluation.her2_numbers import evaluate_her2
from breastpredict.study.evaluation.report import evaluate_her2_cohort

__all__ = ["JoinError", "evaluate_her2", "evaluate_her2_cohort", "join_her2"]
