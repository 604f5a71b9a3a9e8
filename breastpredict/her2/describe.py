"""What a trained run says of itself, without loading a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from breastpredict import SYNTHETIC_WARNING
from breastpredict.her2.cases import POINTS_TO, TITLES
from breastpredict.her2.roi_policy import RoiPolicy


def describe_run(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The two bundles of a run, as plain values. Does not import torch.

    Returns:
        ``tasks``, each with name, title, the class a high score points to, threshold, calibration,
        counts and AUC of the held-out 20 %, local validation (empty until a hospital has
        recalibrated the bundle on patients of its own), the bundle's version and the weights'
        SHA-256; ``input``, the region the networks see; ``synthetic`` and ``synthetic_note``.

    Raises:
        InputError: no run, or damaged bundles.
    """
    from breastpredict.models import read_bundle_metadata

    tasks = []
    synthetic = False
    for task in POINTS_TO:
        metadata = read_bundle_metadata(Path(run) / task)
        block = metadata["breastpredict"]
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
                "version": str(metadata.get("version", "")),
                "weights_sha256": block["weights_sha256"],
            }
        )
    policy = RoiPolicy.from_block(block).to_json()
    note = SYNTHETIC_WARNING if synthetic else ""
    return {"tasks": tasks, "input": policy, "synthetic": synthetic, "synthetic_note": note}
