"""Working through a list of patients, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from BreastPredictLib.database_section import fill

from .list_of_patients import rows_of, state_of

if TYPE_CHECKING:
    from .panel import Panel

_MARKS = {"predicted": "✓", "refused": "✗", "": " "}


class ListSection:
    """The section "List of patients"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._shown: tuple[Any, ...] = ()
        ui.readTableButton.connect("clicked()", self._read)
        ui.previousButton.connect("clicked()", lambda: self._walk(-1))
        ui.nextButton.connect("clicked()", lambda: self._walk(1))
        ui.patientBox.connect("currentIndexChanged(int)", self._picked)

    def _read(self) -> None:
        self._panel.act(self._panel.case.read_list)

    def _walk(self, step: int) -> None:
        case = self._panel.case
        self._panel.act(case.go_to, case.parameters.place + step)

    def _picked(self, index: int) -> None:
        if index > 0:
            self._panel.act(self._panel.case.go_to, index - 1)

    def refresh(self) -> None:
        """Show the patients, where one is, and how many are done."""
        ui, p = self._ui, self._panel.case.parameters
        rows = rows_of(p)
        states = [state_of(p, row["patient_id"]) for row in rows]
        shown = (p.rows, p.place, tuple(states))
        if shown != self._shown:
            self._shown = shown
            names = [row["patient_id"] for row in rows]
            marked = [(n, f"{_MARKS[s]} {n}") for n, s in zip(names, states, strict=True)]
            fill(ui.patientBox, _("Choose a patient"), marked, p.place + 1)
        done = sum(bool(state) for state in states)
        ui.listLabel.text = (
            _("Patient {n} of {all}; {done} done").format(n=p.place + 1, all=len(rows), done=done)
            if rows
            else _("No list is read.")
        )
        busy = self._panel.case.tasks.current is not None
        ui.patientBox.enabled = bool(rows) and not busy
