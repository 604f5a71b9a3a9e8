"""The MRML scene and its logics, set up as qSlicerCoreApplication and the modules do."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from . import hierarchy
from .state import State

# Loadable modules whose logic scripted modules ask for, and its class.
MODULE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Annotations": "vtkSlicerAnnotationModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "SegmentEditor": "vtkSlicerSegmentEditorLogic",
}
SLICES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
VIEW_SIZE = 400  # pixels, of a slice view that nobody has resized


def create(state: State) -> None:
    """Make scene, application logic, module logics and slice views."""
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    state.scene, state.logic = scene, logic
    share = f"share/Slicer-{state.version[0]}.{state.version[1]}"
    (state.home / share / "ColorFiles").mkdir(parents=True, exist_ok=True)
    logic.SetHomeDirectory(str(state.home))
    logic.SetShareDirectory(share)
    logic.SetTemporaryPath(str(state.temporary))
    slicer.mrmlScene = scene
    logic.SetMRMLScene(scene)
    _add_data_io(state)
    # The terminology files are not in the package, and VTK would complain of each.
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        for name, kind in MODULE_LOGICS.items():
            _add_module_logic(state, name, getattr(slicer, kind)())
    finally:
        vtk.vtkLogger.SetStderrVerbosity(verbosity)
    state.slice_logics, state.view_logics = vtk.vtkCollection(), vtk.vtkCollection()
    logic.SetSliceLogics(state.slice_logics)
    logic.SetViewLogics(state.view_logics)
    _add_singletons(state)
    state.layout_logic = slicer.vtkMRMLLayoutLogic()
    state.layout_logic.SetMRMLScene(scene)
    for name, orientation in SLICES.items():
        _add_slice(state, name, orientation)
    hierarchy.follow(scene)


def _add_data_io(state: State) -> None:
    """What reading a scene bundle unpacks into."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(state.home / "cache"))
    cache.SetMRMLScene(state.scene)
    manager.SetCacheManager(cache)
    state.scene.SetCacheManager(cache)
    state.scene.SetDataIOManager(manager)


def _add_module_logic(state: State, name: str, module_logic: Any) -> None:
    module_logic.SetMRMLApplicationLogic(state.logic)
    module_logic.SetMRMLScene(state.scene)
    state.logic.SetModuleLogic(name, module_logic)
    state.module_logics[name] = module_logic


def _add_singletons(state: State) -> None:
    scene = state.scene
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    for name in ("Selection", "Interaction"):
        kind = f"vtkMRML{name}Node"
        if scene.GetFirstNodeByClass(kind) is None:
            node = getattr(slicer, kind)()
            node.SetSingletonTag("Singleton")
            scene.AddNode(node)
            getattr(state.logic, f"Set{name}Node")(scene.GetFirstNodeByClass(kind))


def _add_slice(state: State, name: str, orientation: str) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(state.logic)
    logic.SetMRMLScene(state.scene)
    # The layout logic has made the node; AddSliceNode would hand back a detached copy of it.
    node = state.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
    if node is not None:
        logic.SetSliceNode(node)
    else:
        node = logic.AddSliceNode(name)
    node.SetOrientation(orientation)
    logic.ResizeSliceNode(VIEW_SIZE, VIEW_SIZE)
    state.slice_logics.AddItem(logic)
    state.slices[name] = logic
