"""The IO manager, on slicer-core's logics and storage nodes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import vtk

from ..behaviours.registry import behaves_as
from .state import running

FILE_TYPES = {
    ".seg.nrrd": "SegmentationFile", ".seg.nhdr": "SegmentationFile",
    ".mrk.json": "MarkupsFile", ".fcsv": "MarkupsFile",
    ".mrml": "SceneFile", ".mrb": "SceneFile",
    ".nrrd": "VolumeFile", ".nhdr": "VolumeFile", ".nii": "VolumeFile", ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile", ".mhd": "VolumeFile", ".dcm": "VolumeFile",
    ".stl": "ModelFile", ".vtk": "ModelFile", ".vtp": "ModelFile", ".ply": "ModelFile",
    ".obj": "ModelFile", ".csv": "TableFile", ".tsv": "TableFile", ".ctbl": "ColorTableFile",
    ".h5": "TransformFile", ".tfm": "TransformFile", ".txt": "TextFile", ".json": "TextFile",
}  # fmt: skip
NODE_TYPES = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLTextNode": "TextFile",
}
Properties = dict[str, Any]


def known_extension(name: str) -> str:
    """The longest extension the harness reads, lower case; '' if none."""
    found = [e for e in FILE_TYPES if name.lower().endswith(e)]
    return max(found, key=len, default="")


@behaves_as("qSlicerCoreIOManager")
class IOManager:
    """Loads and saves volumes, segmentations, markups, models, tables and scenes."""

    def _do_fileType(self, name: str) -> str:
        return FILE_TYPES.get(known_extension(name), "NoFile")

    def _do_fileWriterFileType(self, thing: Any, extension: str = "") -> str:
        if thing.IsA("vtkMRMLScene"):
            return "SceneFile"
        return next((t for kind, t in NODE_TYPES.items() if thing.IsA(kind)), "NoFile")

    def _do_extractKnownExtension(self, name: str, thing: Any) -> str:
        return known_extension(name)

    def _do_stripKnownExtension(self, name: str, thing: Any) -> str:
        return name[: len(name) - len(known_extension(name))] if known_extension(name) else name

    def _do_fileWriterExtensions(self, thing: Any) -> list[str]:
        kind = self._do_fileWriterFileType(thing)
        return [f"{kind} ({extension})" for extension, t in FILE_TYPES.items() if t == kind]

    def _do_loadNodes(
        self, kind: str, properties: Properties, nodes: Any = None, messages: Any = None
    ) -> bool:
        name = str(properties["fileName"])
        if not os.path.exists(name):
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"file does not exist: {name}")
            return False
        if kind == "SceneFile":
            return self._load_scene(name, bool(properties.get("clear")))
        loader = LOADERS.get(kind)
        node = loader(name, properties) if loader is not None else None
        if node is None:
            return False
        if properties.get("name"):
            node.SetName(properties["name"])
        if nodes is not None:
            nodes.AddItem(node)
        self._announce("newFileLoaded", properties)
        return True

    def _load_scene(self, name: str, clear: bool) -> bool:
        scene = running().scene
        if name.endswith(".mrb"):
            return bool(scene.ReadFromMRB(name, clear))
        scene.SetURL(name)
        return bool(scene.Connect() if clear else scene.Import())

    def _do_loadScene(self, name: str, clear: bool = True, messages: Any = None) -> bool:
        properties = {"fileName": name, "clear": clear}
        return self._do_loadNodes("SceneFile", properties, None, messages)

    def _do_saveScene(self, name: str, screenshot: Any = None, messages: Any = None) -> bool:
        scene = running().scene
        if name.endswith(".mrb"):
            return bool(scene.WriteToMRB(name, None))
        if name.endswith(".mrml"):
            scene.SetURL(name)
            return bool(scene.Commit(name))
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(name, None))

    def _do_saveNodes(
        self, kind: str, properties: Properties, messages: Any = None, scene: Any = None
    ) -> bool:
        name = str(properties["fileName"])
        if kind == "SceneFile":
            return self._do_saveScene(name)
        node = running().scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(name)
        return _write(node, node.GetStorageNode(), name, properties)

    def _do_exportNodes(
        self, node_ids: list[str], names: list[str], properties: Properties,
        harden: bool, messages: Any = None,
    ) -> bool:  # fmt: skip
        written = []
        for node_id, name in zip(node_ids, names, strict=True):
            node = running().scene.GetNodeByID(node_id)
            if harden and node.GetParentTransformNode() is not None:
                raise NotImplementedError("exporting in world coordinates is not modelled")
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            written.append(_write(node, storage, name, properties))
        return all(written)


def _write(node: Any, storage: Any, name: str, properties: Properties) -> bool:
    if storage is None:
        return False
    storage.SetFileName(name)
    if "useCompression" in properties:
        storage.SetUseCompression(int(properties["useCompression"]))
    return bool(storage.WriteData(node))


def _name(name: str, properties: Properties) -> str:
    return properties.get("name") or os.path.basename(name).split(".")[0]


def _volume(name: str, properties: Properties) -> Any:
    flags = {"labelmap": 1, "center": 2, "singleFile": 4}
    options = sum(flag for key, flag in flags.items() if properties.get(key))
    logic = running().module_logics["Volumes"]
    node = logic.AddArchetypeVolume(name, _name(name, properties), options)
    if node is not None and properties.get("show", True):
        selection = running().logic.GetSelectionNode()
        if properties.get("labelmap"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        running().logic.PropagateVolumeSelection()
    return node


def _segmentation(name: str, properties: Properties) -> Any:
    logic = running().module_logics["Segmentations"]
    opacities = properties.get("autoOpacities", True)
    return logic.LoadSegmentationFromFile(name, opacities, _name(name, properties), None)


def _markups(name: str, properties: Properties) -> Any:
    node_id = running().module_logics["Markups"].LoadMarkups(name, _name(name, properties))
    return running().scene.GetNodeByID(node_id) if node_id else None


def _text(name: str, properties: Properties) -> Any:
    node = running().scene.AddNewNodeByClass("vtkMRMLTextNode", _name(name, properties))
    node.AddDefaultStorageNode(name)
    return node if node.GetStorageNode().ReadData(node) else None


LOADERS: dict[str, Callable[[str, Properties], Any]] = {
    "VolumeFile": _volume,
    "SegmentationFile": _segmentation,
    "MarkupsFile": _markups,
    "TextFile": _text,
    "ModelFile": lambda name, properties: running().module_logics["Models"].AddModel(name),
    "ColorTableFile": lambda name, properties: (
        running().module_logics["Colors"].LoadColorFile(name, _name(name, properties))
    ),
    "TransformFile": lambda name, properties: (
        running().module_logics["Transforms"].AddTransform(name, running().scene)
    ),
    "TableFile": lambda name, properties: (
        running().module_logics["Tables"].AddTable(name, _name(name, properties))
    ),
}
