"""HER2 status from breast DCE-MRI: inputs, gates, the cascade, training."""

from __future__ import annotations

from breastpredict.her2.cases import CLASSES, POINTS_TO, Her2Case, her2_class
from breastpredict.her2.describe import describe_run
from breastpredict.her2.facts import Her2Facts, Her2Outputs, Her2Prediction
from breastpredict.her2.gates import GATES
from breastpredict.her2.inputs import PreparedCase, early_phase, prepare_case
from breastpredict.her2.predict import Her2Model, TaskScore
from breastpredict.her2.recalibrate import Her2Recalibration, recalibrate_her2
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.her2.train import Her2Run, Her2TrainConfig, train_her2

__all__ = [
    "CLASSES",
    "GATES",
    "POINTS_TO",
    "Her2Case",
    "Her2Facts",
    "Her2Model",
    "Her2Outputs",
    "Her2Prediction",
    "Her2Recalibration",
    "Her2Run",
    "Her2TrainConfig",
    "PreparedCase",
    "RoiPolicy",
    "TaskScore",
    "describe_run",
    "early_phase",
    "her2_class",
    "prepare_case",
    "recalibrate_her2",
    "train_her2",
]
