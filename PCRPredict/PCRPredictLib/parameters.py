"""What the module remembers in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLPlotChartNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLTableNode,
    vtkMRMLVectorVolumeNode,
)
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from BreastPredictLib.overlay import COLOURS, OPACITY, THRESHOLD

# The backend's own words (breastpredict.pcr), which opening the module need not import.
SUBTYPES = ["", "HR+/HER2-", "HR+/HER2+", "TN", "HR-/HER2+"]
ER_LEVELS = ["", "negative", "low", "positive"]
REGIMENS = ["", "taxane", "anthracycline+taxane", "taxane+platinum", "anti-HER2"]
SIDES = ["", "R", "L"]
EXPLANATIONS = ["both", "gradcam", "occlusion", "none"]
METHODS = ["gradcam", "occlusion"]
NETWORKS = [
    *("se-crosst-t", "se-crosst-s", "se-crosst-b", "se-crosst-l", "stock", "reduced"),
    *("vgg16", "resnet50", "densenet121", "vit", "swin"),
]
RECIPES = ["ours", "paper"]
MOST = 999_999
"""Of frames and regions, as in a cohort table."""


@parameterNodeWrapper
class PCRPredictParameterNode:
    """The parameters and nodes of a case.

    Attributes:
        us0, us1: the examinations before treatment and after two cycles of it, as images in the
            scene; RGB images are scalar volumes to Slicer, too.
        us0File, us1File: the same as files, where no image is chosen.
        us0Frame, us1Frame: of a file, from 1; 0 where its own rule chooses.
        us0Region, us1Region: which B-mode region, from 1; 0 where there is only one.
        us0Date, us1Date: YYYY-MM-DD, of files that state none.
        pathology: slide or picture of the biopsy.
        mpp: microns per pixel, where the file states none.
        pathologyRegion: "x,y,width,height" in pixels of the largest image; empty: by rule.
        subtype, er, ki67, regimen: the clinical variables; empty where not known.
        clinicalOf: the row of the table that they were taken from; empty where they were typed.
        laterality: where the files state none.
        patient, site: of a row of the list of patients.
        opened: the backend's answer about the images, as JSON; empty while none are read.
        us0Image, us1Image: the B-mode regions.
        overview: the whole slide, small.
        us0Roi, us1Roi: where the tumour is, as a cohort table has it: "point:x,y,side",
            "box:x0,y0,x1,y1", masks; of us1 also "us0".
        us1RoiBefore: what ``us1Roi`` was before the tumour was said to be gone.
        us0Square, us1Square: show what the network sees.
        us0Point, us1Point: take the reader's click into the tumour; not saved with the scene.
        rectangle: shows the region of the biopsy.
        linked: a square that is drawn larger or smaller takes the other with it.
        linkedOf: the run that ``linked`` was taken from.
        run: folder of the trained bundles.
        device: "auto", or as torch names it.
        variant: of the run; empty: the one that takes the most of what there is.
        explain: the maps to make.
        resultsFolder: where results are kept; a temporary folder where empty.
        result: the last prediction or refusal as JSON; empty where there is none.
        resultKey: what it was made from, see `case.inputs_key`.
        mapNodes: the maps of the result.
        method: the map that is shown.
        table, chart: of the result.
        opacity, threshold, colour: of the maps, as in BreastPredictLib.overlay.
        patients: the table of a list of patients.
        rows: of the list, as JSON.
        place: of the patient in the list, from 0; -1 for none.
        kept: what was done with patients of the list, as JSON.
        cohort, trainingRun, network, variants, recipe, weights, epochs, resume: of a training;
            weights and epochs are the recipe's own where they are empty and 0.
    """

    us0: vtkMRMLScalarVolumeNode
    us1: vtkMRMLScalarVolumeNode
    us0File: Path
    us1File: Path
    us0Frame: Annotated[int, WithinRange(0, MOST)] = 0
    us0Region: Annotated[int, WithinRange(0, MOST)] = 0
    us1Frame: Annotated[int, WithinRange(0, MOST)] = 0
    us1Region: Annotated[int, WithinRange(0, MOST)] = 0
    us0Date: str
    us1Date: str
    pathology: Path
    mpp: str
    pathologyRegion: str
    subtype: Annotated[str, Choice(SUBTYPES), Default("")]
    er: Annotated[str, Choice(ER_LEVELS), Default("")]
    ki67: str
    regimen: Annotated[str, Choice(REGIMENS), Default("")]
    clinicalOf: str
    laterality: Annotated[str, Choice(SIDES), Default("")]
    patient: str
    site: str
    opened: str
    us0Image: vtkMRMLScalarVolumeNode
    us1Image: vtkMRMLScalarVolumeNode
    overview: vtkMRMLVectorVolumeNode
    us0Roi: str
    us1Roi: str
    us1RoiBefore: str
    us0Square: vtkMRMLMarkupsROINode
    us1Square: vtkMRMLMarkupsROINode
    us0Point: vtkMRMLMarkupsFiducialNode
    us1Point: vtkMRMLMarkupsFiducialNode
    rectangle: vtkMRMLMarkupsROINode
    linked: bool = True
    linkedOf: str
    run: Path
    device: Annotated[str, Default("auto")]
    variant: str
    explain: Annotated[str, Choice(EXPLANATIONS), Default("both")]
    resultsFolder: Path
    result: str
    resultKey: str
    mapNodes: list[vtkMRMLScalarVolumeNode]
    method: Annotated[str, Choice(METHODS), Default("gradcam")]
    table: vtkMRMLTableNode
    chart: vtkMRMLPlotChartNode
    opacity: Annotated[float, WithinRange(0, 1)] = OPACITY
    threshold: Annotated[float, WithinRange(0, 1)] = THRESHOLD
    colour: Annotated[str, Choice(COLOURS), Default("Heat")]
    patients: Path
    rows: str
    place: Annotated[int, Default(-1)]
    kept: str
    cohort: Path
    trainingRun: Path
    network: Annotated[str, Choice(NETWORKS), Default("se-crosst-t")]
    variants: Annotated[str, Default("full")]
    recipe: Annotated[str, Choice(RECIPES), Default("ours")]
    weights: str
    epochs: Annotated[int, WithinRange(0, 1000)] = 0
    resume: bool = False
