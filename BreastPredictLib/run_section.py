"""Which run predicts, on what, and the button that does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .parameters import is_set

if TYPE_CHECKING:
    from .panel import CasePanel

_MOST_RUNS = 12


class RunSection(ABC):
    """The section "Predict".

    The widgets that it needs by these names: ``runBox``, ``browseRunButton``, ``runLabel``,
    ``deviceBox``, ``findDevicesButton``, ``applyButton``, ``syntheticLabel``, ``missingLabel``.

    Attributes:
        description: what the chosen run says of itself, or None.
        problem: why it cannot be used, empty if it can.
    """

    def __init__(self, ui: Any, panel: CasePanel) -> None:
        self._ui, self._panel = ui, panel
        self._setting = f"{panel.name}/Runs"
        self.description: dict[str, Any] | None = None
        self.problem = ""
        self._read: tuple[Any, ...] | None = None
        ui.runBox.connect("activated(int)", self._run_chosen)
        ui.browseRunButton.connect("clicked()", self._browse)
        ui.deviceBox.connect("activated(int)", self._device_chosen)
        ui.findDevicesButton.connect("clicked()", self._find_devices)
        ui.applyButton.connect("clicked()", self.apply)
        for name, text in (("auto", _("automatic")), ("cpu", _("processor"))):
            ui.deviceBox.addItem(text, name)
        self._list_runs()

    @abstractmethod
    def description_of(self, run: Path) -> dict[str, Any]:
        """What a run says of itself: "tasks" and "synthetic_note".

        Raises:
            BreastPredictError: it cannot be used.
        """

    @abstractmethod
    def predict(self, done: Any, failed: Any) -> None:
        """Start a prediction."""

    # Runs

    def known_runs(self) -> list[str]:
        """Folders of runs used before, the last one first."""
        stored = slicer.util.settingsValue(self._setting, "")
        return [line for line in stored.split("\n") if line]

    def remember(self, run: Path) -> None:
        """Put a run on top of the list."""
        runs = [str(run), *(r for r in self.known_runs() if r != str(run))][:_MOST_RUNS]
        qt.QSettings().setValue(self._setting, "\n".join(runs))
        self._list_runs()

    def _list_runs(self) -> None:
        box = self._ui.runBox
        box.blockSignals(True)
        box.clear()
        box.addItem(_("Choose a trained run"), "")
        for run in self.known_runs():
            box.addItem(f"{Path(run).name}  ({run})", run)
        box.blockSignals(False)

    def _run_chosen(self, index: int) -> None:
        self._panel.case.parameters.run = Path(self._ui.runBox.itemData(index) or "")

    def _browse(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder of a trained run"), ""
        )
        if folder:
            self._panel.case.parameters.run = Path(folder)

    def describe(self) -> None:
        """Read what the run says of itself, where it is another than before."""
        run = self._panel.case.parameters.run
        files = sorted(run.glob("*/configs/metadata.json")) if is_set(run) else []
        read = (str(run), *((str(f), f.stat().st_mtime_ns) for f in files))
        if read == self._read:
            return
        self._read, self.description = read, None
        if not is_set(run):
            self.problem = _("Choose the folder of a trained run.")
            return
        from breastpredict.errors import BreastPredictError

        try:
            self.description, self.problem = self.description_of(run), ""
        except BreastPredictError as error:
            self.problem = str(error)
            return
        self.remember(run)

    # Device

    def _device_chosen(self, index: int) -> None:
        self._panel.case.parameters.device = self._ui.deviceBox.itemData(index)

    def _find_devices(self) -> None:
        self._panel.act(self._ask_devices)

    def _ask_devices(self, done: Any, failed: Any) -> None:
        def answered(result: dict[str, Any]) -> None:
            box = self._ui.deviceBox
            for name, text in result["devices"].items():
                if box.findData(name) < 0:
                    box.addItem(text, name)
            done()

        self._panel.case.tasks.start(_("looking for devices"), "devices", {}, answered, failed)

    # Apply

    def apply(self) -> None:
        """Predict; while that is under way, cancel."""
        task = self._panel.case.tasks.current
        if task is not None:
            self._panel.cancel()
        elif self._panel.install():
            self._panel.act(self.predict)

    def refresh(self) -> None:
        """Show the run, what is known of it, and what Apply would install first."""
        ui, p = self._ui, self._panel.case.parameters
        ui.runBox.setCurrentIndex(max(ui.runBox.findData(str(p.run)), 0))
        ui.deviceBox.setCurrentIndex(max(ui.deviceBox.findData(p.device), 0))
        ui.runLabel.text = self._text()
        synthetic = self.description["synthetic_note"] if self.description else ""
        ui.syntheticLabel.text = synthetic
        ui.syntheticLabel.visible = bool(synthetic)
        missing = self._panel.missing()
        ui.missingLabel.visible = bool(missing)
        if missing:
            ui.missingLabel.text = _(
                "Not installed yet: {names}. Apply asks to install it."
            ).format(names=", ".join(missing))

    def _text(self) -> str:
        if self.description is None:
            return self.problem
        return "\n".join(map(_described, self.description["tasks"]))


def _described(task: dict[str, Any]) -> str:
    """What a bundle's numbers are, and what they were checked on."""
    is_probability = task["calibration"].get("probability") is True
    kind = _("probability at the training prevalence") if is_probability else _("score only")
    held_out = sum(task["held_out"].values()) if task["held_out"] else 0
    auc, local = task["auc"], task["local_validation"].get("patients", 0)
    area = f", AUC {auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})" if auc else ""
    checked = _("{n} held-out patients").format(n=held_out) if held_out else _("none held out")
    here = _("{n} local patients").format(n=local) if local else _("not validated locally")
    return f"{task['title']}: {kind}; {checked}{area}; {here}"
