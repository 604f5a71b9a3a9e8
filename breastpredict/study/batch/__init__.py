"""Many cases of one system: read, scored and written at the same time; see `engine`, or
`cluster` for many machines."""

from __future__ import annotations

from breastpredict.study.batch.cluster import Cluster, run_on_cluster
from breastpredict.study.batch.course import BatchResult, Progress
from breastpredict.study.batch.engine import Limits, run_cases
from breastpredict.study.batch.system import Case, CaseWork, System

__all__ = [
    "BatchResult",
    "Case",
    "CaseWork",
    "Cluster",
    "Limits",
    "Progress",
    "System",
    "run_cases",
    "run_on_cluster",
]
