"""Training of the models: splits, configuration, the run on MONAI's engines.

Importing this package does not import torch; ``breastpredict.learning.training`` does.
"""

from __future__ import annotations

from breastpredict.learning.calibration import Calibration, prior_shift
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import BinaryTask, CaseScore, EpochRecord, Example
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.split import check_disjoint, stratified_folds, stratified_split

__all__ = [
    "BinaryTask",
    "Calibration",
    "CaseScore",
    "EpochRecord",
    "Example",
    "TrainConfig",
    "check_disjoint",
    "prior_shift",
    "stratified_folds",
    "stratified_split",
    "training_ranges",
]
