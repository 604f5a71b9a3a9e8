"""A phantom study to try the module on; it is made on this machine, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from BreastPredictLib.tasks import Tasks


def make_sample(tasks: Tasks, run: bool = False) -> dict[str, Any]:
    """A phantom study with its mask, in the tasks' folder; waits.

    Args:
        tasks: the child process.
        run: make bundles with random weights too, whose numbers mean nothing.

    Returns:
        The paths "study", "mask" and "run".
    """
    made: dict[str, Any] = {}
    arguments = {"folder": str(tasks.folder / "sample"), "run": run}
    tasks.wait(
        lambda _done, failed: tasks.start(
            "making the phantom", "sample", arguments, made.update, failed
        )
    )
    return made


def show_sample_study(_source: Any = None) -> list[Any]:
    """What Sample Data runs: the phantom's phases in the scene, its study in the database."""
    from DICOMLib import DICOMUtils

    from .case import Case
    from .parameters import HER2PredictParameterNode

    tasks = Tasks("HER2Predict", slicer.app.temporaryPath)
    try:
        made = make_sample(tasks)
        if slicer.dicomDatabase is not None and slicer.dicomDatabase.isOpen:
            DICOMUtils.importDicom(made["study"], slicer.dicomDatabase, copyFiles=True)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        case = Case(HER2PredictParameterNode(node), tasks)
        case.parameters.study = Path(made["study"])
        tasks.wait(case.open_study)
        tasks.wait(case.load_volumes)
        volumes = [case.parameters.pre, case.parameters.early, case.parameters.subtraction]
        slicer.mrmlScene.RemoveNode(node)
        return volumes
    finally:
        tasks.close()
