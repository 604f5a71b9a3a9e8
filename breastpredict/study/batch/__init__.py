"""Many cases of one system: read, scored and written at the same time; see `engine`."""

from __future__ import annotations

from breastpredict.study.batch.engine import BatchResult, Limits, Progress, run_cases
from breastpredict.study.batch.system import Case, CaseWork, System

__all__ = ["BatchResult", "Case", "CaseWork", "Limits", "Progress", "System", "run_cases"]
