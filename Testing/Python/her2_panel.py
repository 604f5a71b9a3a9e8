"""The module HER2 Predict in the harness, driven through its widgets as a user drives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_runs import make_mask, make_study
from harness import Harness

MODULE = Path(__file__).resolve().parents[2] / "HER2Predict" / "HER2Predict.py"
BUTTONS = {
    "open": "openButton",
    "load": "loadButton",
    "point": "pointButton",
    "box": "boxButton",
    "draw": "drawButton",
    "import": "importButton",
    "predict": "applyButton",
    "save_dicom": "saveDicomButton",
    "save_report": "saveReportButton",
    "train": "trainButton",
}
SECONDS = 90.0
"""More than any step takes, on a busy machine too."""


@dataclass(frozen=True)
class SmallCase:
    """A study, the mask of its tumour, and a run of two reduced networks."""

    study: Path
    mask: Path
    run: Path


class Her2Panel:
    """The module's panel, shown, and what a user does with it."""

    def __init__(self, app: Harness, worker: Any = None) -> None:
        self.app = app
        self.module = app.load(MODULE)
        self.widget = app.enter(self.module)
        self._worker = worker
        self._lend()

    def _lend(self) -> None:
        if self._worker is not None:
            self.case.tasks.worker = self._worker

    def take_back(self) -> None:
        """Not the lent child process is killed when the module is closed."""
        from breastpredict.worker import WorkerClient

        tasks = self.widget.logic._tasks
        if tasks is not None and tasks.worker is self._worker:
            if tasks.current is not None:
                tasks.cancel()
            tasks.worker = WorkerClient()

    def reload(self) -> None:
        """The developer's button."""
        self.take_back()
        self.widget = self.app.reload(self.module)
        self._lend()

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
        """Until nothing is under way any more."""
        self.app.wait_until(lambda: self.case.tasks.current is None, SECONDS)

    def press(self, button: str) -> None:
        """Press a button that must be enabled, wait, and see no complaint."""
        widget = getattr(self.ui, BUTTONS[button])
        assert widget.enabled, f"{button}: {widget.toolTip}"
        widget.click()
        self.wait()
        assert not self.panel.problem, self.panel.problem

    def read(self, study: Path) -> None:
        """Choose a folder and read it."""
        self.ui.studyEdit.currentPath = str(study)
        self.press("open")

    def load(self, study: Path) -> None:
        """Read a folder and load its volumes."""
        self.read(study)
        self.press("load")

    def outline(self, case: SmallCase) -> None:
        """Load the study and import the mask."""
        self.load(case.study)
        self.ui.importEdit.currentPath = str(case.mask)
        self.press("import")

    def prepare(self, case: SmallCase) -> None:
        """All that is needed before Apply."""
        self.outline(case)
        self.parameters.run = case.run
        self.parameters.device = "cpu"

    def predict(self, case: SmallCase) -> dict[str, Any]:
        """A whole prediction; its result."""
        self.prepare(case)
        self.press("predict")
        result: dict[str, Any] = self.case.result
        assert result["status"] == "predicted"
        return result

    def settle(self) -> None:
        """Let the tumour's edits be taken in, as they are a moment after a stroke."""
        self.panel.settle()

    # What a user sees

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

    def nodes(self) -> list[tuple[str, str]]:
        """ID and name of every node of the scene."""
        import slicer

        scene = slicer.mrmlScene
        found = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
        return sorted((node.GetID(), node.GetName() or "") for node in found)

    def family(self) -> list[psutil.Process]:
        """The child process and all that it started."""
        return family_of(self.case)


def family_of(case: Any) -> list[psutil.Process]:
    """The child process of a case and all that it started."""
    pid = case.tasks.worker.pid
    assert pid is not None
    child = psutil.Process(pid)
    return [child, *child.children(recursive=True)]


def all_dead(family: list[psutil.Process]) -> bool:
    """Whether none of the processes is there any more."""
    _, alive = psutil.wait_procs(family, timeout=5)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="session")
def small_case(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> SmallCase:
    """What most tests of the panel run on."""
    folder = tmp_path_factory.mktemp("her2-case")
    study = make_study(folder / "study")
    return SmallCase(study, make_mask(folder / "mask.nrrd", study), tiny_run)


@pytest.fixture(scope="session")
def lasting_worker() -> Iterator[Any]:
    """A child process that outlives the panels: starting one and loading torch takes seconds."""
    from breastpredict.worker import WorkerClient

    worker = WorkerClient()
    yield worker
    worker.kill()


@pytest.fixture
def lent_worker(slicer_app: Harness, lasting_worker: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever makes itself a worker gets the lasting one, and does not end it."""
    import breastpredict.worker

    class Lent:
        def __getattr__(self, name: str) -> Any:
            return getattr(lasting_worker, name)

        def kill(self) -> None:
            assert not lasting_worker.busy

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(breastpredict.worker, "WorkerClient", Lent)
    return lasting_worker


@pytest.fixture
def her2(
    slicer_app: Harness, lasting_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Her2Panel]:
    """The panel, with nothing chosen."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the child; tiny networks need no more
    shown = Her2Panel(slicer_app, lasting_worker)
    yield shown
    shown.take_back()
