"""The images of a case in the scene, and the maps over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from BreastPredictLib.geometry import read_volume
from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.overlay import provenance, remember

from .pathology_nodes import add_overview
from .reading import TIMES, TITLES
from .ultrasound_nodes import describe_region

IMAGES = {"us0": "us0Image", "us1": "us1Image", "pathology": "overview"}
"""Input → the parameter that holds its image."""

_NAMES = {"gradcam": "Grad-CAM", "occlusion": "Occlusion"}
_INPUT, _METHOD = "BreastPredict.Input", "BreastPredict.MapMethod"
_NOBODY = dict.fromkeys(
    ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyDescription"), ""
)


def show_images(parameters: Any, result: dict[str, Any]) -> None:
    """Make nodes of what the backend has read.

    Args:
        parameters: of the case.
        result: the answer to ``pcr_open``.
    """
    for time in TIMES:
        shown = result[time]
        if shown is None:
            continue
        node = read_volume(f"{TITLES[time]} (B-mode)", shown["file"])
        describe_region(node, shown, shown["instance_uid"])
        put_under_study(node, study_of(result, time))
        setattr(parameters, IMAGES[time], node)
    if result["pathology"] is not None:
        node = add_overview(result["pathology"])
        put_under_study(node, study_of(result, "pathology"))
        parameters.overview = node


def study_of(opened: dict[str, Any], name: str) -> dict[str, Any]:
    """Whose study an input is of, as BreastPredictLib.hierarchy takes it."""
    shown = opened.get(name) or {}
    patient = shown.get("patient")
    if patient is None:  # a slide tells little of it: it is the ultrasound's patient
        patient = {**patient_of(opened), "StudyDescription": ""}
    return {
        "study": {"study_uid": shown.get("study_uid", ""), "modality": "US"},
        "patient": patient,
    }


def patient_of(opened: dict[str, Any]) -> dict[str, str]:
    """Whose images they are: what the first of them says; empty texts where nothing does."""
    for time in TIMES:
        shown = opened.get(time)
        if shown is not None and shown["patient"]["PatientID"]:
            found: dict[str, str] = shown["patient"]
            return found
    slide = opened.get("pathology") or {}
    return {**_NOBODY, "PatientID": slide.get("patient_id", "")}


def add_maps(folder: Path, result: dict[str, Any], opened: dict[str, Any]) -> list[Any]:
    """New volumes of all maps of a result, where the backend has put them: over their images.

    Args:
        folder: of the result.
        result: result.json.
        opened: the open images.
    """
    nodes = []
    for explained in result["maps"]:
        method = explained["method"]
        for name in IMAGES:
            file = folder / "maps" / f"{name}_{method}.nrrd"
            if not file.is_file():
                continue
            node = read_volume(f"{_NAMES[method]} on {TITLES[name]}", str(file))
            weights = result["weights_sha256"].items()
            remember(
                node,
                {
                    **provenance(result, {"class_agnostic": False, **explained}),
                    "Input": name,
                    "MapMethod": method,
                    "Verified": str(explained["verified"]),
                    "Variant": result["variant"],
                    **{f"WeightsSHA256.{variant}": value for variant, value in weights},
                },
            )
            put_under_study(node, study_of(opened, name))
            nodes.append(node)
    return nodes


def map_of(maps: Sequence[Any], name: str, method: str) -> Any:
    """The map of a method on an input, or None."""
    for node in maps:
        if node.GetAttribute(_INPUT) == name and node.GetAttribute(_METHOD) == method:
            return node
    return None
