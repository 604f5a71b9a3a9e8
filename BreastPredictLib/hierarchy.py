"""The place of what is loaded and made in the subject hierarchy."""

from __future__ import annotations

from typing import Any

import slicer

_UNNAMED = {"MR": "Breast MRI", "US": "Breast ultrasound"}


def study_item(opened: dict[str, Any]) -> int:
    """The item of the open study in the subject hierarchy; made where there is none.

    Slicer's own DICOM loading makes the same items by the same UIDs, so that what was loaded
    before and what a module adds come to lie together.

    Args:
        opened: "study" with "study_uid" and, where known, "modality"; "patient" with PatientID,
            PatientName and StudyDescription, each of them empty where it is not known.
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
    unnamed = _UNNAMED.get(opened["study"].get("modality", ""), "Breast MRI")
    study = hierarchy.CreateStudyItem(owner, patient["StudyDescription"] or unnamed)
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
