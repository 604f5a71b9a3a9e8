"""The panel: its sections, what it follows in the scene, and what its state depends on."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer

from BreastPredictLib.layers import show_layers
from BreastPredictLib.panel import CasePanel
from BreastPredictLib.parameters import is_set
from BreastPredictLib.train_section import TrainSection

from .case import Case
from .predict_section import PredictSection
from .reader_section import ReaderSection
from .reader_study import ReaderStudy
from .result_section import ResultSection
from .state import Facts, reasons
from .study_section import StudySection
from .tumour_section import TumourSection


class Panel(CasePanel):
    """What the widget class hands everything to.

    Args:
        ui: the widgets of HER2Predict.ui by name.
        case: what is shown.
    """

    name = "HER2Predict"
    buttons: ClassVar[dict[str, str]] = {
        "open": "openButton",
        "load": "loadButton",
        "point": "pointButton",
        "box": "boxButton",
        "draw": "drawButton",
        "import": "importButton",
        "predict": "applyButton",
        "save_dicom": "saveDicomButton",
        "save_report": "saveReportButton",
        "train": "trainButton",
        "reader_open": "readerOpenButton",
        "reader_sign_in": "readerSignInButton",
        "reader_save": "readerSaveButton",
        "reader_stop": "readerStopButton",
    }
    path_edits = ("studyEdit", "cohortEdit", "trainingRunEdit")
    case: Case

    def __init__(self, ui: Any, case: Case) -> None:
        super().__init__(ui, case)
        self.study = StudySection(ui, self)
        self.tumour = TumourSection(ui, self)
        self.predict = PredictSection(ui, self)
        self.result = ResultSection(ui, self)
        self.train = TrainSection(ui, self, case.train)
        self.reader = ReaderSection(ui, self, ReaderStudy(case))
        self.sections = (
            self.study, self.tumour, self.predict, self.result, self.train, self.reader,
        )  # fmt: skip

    def enter(self) -> None:
        """The module is shown."""
        self.tumour.enter()
        self.reader.enter()

    def exit(self) -> None:
        """Another module is shown."""
        self.tumour.exit()
        self.reader.exit()

    def forget(self) -> None:
        """The scene is about to go."""
        self.reader.forget()
        self.study.forget()
        self.tumour.forget()

    def heard(self, event: dict[str, Any]) -> None:
        """The child process has said how far it is."""
        self.train.heard(event)

    # Reader study

    @property
    def outlining(self) -> Case | ReaderStudy:
        """Whose tumour the buttons and the Segment Editor are about."""
        return self.reader.study if self.reader.study.under_way else self.case

    def may_outline_anew(self) -> bool:
        """Whether a contour may be replaced by an automatic one."""
        return self.reader.may_outline_anew()

    # Scene

    def update_inputs(self) -> None:
        """Find slice and region again."""
        self.case.update_region()

    def watched(self) -> dict[str, Any]:
        """What of the parameters the panel follows."""
        p = self.case.parameters
        return {
            "segmentation": p.segmentation,
            "region": (p.segmentID, p.margin, p.sliceIndex, p.early, p.run),
            "map": (p.map, p.colour, p.threshold),
            "opacity": (p.map, p.opacity),
        }

    def changed(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Follow segmentation, region, map and layers."""
        if now["segmentation"] is not before.get("segmentation"):
            self._watch_segmentation(now["segmentation"])
        if now["region"] != before.get("region", now["region"]):
            self.case.update_region()
        if now["map"] != before.get("map"):
            self.case.update_maps()
        if now["map"][0] is not before.get("map", (None,))[0] or now["opacity"] != before.get(
            "opacity"
        ):
            self.show_layers()

    def _watch_segmentation(self, node: Any) -> None:
        if node is None:
            return
        segmentation = slicer.vtkSegmentation
        for event in (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
        ):
            self.watch(node.GetSegmentation(), event, self.wait_to_settle)

    def show_layers(self) -> None:
        """Phase and map in the views."""
        if self.reader.study.under_way:
            show_layers(self.reader.study.volume, None, 0.0)
        else:
            self.result.show_layers()

    # State

    def facts(self) -> Facts:
        """What the state depends on."""
        case, p = self.case, self.case.parameters
        opened, acquisition, result = case.opened, case.acquisition, case.result
        folder = case.result_folder
        task = case.tasks.current
        self.predict.describe()
        point, box = p.point, p.box
        return Facts(
            study_chosen=self.study.is_chosen,
            study_open=opened is not None,
            acquisitions=len(opened["study"]["dce"]) if opened else 0,
            phase=p.phase,
            phase_reason=acquisition["reason"] if acquisition else "",
            volumes_loaded=case.volumes_are_loaded,
            point=point is not None and point.GetNumberOfDefinedControlPoints() > 0,
            box=box is not None and box.GetNumberOfDefinedControlPoints() > 0,
            mask_file=bool(self.ui.importEdit.currentPath),
            tumour_problem="" if case.region is not None else case.region_problem,
            run_problem=self.predict.problem,
            missing=self.missing(),
            can_install=slicer.util.mainWindow() is not None,
            busy=task.name if task is not None else "",
            cohort=is_set(p.cohort),
            training_run=is_set(p.trainingRun),
            result=result["status"] if result else "",
            result_stale=case.result_is_stale,
            has_dicom=folder is not None and any(folder.glob("*.dcm")),
            has_report=folder is not None and (folder / "report.html").is_file(),
        )

    def reasons(self) -> dict[str, str]:
        """Action → why its button cannot be pressed; empty where it can."""
        facts = self.facts()
        return {**reasons(facts), **self.reader.reasons(facts)}
