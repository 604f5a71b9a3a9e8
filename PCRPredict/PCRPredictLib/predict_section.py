"""Which variant predicts, on what, and the button that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from BreastPredictLib.run_section import RunSection

from .reading import TITLES


class PredictSection(RunSection):
    """The section "Predict"."""

    def __init__(self, ui: Any, panel: Any) -> None:
        super().__init__(ui, panel)
        ui.variantBox.connect("currentIndexChanged(int)", self._variant_chosen)

    def description_of(self, run: Path) -> dict[str, Any]:
        """What the variants of a run say of themselves.

        Raises:
            BreastPredictError: it cannot be used.
        """
        from breastpredict.pcr import describe_pcr_run

        return describe_pcr_run(run)

    def predict(self, done: Any, failed: Any) -> None:
        """Start a prediction."""
        self._panel.case.predict(done, failed)

    def _variant_chosen(self, index: int) -> None:
        self._panel.case.parameters.variant = self._ui.variantBox.itemData(index)

    def refresh(self) -> None:
        """Show the run, its variants, the inputs that were found and what is used of them."""
        super().refresh()
        self._list_variants()
        self._ui.inputsLabel.text = self._inputs()

    def _list_variants(self) -> None:
        box, p = self._ui.variantBox, self._panel.case.parameters
        names = list(self.description["variants"]) if self.description else []
        box.blockSignals(True)
        if [box.itemData(n) for n in range(box.count)] != ["", *names]:
            box.clear()
            box.addItem(_("automatic"), "")
            for name in names:
                box.addItem(name, name)
        box.setCurrentIndex(max(box.findData(p.variant), 0))
        box.blockSignals(False)

    def _inputs(self) -> str:
        case = self._panel.case
        words = case.words()
        found = [title for name, title in TITLES.items() if name in words]
        if any(words.get(name) for name in ("subtype", "er", "ki67", "regimen")):
            found.append(_("clinical variables"))
        lines = [_("Found: {names}").format(names=", ".join(found) or _("nothing"))]
        if case.variant and self.description:
            takes = self.description["variants"][case.variant]
            names = ", ".join(TITLES.get(name, _("clinical variables")) for name in takes)
            lines.append(_("Variant '{name}' takes {names}").format(name=case.variant, names=names))
        elif case.variant_problem:
            lines.append(case.variant_problem)
        return "\n".join(lines)
