"""What a result needs of the scene: colours, the subject hierarchy, sequences, layers, jumps.

All of it is the real code of slicer-core, set up as the application does; saved, closed and loaded
again where that matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness

SUFFIXES = (".mrml", ".mrb")


def _volume(name: str, value: float = 0.5) -> Any:
    import slicer

    array = np.full((3, 4, 5), value, np.float32)
    node = slicer.util.addVolumeFromArray(array, np.diag([2.0, 2.0, 3.0, 1.0]), name)
    node.CreateDefaultDisplayNodes()
    return node


def _table(name: str) -> Any:
    """A colour table whose first colour is transparent."""
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    table.SetTypeToUser()
    table.SetNumberOfColors(3)
    for index, alpha in enumerate((0.0, 0.5, 1.0)):
        table.SetColor(index, f"level {index}", index / 2, 0.25, 0.0, alpha)
    table.SetHideFromEditors(False)
    return table


def _saved_and_loaded(app: Harness, folder: Path, suffix: str) -> None:
    """Save everything, close the scene and load it again; a .mrml keeps its nodes in files."""
    import slicer

    if suffix == ".mrml":
        scene = slicer.mrmlScene
        for node in map(scene.GetNthNode, range(scene.GetNumberOfNodes())):
            written = {"vtkMRMLScalarVolumeNode": ".nrrd", "vtkMRMLColorTableNode": ".ctbl"}
            extension = written.get(node.GetClassName())
            if extension and not node.GetSingletonTag():
                path = folder / f"{node.GetName()}{extension}"
                assert slicer.util.saveNode(node, str(path), {})
    assert slicer.util.saveScene(str(folder / f"scene{suffix}"))
    app.close_scene()
    slicer.util.loadScene(str(folder / f"scene{suffix}"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_map_comes_back_with_its_colours_its_provenance_and_its_study(
    slicer_app: Harness, tmp_path: Path, suffix: str
) -> None:
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    hierarchy.SetItemUID(study, "DICOM", "1.2.3")
    hierarchy.SetItemAttribute(study, "Site", "A")
    attention = _volume("attention", 0.75)
    attention.SetAttribute("BreastPredict.Bundle", "abc")
    attention.GetDisplayNode().SetAndObserveColorNodeID(_table("evidence").GetID())
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(attention), study)
    _saved_and_loaded(slicer_app, tmp_path, suffix)
    loaded = slicer.util.getNode("attention")
    assert slicer.util.arrayFromVolume(loaded).max() == 0.75
    assert loaded.GetAttribute("BreastPredict.Bundle") == "abc"
    table = loaded.GetDisplayNode().GetColorNode()
    assert table.GetName() == "evidence" and table.GetColorName(2) == "level 2"
    colour = [0.0] * 4
    table.GetColor(1, colour)
    assert colour == pytest.approx([0.5, 0.25, 0.0, 0.5], abs=0.01)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.GetItemByUID("DICOM", "1.2.3")
    assert hierarchy.GetItemAttribute(study, "Site") == "A"
    assert hierarchy.GetItemLevel(study) == "Study"
    assert hierarchy.GetItemName(hierarchy.GetItemParent(study)) == "Patient"
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(loaded)) == study


def test_a_procedural_colour_comes_back_with_the_scene(slicer_app: Harness, tmp_path: Path) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLProceduralColorNode", "ramp")
    function = node.GetColorTransferFunction()
    function.RemoveAllPoints()
    function.AddRGBPoint(0, 0, 0, 0)
    function.AddRGBPoint(1, 1, 0.5, 0)
    _saved_and_loaded(slicer_app, tmp_path, ".mrb")
    function = slicer.util.getNode("ramp").GetColorTransferFunction()
    assert function.GetColor(0.5) == pytest.approx((0.5, 0.25, 0.0), abs=0.01)


def test_the_phases_of_a_sequence_are_nodes_by_their_time(slicer_app: Harness) -> None:
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "dynamic")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for time in (90, 30):
        volume = _volume("frame", time)
        sequence.SetDataNodeAtValue(volume, str(time))
        slicer.mrmlScene.RemoveNode(volume)
    assert [sequence.GetNthIndexValue(n) for n in range(2)] == ["30", "90"]
    assert slicer.util.arrayFromVolume(sequence.GetNthDataNode(1)).max() == 90
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    assert browser.GetNumberOfItems() == 2


def test_layers_are_set_in_every_view_and_views_jump_to_a_place(slicer_app: Harness) -> None:
    import slicer

    phase, attention = _volume("phase", 100), _volume("attention")
    slicer.util.setSliceViewerLayers(
        background=phase, foreground=attention, foregroundOpacity=0.4, fit=True
    )
    slicer.modules.markups.logic().JumpSlicesToLocation(4.0, 4.0, 6.0, False)
    layout = slicer.app.layoutManager()
    for name in layout.sliceViewNames():
        widget = layout.sliceWidget(name)
        composite = widget.mrmlSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == phase.GetID()
        assert composite.GetForegroundVolumeID() == attention.GetID()
        assert composite.GetForegroundOpacity() == 0.4
        depth = widget.sliceView().convertRASToXYZ([4.0, 4.0, 6.0])[2]
        assert depth == pytest.approx(0), name  # the place is in the slice that is shown
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        slicer.mrmlScene, 2.0, 2.0, 3.0, slicer.vtkMRMLSliceNode.OffsetJumpSlice
    )
    assert layout.sliceWidget("Red").sliceLogic().GetSliceOffset() == pytest.approx(3.0)


def test_markups_are_observed_while_they_are_moved_and_not_after(slicer_app: Harness) -> None:
    import slicer
    from slicer.util import VTKObservationMixin

    observer, seen = VTKObservationMixin(), []
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "seed")
    for node in (roi, points):
        for event in (node.PointModifiedEvent, node.PointPositionDefinedEvent):
            observer.addObserver(node, event, lambda caller, event: seen.append(caller.GetName()))
    points.AddControlPoint(1.0, 2.0, 3.0)
    assert "seed" in seen and "region" not in seen
    roi.SetSize(10, 20, 30)
    roi.SetCenter(1, 2, 3)
    assert "region" in seen and roi.GetSize() == (10, 20, 30)
    seen.clear()
    observer.removeObservers()
    roi.SetCenter(4, 5, 6)
    assert seen == []


def test_a_segment_keeps_the_terminology_it_is_given(slicer_app: Harness, tmp_path: Path) -> None:
    import slicer

    code = (
        "Own~SCT^49755003^Morphologically abnormal structure~SCT^4147007^Mass~^^~Anatomic codes~"
        "SCT^76752008^Breast~^^|"
    )
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mask")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume := _volume("phase"))
    identity = node.GetSegmentation().AddEmptySegment("tumour", "Tumour", (1.0, 0.0, 0.0))
    segment = node.GetSegmentation().GetSegment(identity)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), code)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.ones((3, 4, 5), np.uint8), node, identity, volume
    )
    _saved_and_loaded(slicer_app, tmp_path, ".mrb")
    segment = slicer.util.getNode("mask").GetSegmentation().GetSegment("tumour")
    assert "SCT^4147007^Mass" in segment.GetTerminology()
