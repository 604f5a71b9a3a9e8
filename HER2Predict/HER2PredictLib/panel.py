"""The panel: sections over one case, one task at a time, and a state that is always explained."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from .backend import install_requirements, missing_requirements, torch_is_installed
from .case import Case
from .parameters import is_set
from .predict_section import PredictSection
from .result_section import ResultSection
from .state import Facts, reasons
from .study_section import StudySection
from .tasks import Cancelled
from .train_section import TrainSection
from .tumour_section import TumourSection

_POLL_MS = 50
_SETTLED_MS = 200
_BUTTONS = {
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
}


class Section(Protocol):
    """A part of the panel."""

    def refresh(self) -> None:
        """Show the case as it is."""


class Panel:
    """What the widget class hands everything to.

    Args:
        ui: the widgets of HER2Predict.ui by name.
        case: what is shown.

    Attributes:
        problem: the last error in words, shown until the next action.
    """

    def __init__(self, ui: Any, case: Case) -> None:
        self.ui, self.case = ui, case
        self.problem = ""
        self._missing: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._observed: list[tuple[Any, int]] = []
        self._seen: dict[str, Any] = {}
        self._poll, self._settle = qt.QTimer(), qt.QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self.poll)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLED_MS)
        self._settle.connect("timeout()", self.tumour_settled)
        ui.cancelButton.connect("clicked()", self.cancel)
        self.study = StudySection(ui, self)
        self.tumour = TumourSection(ui, self)
        self.predict = PredictSection(ui, self)
        self.result = ResultSection(ui, self)
        self.train = TrainSection(ui, self)
        self.sections: tuple[Section, ...] = (
            self.study, self.tumour, self.predict, self.result, self.train,
        )  # fmt: skip

    # Case and scene

    def observe(self) -> None:
        """Follow parameters and segmentation, and show them."""
        self.unobserve()
        parameters = self.case.parameters
        self._watch(
            parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parameters_changed
        )
        self.case.update_region()
        self._parameters_changed()

    def unobserve(self) -> None:
        """Follow nothing: the scene is about to go."""
        self._settle.stop()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed, self._seen = [], {}

    def close(self) -> None:
        """The widgets are about to go: no timer and no node may reach for them."""
        self.tumour.exit()
        self.unobserve()
        self._poll.stop()

    def _watch(self, node: Any, event: int, callback: Any) -> None:
        self._observed.append((node, node.AddObserver(event, callback)))

    def _parameters_changed(self, *_args: Any) -> None:
        p = self.case.parameters
        now = {
            "segmentation": p.segmentation,
            "region": (p.segmentID, p.margin, p.sliceIndex, p.early, p.run),
            "map": (p.map, p.colour, p.threshold),
            "opacity": (p.map, p.opacity),
        }
        before, self._seen = self._seen, now
        if now["segmentation"] is not before.get("segmentation"):
            self._watch_segmentation(p.segmentation)
        if now["region"] != before.get("region", now["region"]):
            self.case.update_region()
        if now["map"] != before.get("map"):
            self.case.update_map()
        if now["map"][0] is not before.get("map", (None,))[0] or now["opacity"] != before.get(
            "opacity"
        ):
            self.result.show_layers()
        self.refresh()

    def _watch_segmentation(self, node: Any) -> None:
        if node is None:
            return
        segmentation = slicer.vtkSegmentation
        for event in (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
        ):
            self._watch(node.GetSegmentation(), event, self._tumour_edited)

    def _tumour_edited(self, *_args: Any) -> None:
        # While a stroke is drawn many of these come; the slice is looked for when it is done.
        self._settle.start()

    def tumour_settled(self) -> None:
        """The tumour was edited: find slice and region again."""
        self._settle.stop()
        self.case.update_region()
        self.refresh()

    # Tasks

    def act(self, action: Any, *arguments: Any) -> None:
        """Start something of the case; an error is shown, and nothing else happens."""
        self.problem = ""
        try:
            action(*arguments, done=self._done, failed=self._failed)
        except Exception as error:  # from here on the user is told, whatever it is
            self._failed(error)
        else:
            self._poll.start()
        self.refresh()

    def _done(self) -> None:
        self.result.show_layers()

    def _failed(self, error: Exception) -> None:
        self.problem = _("Cancelled.") if isinstance(error, Cancelled) else str(error)
        if not isinstance(error, Cancelled):
            # The message may name a file, and with it a patient: the log gets the kind only.
            logging.info("HER2Predict: %s", type(error).__name__)

    def poll(self) -> None:
        """Take what the child process has said."""
        heard = self.case.tasks.poll()
        for event in heard:
            self.train.heard(event)
        if self.case.tasks.current is None:
            self._poll.stop()
        if heard or self.case.tasks.current is None:
            self.refresh()

    def cancel(self) -> None:
        """Kill what is under way."""
        self.case.tasks.cancel()
        self._poll.stop()
        self.refresh()

    def install(self, training: bool = False) -> bool:
        """Install what is missing, on the user's request; False where that failed."""
        if not self.missing(training):
            return True
        try:
            install_requirements(training)
        except Exception as error:  # pip, the network, a refusal
            self._failed(error)
        self._missing = None
        self.refresh()
        return not self.missing(training)

    def missing(self, training: bool = False) -> tuple[str, ...]:
        """What must be installed before predicting, or training."""
        if self._missing is None or bool(self._missing[0]) == torch_is_installed():
            found = (tuple(missing_requirements()), tuple(missing_requirements(True)))
            self._missing = found
        return self._missing[int(training)]

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

    def refresh(self) -> None:
        """Show everything as it is: enabled or not, and why not."""
        ui, facts = self.ui, self.facts()
        why = reasons(facts)
        for name, widget_name in _BUTTONS.items():
            button = getattr(ui, widget_name)
            if name == "predict" and facts.busy == "predicting":
                button.enabled, button.text, button.toolTip = True, _("Cancel"), _("Stop now.")
                continue
            button.enabled = not why[name]
            button.toolTip = why[name]
        if facts.busy != "predicting":
            ui.applyButton.text = _("Apply")
        self._show_task()
        ui.problemLabel.text = self.problem
        ui.problemLabel.visible = bool(self.problem)
        for edit in (ui.studyEdit, ui.cohortEdit, ui.trainingRunEdit):
            if edit.currentPath == ".":  # how an empty path comes back from the parameters
                edit.currentPath = ""
        for section in self.sections:
            section.refresh()

    def _show_task(self) -> None:
        ui, task = self.ui, self.case.tasks.current
        ui.taskFrame.visible = task is not None
        if task is None:
            return
        heard = task.heard
        ui.progressBar.maximum = heard.get("total", 0)
        ui.progressBar.value = heard.get("done", 0)
        line = heard.get("line", "")
        ui.taskLabel.text = f"{task.name.capitalize()}: {line}" if line else task.name.capitalize()
