"""Where the tumour is on both ultrasound images, and which part of the biopsy is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .pathology_nodes import middle_rectangle
from .reading import TIMES, TITLES
from .regions import GONE, VIEWS, new_square, set_gone
from .square_nodes import point_for

if TYPE_CHECKING:
    from .panel import Panel


class RegionsSection:
    """The section "Regions"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        for time in TIMES:
            button = getattr(ui, f"{time}SquareButton")
            button.connect("clicked()", lambda of=time: self._new_square(of))
            place = getattr(ui, f"{time}Place")
            place.setMRMLScene(slicer.mrmlScene)
            place.buttonsVisible = False
            place.placeButton().show()
            place.connect("activeMarkupsFiducialPlaceModeChanged(bool)", self._placing)
        ui.goneBox.connect("toggled(bool)", self._gone)
        ui.rectangleButton.connect("clicked()", self._new_rectangle)
        ui.layoutButton.connect("clicked()", panel.result.turn_to_layout)

    def exit(self) -> None:
        """Another module is shown: no click is waited for."""
        for time in TIMES:
            getattr(self._ui, f"{time}Place").placeModeEnabled = False

    def _placing(self, placing: bool) -> None:
        if not placing:  # it was clicked, or given up; Slicer is still at handling the click
            self._panel.wait_to_settle()

    def _new_square(self, time: str) -> None:
        new_square(self._panel.case.parameters, time)

    def _gone(self, gone: bool) -> None:
        set_gone(self._panel.case.parameters, gone)

    def _new_rectangle(self) -> None:
        p = self._panel.case.parameters
        p.pathologyRegion = middle_rectangle(p.overview)

    def refresh(self) -> None:
        """Show what the network will see, or why it will see nothing."""
        ui, case = self._ui, self._panel.case
        p, regions = case.parameters, case.regions
        for time in TIMES:
            self._show_place(time)
        gone = p.us1Roi == GONE
        if ui.goneBox.checked != gone:
            ui.goneBox.checked = gone
        opened = case.opened
        ui.goneBox.enabled = opened is not None and None not in (opened["us0"], opened["us1"])
        ui.us1RoiEdit.enabled = not gone
        lines = [
            f"{TITLES[time]}: {found.side_text}, {found.reason}"
            for time, found in regions.found.items()
        ]
        lines += regions.notes
        if case.facts() is not None and regions.found:
            lines.append(_("The run sees {words}").format(words=case.policy(case.facts()).words))
        ui.squaresLabel.text = "\n".join([regions.problem] if regions.problem else lines)
        ui.rectangleLabel.text = regions.biopsy_problem
        ui.rectangleLabel.visible = bool(regions.biopsy_problem)

    def _show_place(self, time: str) -> None:
        """The place button has a node to place as long as there is an image."""
        p, place = self._panel.case.parameters, getattr(self._ui, f"{time}Place")
        button = getattr(self._ui, f"{time}SquareButton")
        if getattr(p, f"{time}Image") is not None and getattr(p, f"{time}Point") is None:
            name = _("Tumour on {image}").format(image=TITLES[time])
            setattr(p, f"{time}Point", point_for(name, VIEWS[time]))
        node = getattr(p, f"{time}Point")
        if place.currentNode() is not node:
            place.setCurrentNode(node)
        place.enabled = button.enabled
        tip = _("Click on the middle of the tumour: a square is put there, to be moved and resized")
        place.toolTip = button.toolTip or tip
