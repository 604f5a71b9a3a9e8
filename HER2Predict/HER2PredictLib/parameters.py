"""What the module remembers in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLPlotChartNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from BreastPredictLib.overlay import COLOURS, OPACITY, THRESHOLD

LARGEST = -1
"""Of the slice: the largest cross-section, whichever it is."""

EXPLANATIONS = ["attention", "evidence", "rollout", "none"]
NETWORKS = ["tiny", "reduced"]


@parameterNodeWrapper
class HER2PredictParameterNode:
    """The parameters and nodes of a case.

    Attributes:
        study: folder, archive, DICOMDIR, Slicer DICOM database or table of loaded volumes.
        studyUID: which study, where ``study`` holds several.
        opened: the backend's answer about the study, as JSON; empty while none is open.
        acquisition, phase: from 1; 0 for none.
        early, pre, subtraction: the volumes of the chosen phase, see `study_nodes`.
        segmentation: holds the tumour.
        segmentID: the tumour's segment; the first one where empty.
        outlinedBy: how the tumour was first outlined: "mask" (drawn or imported), "point", "box".
        point, box: where to delineate.
        region: shows the network's square.
        margin: around the tumour, as a share of its longer side; that of the training, until the
            reader changes it.
        marginOf: the run that ``margin`` was taken from.
        sliceIndex: from 0 along k of the early phase, or `LARGEST`.
        run: folder of the trained bundles.
        device: "auto", or as torch names it.
        explain: the map.
        result: the last prediction or refusal as JSON; empty where there is none.
        resultKey: what it was made from, see `case.inputs_key`.
        map, table, chart: of the result.
        opacity: of the map over the phase.
        threshold: share of the map's maximum below which it is not shown.
        colour: of the map.
        cohort, trainingRun, network, weights, epochs, resume: of a training; weights and epochs
            are the network's own where they are empty and 0.
    """

    study: Path
    studyUID: str
    opened: str
    acquisition: int
    phase: int
    early: vtkMRMLScalarVolumeNode
    pre: vtkMRMLScalarVolumeNode
    subtraction: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segmentID: str
    outlinedBy: Annotated[str, Default("mask")]
    point: vtkMRMLMarkupsFiducialNode
    box: vtkMRMLMarkupsROINode
    region: vtkMRMLMarkupsROINode
    margin: Annotated[float, WithinRange(0, 5)] = 0.2
    marginOf: str
    sliceIndex: Annotated[int, WithinRange(LARGEST, 9999)] = LARGEST
    run: Path
    device: Annotated[str, Default("auto")]
    explain: Annotated[str, Choice(EXPLANATIONS), Default("attention")]
    result: str
    resultKey: str
    map: vtkMRMLScalarVolumeNode
    table: vtkMRMLTableNode
    chart: vtkMRMLPlotChartNode
    opacity: Annotated[float, WithinRange(0, 1)] = OPACITY
    threshold: Annotated[float, WithinRange(0, 1)] = THRESHOLD
    colour: Annotated[str, Choice(COLOURS), Default("Heat")]
    cohort: Path
    trainingRun: Path
    network: Annotated[str, Choice(NETWORKS), Default("tiny")]
    weights: str
    epochs: Annotated[int, WithinRange(0, 1000)] = 0
    resume: bool = False
