"""Cohort tables, the folder of results a case gets, batches, and the demonstration."""

from __future__ import annotations

from breastpredict.study.batch import BatchResult, run_batch
from breastpredict.study.case_output import write_case, write_refused
from breastpredict.study.cohort import CohortError, read_cohort
from breastpredict.study.flow import CohortFlow, flow_svg, inclusion_flow
from breastpredict.study.one_case import predict_case
from breastpredict.study.results import Results

__all__ = [
    "BatchResult",
    "CohortError",
    "CohortFlow",
    "Results",
    "flow_svg",
    "inclusion_flow",
    "predict_case",
    "read_cohort",
    "run_batch",
    "write_case",
    "write_refused",
]
