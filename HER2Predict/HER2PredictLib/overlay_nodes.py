"""The map of a prediction as a volume over the phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from BreastPredictLib.geometry import add_volume, geometry_of
from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.overlay import provenance, remember


def map_volume(file: str, phase: Any, result: dict[str, Any], opened: dict[str, Any]) -> Any:
    """A new scalar volume in the phase's own geometry: the map on its slice, zero elsewhere.

    Provenance is kept as attributes of the node, which the scene saves.

    Args:
        file: the map's slice as the backend wrote it.
        phase: the volume it belongs to.
        result: result.json.
        opened: the open study.
    """
    import SimpleITK as sitk

    plane = sitk.GetArrayFromImage(sitk.ReadImage(file))
    whole = np.zeros(slicer.util.arrayFromVolume(phase).shape, np.float32)
    whole[result["slice_index"]] = plane[0]
    node = add_volume(f"{result['map']['method'].capitalize()} map", whole, geometry_of(phase))
    weights = result["weights_sha256"].items()
    remember(
        node,
        {
            **provenance(result, result["map"]),
            "Task": result["map"]["task"],
            "PredictedClass": result["predicted_class"],
            "Phase": f"{result['phase']}: {result['phase_reason']}",
            "SliceIndex": str(result["slice_index"]),
            **{f"WeightsSHA256.{task}": value for task, value in weights},
        },
    )
    put_under_study(node, opened)
    return node
