"""A phantom patient to try the module on; it is made on this machine, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from BreastPredictLib.tasks import Tasks


def make_sample(tasks: Tasks, run: bool = False, cases: int = 1) -> dict[str, Any]:
    """Phantom patients with US-0, US-1 and biopsy, in the tasks' folder; waits.

    Args:
        tasks: the child process.
        run: make bundles with random weights too, whose numbers mean nothing.
        cases: how many patients.

    Returns:
        "table", a path; "patients", its rows as words; "run", a path or None.
    """
    made: dict[str, Any] = {}
    arguments = {"folder": str(tasks.folder / "sample"), "cases": cases, "run": run}
    tasks.wait(
        lambda _done, failed: tasks.start(
            "making the phantom", "pcr_sample", arguments, made.update, failed
        )
    )
    return made


def show_sample_patient(_source: Any = None) -> list[Any]:
    """What Sample Data runs: the phantom's images in the scene, its ultrasound in the database."""
    from DICOMLib import DICOMUtils

    from . import list_of_patients
    from .case import Case
    from .parameters import PCRPredictParameterNode

    tasks = Tasks("PCRPredict", slicer.app.temporaryPath)
    try:
        made = make_sample(tasks)
        [patient] = made["patients"]
        if slicer.dicomDatabase is not None and slicer.dicomDatabase.isOpen:
            folder = str(Path(patient["us0"]).parent)
            DICOMUtils.importDicom(folder, slicer.dicomDatabase, copyFiles=True)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        case = Case(PCRPredictParameterNode(node), tasks)
        p = case.parameters
        list_of_patients.take(p, patient)
        tasks.wait(case.open_images)
        images = [p.us0Image, p.us1Image, p.overview]
        for markup in (p.us0Square, p.us1Square, p.rectangle):
            if markup is not None:
                slicer.mrmlScene.RemoveNode(markup)
        slicer.mrmlScene.RemoveNode(node)
        return images
    finally:
        tasks.close()
