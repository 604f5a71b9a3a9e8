"""Statistics for reader and model studies: ROC analysis, paired tests, bootstrap intervals."""

from __future__ import annotations

from breastpredict.stats.resampling import bootstrap
from breastpredict.stats.results import Estimate, TestResult
from breastpredict.stats.roc import delong_test, roc_auc, roc_curve
from breastpredict.stats.thresholds import BinaryMetrics, binary_metrics, youden_threshold

__all__ = [
    "BinaryMetrics",
    "Estimate",
    "TestResult",
    "binary_metrics",
    "bootstrap",
    "delong_test",
    "roc_auc",
    "roc_curve",
    "youden_threshold",
]
