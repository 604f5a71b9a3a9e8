"""A pCR patient that was predicted, and what lies in the results folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcr_runs import PcrTrained
from torch_threads import on_one_thread

from breastpredict.pcr import PcrCase, PcrModel, PcrPrediction
from breastpredict.study.pcr_batch import predict_pcr_case


@dataclass(frozen=True)
class Done:
    """A case that was predicted: its results folder, its own folder there, and the prediction."""

    case: PcrCase
    out: Path
    folder: Path
    prediction: PcrPrediction

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds."""
        return result_of(self.folder)

    def map_of(self, method: str, name: str) -> np.ndarray:
        """Of an input, on the network's grid."""
        return next(m.values[name] for m in self.prediction.maps if m.method == method)


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def pcr_done(
    pcr_trained: PcrTrained, pcr_model: PcrModel, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """A patient with a DICOM slide; to look at, not to change."""
    case, out = pcr_trained.with_slide(".dcm"), tmp_path_factory.mktemp("predicted") / "out"
    with on_one_thread():
        return Done(case, out, *predict_pcr_case(case, pcr_model, out))
