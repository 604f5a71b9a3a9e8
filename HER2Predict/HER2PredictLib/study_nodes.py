"""The volumes of a study in the scene."""

from __future__ import annotations

from typing import Any

from BreastPredictLib.geometry import read_volume
from BreastPredictLib.hierarchy import put_under_study

PHASE = "BreastPredict.Phase"
ACQUISITION = "BreastPredict.Acquisition"
STUDY = "BreastPredict.StudyUID"
KINDS = ("chosen", "pre", "subtraction")
_ROLES = {"pre": " (before contrast)", "post": " (after contrast)"}


def load_volumes(
    loaded: dict[str, Any], opened: dict[str, Any], acquisition: int
) -> dict[str, Any]:
    """Volume nodes from the backend's answer to ``load``: "chosen", "pre" and "subtraction"."""
    nodes: dict[str, Any] = {}
    before = loaded["pre"]["phase"] if loaded["pre"] else ""
    for kind in KINDS:
        volume = loaded[kind]
        if volume is None:
            nodes[kind] = None
            continue
        facts, name = volume, phase_name(volume["phase"], volume["role"])
        if kind == "subtraction":  # which is no DICOM
            facts = {**volume, "instance_uids": []}
            name = f"DCE subtraction {volume['phase']} - {before}"
        node = read_volume(name, volume["file"])
        describe_phase(node, facts, acquisition, opened["study"]["study_uid"])
        put_under_study(node, opened)
        nodes[kind] = node
    return nodes


def phase_name(phase: int, role: str) -> str:
    """What a phase is called in the scene."""
    return f"DCE phase {phase}{_ROLES.get(role, '')}"


def describe_phase(node: Any, facts: dict[str, Any], acquisition: int, study_uid: str) -> None:
    """Keep on a volume node which phase it shows.

    Args:
        node: the volume.
        facts: as the backend says of the phase ("phase", "time_s", "instance_uids").
        acquisition: from 1.
        study_uid: of the study.
    """
    node.SetAttribute(PHASE, str(facts["phase"]))
    node.SetAttribute(ACQUISITION, str(acquisition))
    node.SetAttribute(STUDY, study_uid)
    if facts["instance_uids"]:
        # Slicer's DICOM plugins find the source instances by it.
        node.SetAttribute("DICOM.instanceUIDs", " ".join(facts["instance_uids"]))
    if facts["time_s"] is not None:
        node.SetAttribute("BreastPredict.TimeSeconds", f"{facts['time_s']:.3f}")


def shows(volume: Any, acquisition: int, phase: int, study_uid: str) -> bool:
    """Whether a volume node is this phase of this acquisition."""
    return (
        volume is not None
        and volume.GetImageData() is not None
        and volume.GetAttribute(PHASE) == str(phase)
        and volume.GetAttribute(ACQUISITION) == str(acquisition)
        and (volume.GetAttribute(STUDY) or "") == study_uid
    )
