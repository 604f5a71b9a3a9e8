"""Whose study it is, where it comes from, its phases and which one is taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from BreastPredictLib.database_section import list_studies
from BreastPredictLib.loaded import volumes_of_scene
from BreastPredictLib.parameters import is_set
from BreastPredictLib.words import SIDE_NOT_KNOWN, SIDES, patient_line

from .loaded_study import AssignedPhase, write_phase_table

if TYPE_CHECKING:
    from .panel import Panel

FOLDER, DATABASE, LOADED = range(3)
_ROLES = ("", "pre", "post")


class StudySection:
    """The section "Study" and the line about the patient above all sections."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._shown: tuple[Any, ...] = ()
        self._assigned: list[tuple[Any, Any, Any]] = []
        ui.sourceBox.connect("currentIndexChanged(int)", self._source_changed)
        ui.databaseBox.connect("currentIndexChanged(int)", self._database_study_chosen)
        ui.databaseRefreshButton.connect("clicked()", self.list_database)
        ui.loadedRefreshButton.connect("clicked()", self.list_loaded)
        ui.studyEdit.connect("currentPathChanged(QString)", self._path_changed)
        ui.openButton.connect("clicked()", self._open)
        ui.acquisitionBox.connect("activated(int)", self._acquisition_chosen)
        ui.phaseTable.connect("itemSelectionChanged()", self._phase_chosen)
        ui.loadButton.connect("clicked()", self._load)
        header = ui.phaseTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setStretchLastSection(True)
        ui.loadedTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self._source_changed(FOLDER)

    # Where it comes from

    @property
    def is_chosen(self) -> bool:
        """Whether there is something to read in the place that is chosen."""
        source, p = self._ui.sourceBox.currentIndex, self._panel.case.parameters
        if source == LOADED:
            return sum(role.currentIndex > 0 for _, role, _ in self._assigned) > 1
        return is_set(p.study) and (source == FOLDER or bool(p.studyUID))

    def _source_changed(self, index: int) -> None:
        pages = (self._ui.folderPage, self._ui.databasePage, self._ui.loadedPage)
        for number, page in enumerate(pages):
            page.visible = number == index
        if index == DATABASE:
            self.list_database()
        elif index == LOADED:
            self.list_loaded()
        if self._shown:
            self._panel.refresh()

    def _path_changed(self, path: str) -> None:
        p = self._panel.case.parameters
        if Path(path) != p.study:  # else it only shows what the parameters say
            # In this order: each change makes the widgets show the parameters.
            p.study, p.studyUID = Path(path), ""

    def list_database(self) -> None:
        """The studies of the open DICOM database that hold MR."""
        list_studies(self._ui.databaseBox, "MR")

    def _database_study_chosen(self, index: int) -> None:
        uid = self._ui.databaseBox.itemData(index) or ""
        if uid:
            p = self._panel.case.parameters
            p.study = Path(slicer.dicomDatabase.databaseDirectory)
            p.studyUID = uid

    def list_loaded(self) -> None:
        """The volumes of the scene, those of sequences too, to be given roles and times."""
        table = self._ui.loadedTable
        volumes = volumes_of_scene()
        table.setRowCount(len(volumes))
        self._assigned = []
        for row, volume in enumerate(volumes):
            name = qt.QTableWidgetItem(volume.GetName())
            name.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, name)
            role = qt.QComboBox()
            for text in (_("not used"), _("before contrast"), _("after contrast")):
                role.addItem(text)
            role.connect("currentIndexChanged(int)", self._assignment_changed)
            time = qt.QLineEdit()
            time.placeholderText = _("unknown")
            time.toolTip = _("Seconds from the injection to the centre of the acquisition")
            table.setCellWidget(row, 1, role)
            table.setCellWidget(row, 2, time)
            self._assigned.append((volume, role, time))

    def forget(self) -> None:
        """The scene is about to go, and the volumes with it."""
        self._ui.loadedTable.setRowCount(0)
        self._assigned = []

    def _assignment_changed(self, _index: int) -> None:
        self._panel.refresh()

    def assigned(self) -> list[AssignedPhase]:
        """The volumes that have a role, in order of the table.

        Raises:
            ValueError: a time is not a number.
        """
        found = []
        for volume, role, time in self._assigned:
            if role.currentIndex:
                text = time.text.strip()
                try:
                    seconds = float(text) if text else None
                except ValueError as error:
                    raise ValueError(f"'{text}' is not a time in seconds.") from error
                found.append(AssignedPhase(volume, _ROLES[role.currentIndex], seconds))
        return found

    def _open(self) -> None:
        self._panel.act(self._open_source)

    def _open_source(self, done: Any, failed: Any) -> None:
        case = self._panel.case
        if self._ui.sourceBox.currentIndex == LOADED:
            folder = case.tasks.folder / "loaded"
            case.parameters.study = write_phase_table(self.assigned(), folder)
            case.parameters.studyUID = ""
        case.open_study(done, failed)

    # Phases

    def _acquisition_chosen(self, index: int) -> None:
        self._panel.case.choose_acquisition(index + 1)

    def _phase_chosen(self) -> None:
        rows = {item.row() for item in self._ui.phaseTable.selectedItems()}
        if len(rows) == 1:
            self._panel.case.parameters.phase = rows.pop() + 1

    def _load(self) -> None:
        self._panel.act(self._panel.case.load_volumes)

    def refresh(self) -> None:
        """Show patient, acquisitions, phases and the reason for the chosen one."""
        case = self._panel.case
        p = case.parameters
        self._ui.patientLabel.text = self._patient()
        shown = (p.opened, p.acquisition, p.phase)
        if shown == self._shown:
            return
        self._shown = shown
        self._show_acquisitions()
        self._show_phases()
        self._ui.phaseReasonLabel.text = self._reason()

    def _patient(self) -> str:
        case = self._panel.case
        opened = case.opened
        if opened is None:
            return _("No patient: no study is open")
        side = _(SIDES.get(case.laterality or "", SIDE_NOT_KNOWN)) if case.acquisition else ""
        return patient_line(opened["patient"], side)

    def _show_acquisitions(self) -> None:
        box, case = self._ui.acquisitionBox, self._panel.case
        opened = case.opened
        box.blockSignals(True)
        box.clear()
        for dce in opened["study"]["dce"] if opened else ():
            side = SIDES.get(dce["laterality"], _(SIDE_NOT_KNOWN))
            kind = f", {dce['kind']}" if dce["kind"] else ""
            box.addItem(f"{dce['number']}: {side}{kind}, {len(dce['phases'])} phases")
        box.setCurrentIndex(case.parameters.acquisition - 1)
        box.blockSignals(False)

    def _show_phases(self) -> None:
        table, case = self._ui.phaseTable, self._panel.case
        acquisition = case.acquisition
        phases = acquisition["phases"] if acquisition else []
        table.blockSignals(True)
        table.setRowCount(len(phases))
        for row, phase in enumerate(phases):
            when = "?" if phase["time_s"] is None else f"{phase['time_s']:.0f} s"
            change = phase["enhancement"]
            chosen = "◀" if phase["index"] == case.parameters.phase else ""
            signal = "" if change is None else f"{change:+.0%}"
            texts = (phase["index"], when, phase["role"], signal, phase["slices"], chosen)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(str(text))
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                table.setItem(row, column, item)
        if case.parameters.phase:
            table.selectRow(case.parameters.phase - 1)
        else:
            table.clearSelection()
        table.blockSignals(False)

    def _reason(self) -> str:
        case = self._panel.case
        opened, acquisition = case.opened, case.acquisition
        if opened is None:
            return ""
        if acquisition is None:
            left = dict.fromkeys(r["reason"] for r in opened["study"]["rejected"])
            return "; ".join(left) or _("The study has no DCE acquisition.")
        chosen, phase = acquisition["chosen"], case.parameters.phase
        if phase and phase != chosen:
            reason = _("Phase {n} was chosen by the user.").format(n=phase)
        elif phase:
            reason = f"{acquisition['rule']}: {acquisition['reason']}"
        else:
            reason = _("No phase: {reason}").format(reason=acquisition["reason"])
        origin = _("Times are counted from: {what}").format(
            what=acquisition["phases"][0]["time_origin"]
        )
        return "\n".join([reason, origin, *acquisition["warnings"]])
