"""The panel: its sections, what it follows in the scene, and what its state depends on."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
import vtk

from BreastPredictLib.panel import CasePanel
from BreastPredictLib.parameters import is_set
from BreastPredictLib.train_section import TrainSection

from . import reading
from .case import Case
from .clinical_section import ClinicalSection
from .list_of_patients import rows_of
from .list_section import ListSection
from .predict_section import PredictSection
from .regions import GONE
from .regions_section import RegionsSection
from .result_section import ResultSection
from .state import Facts, reasons
from .study_section import StudySection

_MARKUPS = ("us0Square", "us1Square", "rectangle")


class Panel(CasePanel):
    """What the widget class hands everything to.

    Args:
        ui: the widgets of PCRPredict.ui by name.
        case: what is shown.
    """

    name = "PCRPredict"
    buttons: ClassVar[dict[str, str]] = {
        "table": "readTableButton",
        "previous": "previousButton",
        "next": "nextButton",
        "clinical": "clinicalButton",
        "read": "readButton",
        "us0_square": "us0SquareButton",
        "us1_square": "us1SquareButton",
        "rectangle": "rectangleButton",
        "predict": "applyButton",
        "save_dicom": "saveDicomButton",
        "save_report": "saveReportButton",
        "train": "trainButton",
    }
    path_edits = (
        *("patientsEdit", "us0FileEdit", "us1FileEdit", "pathologyEdit", "resultsEdit"),
        *("cohortEdit", "trainingRunEdit"),
    )
    case: Case

    def __init__(self, ui: Any, case: Case) -> None:
        super().__init__(ui, case)
        self._layout_shown = False
        self.study = StudySection(ui, self)
        self.clinical_variables = ClinicalSection(ui, self)
        self.list = ListSection(ui, self)
        self.predict = PredictSection(ui, self)
        self.result = ResultSection(ui, self)
        self.regions = RegionsSection(ui, self)
        self.train = TrainSection(ui, self, case.train)
        self.sections = (
            *(self.list, self.study, self.clinical_variables, self.regions),
            *(self.predict, self.result, self.train),
        )

    def enter(self) -> None:
        """The module is shown."""
        self.study.enter()

    def exit(self) -> None:
        """Another module is shown: no click may place a square there."""
        self.regions.exit()

    def forget(self) -> None:
        """The scene is about to go."""
        self._layout_shown = False

    def heard(self, event: dict[str, Any]) -> None:
        """The child process has said how far it is."""
        self.train.heard(event)

    # Scene

    def update_inputs(self) -> None:
        """Find squares and variant again."""
        self.case.update_regions()

    def settle(self) -> None:
        """The reader has stopped dragging: make texts of it, and find what follows from them."""
        self.case.regions.take_edits(self.case.parameters)
        super().settle()

    def watched(self) -> dict[str, Any]:
        """What of the parameters the panel follows."""
        p = self.case.parameters
        return {
            "sources": {
                time: (getattr(p, time), getattr(p, f"{time}File")) for time in reading.TIMES
            },
            "markups": tuple(getattr(p, name) for name in _MARKUPS),
            "inputs": (
                *(p.us0Roi, p.us1Roi, p.pathologyRegion, p.opened, p.run, p.variant, p.mpp),
                *(p.subtype, p.er, p.ki67, p.regimen, p.laterality, p.pathology),
                *(p.us0, p.us1, p.us0File, p.us1File, p.us0Date, p.us1Date),
                *(p.us0Frame, p.us0Region, p.us1Frame, p.us1Region, p.clinicalOf),
            ),
            "map": (tuple(self.case.maps), p.colour, p.threshold),
            "shown": (tuple(self.case.maps), p.method, p.opacity),
            "images": (p.us0Image, p.us1Image, p.overview),
        }

    def changed(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Follow images, markups, inputs, maps and layers."""
        for time, source in before.get("sources", {}).items():
            if source != now["sources"][time]:
                for what in ("Frame", "Region"):  # of another file they mean nothing
                    setattr(self.case.parameters, f"{time}{what}", 0)
        for old, new in zip(before.get("markups", (None,) * 3), now["markups"], strict=True):
            if new is not None and new is not old:
                self.watch(new, vtk.vtkCommand.ModifiedEvent, self.wait_to_settle)
                event = slicer.vtkMRMLMarkupsNode.PointModifiedEvent
                self.watch(new, event, self.wait_to_settle)
        if now["inputs"] != before.get("inputs", now["inputs"]):
            self.case.update_regions()
        if now["map"] != before.get("map"):
            self.case.update_maps()
        if any(now[name] != before.get(name) for name in ("shown", "images")):
            self.show_layers()

    def show_layers(self) -> None:
        """Images and maps in the views; at the first image these are laid out for them."""
        p = self.case.parameters
        there = any(image is not None for image in (p.us0Image, p.us1Image, p.overview))
        if there and not self._layout_shown:
            self._layout_shown = True
            self.result.turn_to_layout()
        else:
            self.result.show_layers()

    # State

    def clinical(self) -> tuple[str, tuple[str, ...]]:
        """Why the clinical variables cannot be used, and what of them contradicts each other."""
        p = self.case.parameters
        typed = (p.subtype, p.er, p.ki67, p.regimen)
        if not any(typed):
            return "", ()
        from breastpredict.errors import InputError
        from breastpredict.pcr import PcrClinical

        try:
            return "", PcrClinical.parse(*typed).contradictions()
        except InputError as error:
            return str(error), ()

    def facts(self) -> Facts:
        """What the state depends on."""
        case, p = self.case, self.case.parameters
        opened, result, folder = case.opened, case.result, case.result_folder
        task = case.tasks.current
        self.predict.describe()
        self.clinical_variables.offer_row()
        problem, _notes = self.clinical()
        there = opened or {}
        return Facts(
            chosen=reading.is_chosen(p),
            read=opened is not None,
            us0=there.get("us0") is not None,
            us1=there.get("us1") is not None,
            biopsy=there.get("pathology") is not None,
            clinical=any((p.subtype, p.er, p.ki67, p.regimen)),
            clinical_problem=problem,
            pair_problem=there.get("pair_problem", ""),
            regions_problem=case.regions.problem or case.regions.biopsy_problem,
            gone=p.us1Roi == GONE,
            variant_problem=case.variant_problem,
            table=is_set(p.patients),
            patients=len(rows_of(p)),
            place=p.place,
            picked=bool(self.clinical_variables.row),
            question=reading.open_question(p),
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
        return reasons(self.facts())
