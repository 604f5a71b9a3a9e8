"""Whose images they are, where they come from, and whether they belong together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from BreastPredictLib.database import files_of, slides_of
from BreastPredictLib.database_section import fill
from BreastPredictLib.words import SIDE_NOT_KNOWN, SIDES, patient_line

from .image_nodes import patient_of
from .list_of_patients import listed
from .reading import TIMES, TITLES, choices, open_question

if TYPE_CHECKING:
    from .panel import Panel


class StudySection:
    """The section "Study" and the line about the patient above all sections."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        ui.readButton.connect("clicked()", self._read)
        ui.databaseRefreshButton.connect("clicked()", self.list_database)
        for time in TIMES:
            getattr(ui, f"{time}DatabaseBox").connect(
                "currentIndexChanged(int)",
                lambda index, of=time: self._database_image_chosen(of, index),
            )
        ui.pathologyDatabaseBox.connect("currentIndexChanged(int)", self._slide_chosen)

    def enter(self) -> None:
        """The module is shown: the database may hold others than before."""
        self.list_database()

    def list_database(self) -> None:
        """The ultrasound images and the slides of the open DICOM database."""
        found = files_of("US")
        for time in TIMES:
            fill(getattr(self._ui, f"{time}DatabaseBox"), _("Choose an image"), found)
        fill(self._ui.pathologyDatabaseBox, _("Choose a slide"), slides_of())

    def _database_image_chosen(self, time: str, index: int) -> None:
        file = getattr(self._ui, f"{time}DatabaseBox").itemData(index) or ""
        if file:
            p = self._panel.case.parameters
            setattr(p, time, None)
            setattr(p, f"{time}File", Path(file))

    def _slide_chosen(self, index: int) -> None:
        file = self._ui.pathologyDatabaseBox.itemData(index) or ""
        if file:
            self._panel.case.parameters.pathology = Path(file)

    def _read(self) -> None:
        self._panel.act(self._panel.case.open_images)

    def refresh(self) -> None:
        """Show patient, side, pair, and what is still to be chosen."""
        ui, case = self._ui, self._panel.case
        opened = case.opened
        ui.patientLabel.text = self._patient(opened)
        question = open_question(case.parameters)
        ui.pairLabel.text = question if opened is None else "\n".join(self._pair(opened))
        for time in TIMES:
            self._show_choices(time)

    def _show_choices(self, time: str) -> None:
        """Frame and region where there is more than one, or one was named."""
        ui, p = self._ui, self._panel.case.parameters
        found = choices(p, time)
        counts = {
            "Frame": 1 if found is None else found.frames,
            "Region": 1 if found is None else len(found.regions),
        }
        for what, count in counts.items():
            box, label = getattr(ui, f"{time}{what}Box"), getattr(ui, f"{time}{what}Label")
            box.visible = label.visible = count > 1 or bool(getattr(p, f"{time}{what}"))
            box.suffix = _(" of {n}").format(n=count)

    def _patient(self, opened: dict[str, Any] | None) -> str:
        case = self._panel.case
        patient = listed(case.parameters)
        if opened is None:
            if patient:
                return _("{name} of the list: no image is read").format(name=patient)
            return _("No patient: no image is read")
        side = _(SIDES.get(case.laterality, SIDE_NOT_KNOWN))
        return patient_line(patient_of(opened), side)

    def _pair(self, opened: dict[str, Any]) -> list[str]:
        lines = []
        pair = opened["pair"]
        if opened["pair_problem"]:
            lines.append(opened["pair_problem"])
        elif pair is not None:
            weeks = pair["weeks"]
            known = _("{n:.1f} weeks apart").format(n=weeks or 0.0)
            lines.append(_("Interval not known") if weeks is None else known)
        for time in TIMES:
            shown = opened[time]
            if shown is not None:
                lines.append(f"{TITLES[time]}: {shown['region_words']}, {shown['spacing_text']}")
        slide = opened["pathology"]
        if slide is not None:
            columns, rows = slide["size"]
            mpp = slide["mpp"]
            scale = _("no scale") if mpp is None else f"{mpp[0]:.3g} µm"
            lines.append(f"{_('Biopsy')}: {slide['kind']}, {columns} × {rows}, {scale}")
        notes = list(pair["warnings"]) if pair else []
        for name in (*TIMES, "pathology"):
            notes += (opened[name] or {}).get("warnings", [])
        return [*lines, *dict.fromkeys(notes)]
