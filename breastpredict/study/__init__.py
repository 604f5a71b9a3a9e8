"""Cohort tables, the folder of results a case gets, batches, and the demonstration.

A module is imported when something of it is first used: a worker process needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breastpredict.study.batch import BatchResult, Limits
    from breastpredict.study.case_folders import read_case_folders
    from breastpredict.study.case_output import write_case, write_refused
    from breastpredict.study.cohort import CohortError, read_cohort
    from breastpredict.study.flow import CohortFlow, flow_svg, inclusion_flow
    from breastpredict.study.her2_batch import run_batch
    from breastpredict.study.one_case import predict_case
    from breastpredict.study.pcr_cohort import read_pcr_cohort
    from breastpredict.study.results import Results

__all__ = [
    "BatchResult",
    "CohortError",
    "CohortFlow",
    "Limits",
    "Results",
    "flow_svg",
    "inclusion_flow",
    "predict_case",
    "read_case_folders",
    "read_cohort",
    "read_pcr_cohort",
    "run_batch",
    "write_case",
    "write_refused",
]

_WHERE = {
    "BatchResult": "batch",
    "CohortError": "cohort",
    "CohortFlow": "flow",
    "Limits": "batch",
    "Results": "results",
    "flow_svg": "flow",
    "inclusion_flow": "flow",
    "predict_case": "one_case",
    "read_case_folders": "case_folders",
    "read_cohort": "cohort",
    "read_pcr_cohort": "pcr_cohort",
    "run_batch": "her2_batch",
    "write_case": "case_output",
    "write_refused": "case_output",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
