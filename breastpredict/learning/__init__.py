"""Training of the models: splits, configuration, the run on MONAI's engines.

Importing this package does not import torch; ``breastpredict.learning.training`` does.
"""

from __future__ import annotations

from breastpredict.learning.calibration import Calibration, prior_shift
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import (
    BinaryTask,
    CaseScore,
    EpochRecord,
    Example,
    MultiInputExample,
)
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.recipes import RECIPES, hazards, recipe
from breastpredict.learning.split import (
    check_disjoint,
    stratified_folds,
    stratified_split,
    three_way_split,
)

__all__ = [
    "RECIPES",
    "BinaryTask",
    "Calibration",
    "CaseScore",
    "EpochRecord",
    "Example",
    "MultiInputExample",
    "TrainConfig",
    "check_disjoint",
    "hazards",
    "prior_shift",
    "recipe",
    "stratified_folds",
    "stratified_split",
    "three_way_split",
    "training_ranges",
]
