"""Statistics for reader and model studies: ROC analysis, proportions, calibration, regression.

Each patient is one case; where a patient has several rows, ``bootstrap(..., groups=)`` resamples
patients. An ``Estimate`` is (value, low, high) and carries ``warnings``; a number that does not
exist is NaN with its reason there, input that cannot be used is an ``InputError``.

Which interval to trust when (simulated coverage of nominal 95 % intervals, binormal scores, 50 to
1000 patients, prevalence 10 to 50 %, area 0.6 to 0.95: Testing/prove/coverage.py and its evidence):

- The defaults (``roc_auc`` "logit-delong"; Wilson for accuracy, sensitivity, specificity, PPV, NPV,
  prevalence, F1; ``calibration``; ``quadratic_kappa`` "fisher"; ``macro_auc`` "logit-delong") hold
  the truth in 93 to 97 % from 300 patients on.
- Below 300 the defaults hold 91 to 99 %: areas of few positives are rather too wide (95 to 98 %),
  calibration slope, Brier score, kappa and mean area fall to 92 or 93 % in places.
  ``size_warnings`` speaks from fewer than 10 cases of a class on.
- "delong" and percentile bootstrap limits of an area are too narrow when few pairs are lost: about
  88 % with 30 positives and an area of 0.95, 75 to 85 % with 5 positives. BCa limits are better,
  not good. ``roc_auc`` says so in the warnings; they are offered because papers print them.
- No interval makes good for a threshold chosen on the same patients: sensitivity at Youden's
  threshold of the cases themselves is held in 35 to 95 % even from 300 on. Choose it elsewhere.
- Wald limits of an odds ratio and Woolf's are fair with 30 events; profile limits are the default.
"""

from __future__ import annotations

from breastpredict.stats.calibration import Calibration, calibration
from breastpredict.stats.comparisons import (
    OddsRatio,
    fisher_odds_ratio,
    rank_sum_test,
    welch_test,
)
from breastpredict.stats.decision import DecisionCurve, decision_curve
from breastpredict.stats.differences import BlandAltman, bland_altman
from breastpredict.stats.intraclass import IccRow, IccTable, icc, planned_icc_interval
from breastpredict.stats.logistic_regression import (
    LogisticResult,
    LogisticRow,
    likelihood_ratio,
    logistic,
)
from breastpredict.stats.metrics import (
    BinaryMetrics,
    SubgroupRow,
    binary_metrics,
    subgroup_table,
)
from breastpredict.stats.ordinal import macro_auc, quadratic_kappa
from breastpredict.stats.proportions import wilson
from breastpredict.stats.resampling import bootstrap
from breastpredict.stats.results import Estimate, TestResult
from breastpredict.stats.roc import RocCurve, delong_test, roc_auc, roc_curve
from breastpredict.stats.sample_size import size_warnings
from breastpredict.stats.thresholds import sensitivity_threshold, youden_threshold

__all__ = [
    "BinaryMetrics",
    "BlandAltman",
    "Calibration",
    "DecisionCurve",
    "Estimate",
    "IccRow",
    "IccTable",
    "LogisticResult",
    "LogisticRow",
    "OddsRatio",
    "RocCurve",
    "SubgroupRow",
    "TestResult",
    "binary_metrics",
    "bland_altman",
    "bootstrap",
    "calibration",
    "decision_curve",
    "delong_test",
    "fisher_odds_ratio",
    "icc",
    "likelihood_ratio",
    "logistic",
    "macro_auc",
    "planned_icc_interval",
    "quadratic_kappa",
    "rank_sum_test",
    "roc_auc",
    "roc_curve",
    "sensitivity_threshold",
    "size_warnings",
    "subgroup_table",
    "welch_test",
    "wilson",
    "youden_threshold",
]
