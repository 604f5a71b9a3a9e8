"""The clinical variables: typed, or taken from the row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from BreastPredictLib.database_section import fill

from .list_of_patients import clinical_row, is_same, row_of_same, rows_of

if TYPE_CHECKING:
    from .panel import Panel


class ClinicalSection:
    """The part of the section "Study" that is about clinical variables."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._offered: tuple[str, str] | None = None
        ui.clinicalBox.connect("currentIndexChanged(int)", lambda _index: panel.refresh())
        ui.clinicalButton.connect("clicked()", self._take)

    @property
    def row(self) -> str:
        """The row of the table that is chosen, or empty."""
        return self._ui.clinicalBox.currentData or ""

    def offer_row(self) -> None:
        """List the rows; that of the images' patient is chosen as soon as both are known."""
        case = self._panel.case
        p, who = case.parameters, case.patient_id
        if (p.rows, who) == self._offered:
            return
        self._offered = (p.rows, who)
        names = [row["patient_id"] for row in rows_of(p)]
        same = row_of_same(p, who)
        index = 0 if same is None else 1 + names.index(same["patient_id"])
        fill(self._ui.clinicalBox, _("Choose a row"), [(name, name) for name in names], index)

    def _take(self) -> None:
        who, row = self._panel.case.patient_id, self.row
        question = _(
            "The row '{row}' has another patient ID than these images, '{who}'. Take its "
            "clinical variables all the same?"
        ).format(row=row, who=who)
        is_other = bool(who) and not is_same(row, who)
        if is_other and not slicer.util.confirmOkCancelDisplay(question):
            return
        self._panel.problem = ""
        self._panel.case.take_clinical(row)
        self._panel.refresh()

    def refresh(self) -> None:
        """Show whose the variables are, and what of them is wrong or contradicts."""
        ui = self._ui
        ui.clinicalRowLabel.text = self._about_row()
        ui.clinicalRowLabel.visible = bool(ui.clinicalRowLabel.text)
        problem, notes = self._panel.clinical()
        lines = [problem] if problem else [*notes]
        ui.clinicalLabel.text = "\n".join([*lines, *self._of_another()])
        ui.clinicalLabel.visible = bool(ui.clinicalLabel.text)

    def _about_row(self) -> str:
        """What is to be said of the chosen row and the images' patient."""
        case = self._panel.case
        p, who, row = case.parameters, case.patient_id, self.row
        if not p.rows or not who:
            return ""
        if not row and row_of_same(p, who) is None:
            text = _("No row of the table has the patient ID of these images, '{who}'.")
        elif not row:
            text = ""
        elif is_same(row, who):
            text = _("This row has the patient ID of these images.")
        else:
            text = _("This row has another patient ID than these images, '{who}'.")
        return text.format(who=who)

    def _of_another(self) -> list[str]:
        """That clinical variables of another row stand beside the images."""
        case = self._panel.case
        row, who = clinical_row(case.parameters), case.patient_id
        if not row or not who or is_same(row, who):
            return []
        text = _("The clinical variables are of the row '{row}', the images of '{who}'.")
        return [text.format(row=row, who=who)]
