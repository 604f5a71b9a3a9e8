"""The volumes of a study in the scene, and their place in the subject hierarchy."""

from __future__ import annotations

from typing import Any

import slicer

from .geometry import read_volume

PHASE = "BreastPredict.Phase"
ACQUISITION = "BreastPredict.Acquisition"
STUDY = "BreastPredict.StudyUID"
NAMES = {
    "chosen": "DCE phase {phase}{role}",
    "pre": "DCE phase {phase}{role}",
    "subtraction": "DCE subtraction {phase} - {before}",
}
_ROLES = {"pre": " (before contrast)", "post": " (after contrast)"}


def study_item(opened: dict[str, Any]) -> int:
    """The item of the open study in the subject hierarchy; made where there is none.

    Slicer's own DICOM loading makes the same items by the same UIDs, so that what was loaded
    before and what this module adds come to lie together.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    uid, patient = opened["study"]["study_uid"], opened["patient"]
    dicom = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName()
    if uid:
        found = hierarchy.GetItemByUID(dicom, uid)
        if found:
            return found
    top = hierarchy.GetSceneItemID()
    owner = hierarchy.GetItemByUID(dicom, patient["PatientID"]) if patient["PatientID"] else 0
    if not owner:
        name = patient["PatientName"] or patient["PatientID"] or "Patient"
        owner = hierarchy.CreateSubjectItem(top, name)
        if patient["PatientID"]:
            hierarchy.SetItemUID(owner, dicom, patient["PatientID"])
    study = hierarchy.CreateStudyItem(owner, patient["StudyDescription"] or "Breast MRI")
    if uid:
        hierarchy.SetItemUID(study, dicom, uid)
    return study


def put_under_study(node: Any, opened: dict[str, Any]) -> None:
    """Show a node under the open study in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        item = hierarchy.CreateItem(study_item(opened), node)
    hierarchy.SetItemParent(item, study_item(opened))


def load_volumes(
    loaded: dict[str, Any], opened: dict[str, Any], acquisition: int
) -> dict[str, Any]:
    """Volume nodes from the backend's answer to ``load``: "chosen", "pre" and "subtraction"."""
    nodes: dict[str, Any] = {}
    before = loaded["pre"]["phase"] if loaded["pre"] else ""
    for kind, pattern in NAMES.items():
        volume = loaded[kind]
        if volume is None:
            nodes[kind] = None
            continue
        role = _ROLES.get(volume["role"], "")
        name = pattern.format(phase=volume["phase"], role=role, before=before)
        node = read_volume(name, volume["file"])
        node.SetAttribute(PHASE, str(volume["phase"]))
        node.SetAttribute(ACQUISITION, str(acquisition))
        node.SetAttribute(STUDY, opened["study"]["study_uid"])
        if kind != "subtraction" and volume["instance_uids"]:
            # Slicer's DICOM plugins find the source instances by it.
            node.SetAttribute("DICOM.instanceUIDs", " ".join(volume["instance_uids"]))
        if volume["time_s"] is not None:
            node.SetAttribute("BreastPredict.TimeSeconds", f"{volume['time_s']:.3f}")
        put_under_study(node, opened)
        nodes[kind] = node
    return nodes


def shows(volume: Any, acquisition: int, phase: int, study_uid: str) -> bool:
    """Whether a volume node is this phase of this acquisition."""
    return (
        volume is not None
        and volume.GetImageData() is not None
        and volume.GetAttribute(PHASE) == str(phase)
        and volume.GetAttribute(ACQUISITION) == str(acquisition)
        and (volume.GetAttribute(STUDY) or "") == study_uid
    )
