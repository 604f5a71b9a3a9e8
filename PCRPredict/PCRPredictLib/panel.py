"""The panel, as far as the module goes: choosing and checking the pair of examinations."""

from __future__ import annotations

import logging
from typing import Any

import vtk
from slicer.i18n import tr as _

from BreastPredictLib.parameters import is_set
from BreastPredictLib.words import SIDE_NOT_KNOWN, SIDES

from .case import Case
from .reading import ReadPair


class Panel:
    """What the widget class hands everything to.

    Args:
        ui: the widgets of PCRPredict.ui by name.
        case: what is shown.

    Attributes:
        read: the pair, as long as it is what is chosen.
        problem: the last error in words.
    """

    def __init__(self, ui: Any, case: Case) -> None:
        self.ui, self.case = ui, case
        self.read: ReadPair | None = None
        self.problem = ""
        self._observed: list[tuple[Any, int]] = []
        ui.readButton.connect("clicked()", self.read_pair)

    def observe(self) -> None:
        """Follow the parameters, and show them."""
        self.unobserve()
        node = self.case.parameters.parameterNode
        tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._changed)
        self._observed.append((node, tag))
        self._changed()

    def unobserve(self) -> None:
        """Follow nothing: the scene is about to go."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []

    def enter(self) -> None:
        """The module is shown."""

    def exit(self) -> None:
        """Another module is shown."""

    def forget(self) -> None:
        """The scene is about to go."""
        self.read, self.problem = None, ""

    def close(self) -> None:
        """The widgets are about to go."""
        self.unobserve()

    def read_pair(self) -> None:
        """Read what is chosen; an error is shown."""
        self.read, self.problem = None, ""
        try:
            self.read = self.case.read_pair()
        except Exception as error:  # from here on the user is told, whatever it is
            self.problem = str(error)
            # The message may name a file, and with it a patient: the log gets the kind only.
            logging.info("PCRPredict: %s", type(error).__name__)
        self.refresh()

    def _changed(self, *_args: Any) -> None:
        self.read, self.problem = None, ""  # it would be about another choice
        self.refresh()

    def refresh(self) -> None:
        """Show what is chosen, and what is known of it."""
        ui, p = self.ui, self.case.parameters
        missing = [
            name
            for name, node, file in (("US-0", p.us0, p.us0File), ("US-1", p.us1, p.us1File))
            if node is None and not is_set(file)
        ]
        ui.readButton.enabled = not missing
        ui.readButton.toolTip = (
            _("Choose {names} first.").format(names=" and ".join(missing)) if (missing) else ""
        )
        ui.problemLabel.text, ui.problemLabel.visible = self.problem, bool(self.problem)
        ui.patientLabel.text = _("No patient: no pair is read")
        ui.pairLabel.text = ""
        for edit in (ui.us0FileEdit, ui.us1FileEdit):
            if edit.currentPath == ".":  # how an empty path comes back from the parameters
                edit.currentPath = ""
        if self.read is not None:
            self._show(self.read)

    def _show(self, read: ReadPair) -> None:
        us0, us1 = read.us0, read.us1
        side = SIDES.get(us0.laterality or us1.laterality or "", SIDE_NOT_KNOWN)
        who = us0.patient_id or us1.patient_id
        self.ui.patientLabel.text = " · ".join([f"ID {who}" if who else _("ID not known"), side])
        weeks = read.pair.interval_weeks
        lines = [
            _("Interval not known") if weeks is None else _("{n:.1f} weeks apart").format(n=weeks),
            *(
                f"{n}: {u.region.words}, {u.spacing_text}"
                for n, u in (("US-0", us0), ("US-1", us1))
            ),
            *read.pair.warnings,
            *dict.fromkeys((*us0.warnings, *us1.warnings)),
        ]
        self.ui.pairLabel.text = "\n".join(lines)
