"""Where the tumour is on both ultrasound images, and which part of the biopsy is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from .pathology_nodes import middle_rectangle
from .reading import TIMES, TITLES
from .regions import GONE, new_square, set_gone

if TYPE_CHECKING:
    from .panel import Panel


class RegionsSection:
    """The section "Regions"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        for time in TIMES:
            button = getattr(ui, f"{time}SquareButton")
            button.connect("clicked()", lambda of=time: self._new_square(of))
        ui.goneBox.connect("toggled(bool)", self._gone)
        ui.rectangleButton.connect("clicked()", self._new_rectangle)
        ui.layoutButton.connect("clicked()", panel.result.turn_to_layout)

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
