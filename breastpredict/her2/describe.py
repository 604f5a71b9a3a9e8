"""What a trained run says of itself, without loading a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from breastpredict import SYNTHETIC_WARNING
from breastpredict.her2.cases import POINTS_TO, TITLES


def describe_run(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The two bundles of a run, as plain values. Does not import torch.

    Returns:
        ``tasks``, each with name, title, the class a high score points to, threshold, calibration,
        counts and AUC of the held-out 20 %, local validation (empty until a hospital has
        recalibrated the bundle on patients of its own) and the weights' SHA-256;
        ``synthetic`` and ``synthetic_note``.

    Raises:
        InputError: no run, or damaged bundles.
    """
    from breastpredict.models import read_bundle_metadata

    tasks = []
    synthetic = False
    for task in POINTS_TO:
        block = read_bundle_metadata(Path(run) / task)["breastpredict"]
        synthetic = synthetic or block["synthetic"]
        tasks.append(
            {
                "task": task,
                "title": TITLES[task],
                "points_to": block["positive_class"],
                "threshold": block["threshold"],
                "calibration": block.get("calibration", {}),
                "held_out": block.get("counts", {}).get("validation", {}),
                "auc": block.get("auc", {}).get("validation"),
                "local_validation": block.get("local_validation", {}),
                "weights_sha256": block["weights_sha256"],
            }
        )
    note = SYNTHETIC_WARNING if synthetic else ""
    return {"tasks": tasks, "synthetic": synthetic, "synthetic_note": note}
