"""What a bundle says of itself, for whoever is about to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def described_bundle(
    metadata: Mapping[str, Any], title: str, held_out: str = "validation"
) -> dict[str, Any]:
    """The facts of a bundle as plain values.

    Args:
        metadata: as `breastpredict.models.read_bundle_metadata` gives it.
        title: of what it predicts.
        held_out: the set of patients that chose nothing of the bundle.

    Returns:
        task, title, the class a high score points to, threshold, calibration, counts and AUC of the
        patients that were held out, local validation (empty until a hospital has recalibrated the
        bundle on patients of its own), the bundle's version and the weights' SHA-256.
    """
    block = metadata["breastpredict"]
    return {
        "task": block["task"],
        "title": title,
        "points_to": block["positive_class"],
        "threshold": block["threshold"],
        "calibration": block.get("calibration", {}),
        "held_out": block.get("counts", {}).get(held_out, {}),
        "auc": block.get("auc", {}).get(held_out),
        "local_validation": block.get("local_validation", {}),
        "version": str(metadata.get("version", "")),
        "weights_sha256": block["weights_sha256"],
    }
