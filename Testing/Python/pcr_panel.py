"""The module PCR Predict in the harness, driven through its widgets as a user drives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from harness import Harness
from her2_panel import family_of
from panel_pictures import part_of_panel, slice_view, whole_panel
from pictures import beside

MODULE = Path(__file__).resolve().parents[2] / "PCRPredict" / "PCRPredict.py"
BUTTONS = {
    "table": "readTableButton",
    "previous": "previousButton",
    "next": "nextButton",
    "clinical": "clinicalButton",
    "read": "readButton",
    "us0_square": "us0SquareButton",
    "us1_square": "us1SquareButton",
    "rectangle": "rectangleButton",
    "predict": "applyButton",
    "save_dicom": "saveDicomButton",
    "save_report": "saveReportButton",
    "train": "trainButton",
}
SECONDS = 90.0
"""More than any step takes, on a busy machine too."""


@dataclass(frozen=True)
class PhantomList:
    """Three phantom patients and a run that has learnt nothing.

    Attributes:
        table: COHORT.csv.
        patients: its rows, as `breastpredict.pcr.case_of` takes them.
        run: two variants, for patients with and without a biopsy, and a clinical baseline.
    """

    table: Path
    patients: list[dict[str, str]]
    run: Path


class PcrPanel:
    """The module's panel, shown, and what a user does with it."""

    def __init__(self, app: Harness, worker: Any = None) -> None:
        self.app = app
        self._worker = worker
        self._start()

    def _start(self) -> None:
        self.module = self.app.load(MODULE)
        self.widget = self.app.enter(self.module)
        if self._worker is not None:
            self.case.tasks.worker = self._worker

    def start_again(self) -> None:
        """Leave Slicer and start it anew, as far as this module is concerned: an empty scene."""
        self.take_back()
        self.app.unload(self.module)
        self._start()

    def take_back(self) -> None:
        """Not the lent child process is killed when the module is closed."""
        from breastpredict.worker import WorkerClient

        tasks = self.widget.logic._tasks
        if tasks is not None and tasks.worker is self._worker:
            if tasks.current is not None:
                tasks.cancel()
            tasks.worker = WorkerClient()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def case(self) -> Any:
        return self.widget.panel.case

    @property
    def parameters(self) -> Any:
        return self.case.parameters

    # What a user does

    def wait(self) -> None:
        """Until nothing is under way any more, and what was dragged has come to rest."""
        self.app.wait_until(lambda: self.case.tasks.current is None, SECONDS)
        self.panel.settle()

    def press(self, button: str) -> None:
        """Press a button that must be enabled, wait, and see no complaint."""
        widget = getattr(self.ui, BUTTONS[button])
        assert widget.enabled, f"{button}: {widget.toolTip}"
        widget.click()
        self.wait()
        assert not self.panel.problem, self.panel.problem

    def choose(self, words: dict[str, str]) -> None:
        """Choose a patient's files and type what is known."""
        ui = self.ui
        for name in ("us0", "us1"):
            getattr(ui, f"{name}FileEdit").currentPath = words.get(name, "")
            getattr(ui, f"{name}DateEdit").text = words.get(f"{name}_date", "")
        ui.pathologyEdit.currentPath = words.get("pathology", "")
        for name in ("subtype", "er", "regimen"):
            getattr(ui, f"{name}Box").currentText = words.get(name, "")
        ui.ki67Edit.text = words.get("ki67", "")

    def drag(self, name: str, box: tuple[float, float, float, float]) -> None:
        """Drag a markup ("us0Square", "us1Square") to a box in pixels of the file."""
        from PCRPredictLib.ultrasound_nodes import ras_of

        image = getattr(self.parameters, name.replace("Square", "Image"))
        first, last = ras_of(image, box[:2]), ras_of(image, box[2:])
        node = getattr(self.parameters, name)
        node.SetCenter(*((a + b) / 2 for a, b in zip(first, last, strict=True)))
        node.SetSize(*(abs(b - a) for a, b in zip(first[:2], last[:2], strict=True)), 1.0)
        self.panel.settle()

    def prepare(self, words: dict[str, str], run: Path) -> None:
        """All that is needed before Apply, with the regions of the table."""
        self.choose(words)
        self.prepare_chosen(words, run)

    def prepare_chosen(self, words: dict[str, str], run: Path) -> None:
        """The same, where images are chosen already."""
        self.press("read")
        p = self.parameters
        for time in ("us0", "us1"):
            setattr(p, f"{time}Roi", words.get(f"{time}_roi", ""))
        p.pathologyRegion = words.get("pathology_region", "")
        p.run, p.device = run, "cpu"

    def predict(self, words: dict[str, str], run: Path) -> dict[str, Any]:
        """A whole prediction; its result."""
        self.prepare(words, run)
        self.press("predict")
        result: dict[str, Any] = self.case.result
        assert result["status"] == "predicted"
        return result

    # What a user sees

    def picture(self, *names: str) -> np.ndarray:
        """The panel as it looks, or parts of it."""
        if not names:
            return whole_panel(self.app, self.module)
        return part_of_panel(self.app, self.module, self.ui, *names)

    def views(self) -> np.ndarray:
        """The three views of the layout as they look."""
        return beside(*(slice_view(self.app, name) for name in ("Red", "Yellow", "Green")))

    def enabled(self) -> set[str]:
        """The buttons that can be pressed; those that cannot say why."""
        found = set()
        for name, widget_name in BUTTONS.items():
            button = getattr(self.ui, widget_name)
            if button.enabled:
                found.add(name)
            else:
                assert button.toolTip, f"{name} is disabled and does not say why"
        return found

    def why_not(self, button: str) -> str:
        """The tool tip of a button that must be disabled."""
        widget = getattr(self.ui, BUTTONS[button])
        assert not widget.enabled, button
        assert widget.toolTip
        return str(widget.toolTip)

    def family(self) -> list[psutil.Process]:
        """The child process and all that it started."""
        return family_of(self.case)


@pytest.fixture(scope="session")
def phantom_list(tmp_path_factory: pytest.TempPathFactory) -> PhantomList:
    """What the tests of the panel run on; to look at, not to change."""
    from breastpredict.pcr import words_of
    from breastpredict.phantom import make_pcr_phantom, write_random_pcr_run
    from breastpredict.study import read_pcr_cohort

    folder = tmp_path_factory.mktemp("pcr-list")
    table = make_pcr_phantom(folder / "cohort", {"PHANTOM-A": 3}, seed=5, workers=1)
    patients = [words_of(case) for case in read_pcr_cohort(table)]
    return PhantomList(table, patients, write_random_pcr_run(folder / "run"))


@pytest.fixture
def pcr(
    slicer_app: Harness, lasting_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PcrPanel]:
    """The panel, with nothing chosen."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child; tiny networks need no more
    shown = PcrPanel(slicer_app, lasting_worker)
    yield shown
    shown.take_back()
