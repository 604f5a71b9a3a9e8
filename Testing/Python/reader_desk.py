"""A reader of a study at the panel of HER2 Predict, driven through its widgets.

As a script, a reader who is killed: ``reader_desk.py PLAN COHORT KEY`` reads one case, draws in the
next, and then looks at it until somebody ends the process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import Harness
from her2_panel import BUTTONS, Her2Panel
from reader_studies import Truth

from breastpredict.imaging import BoxedMask

READER_BUTTONS = {
    "reader_open": "readerOpenButton",
    "reader_sign_in": "readerSignInButton",
    "reader_save": "readerSaveButton",
    "reader_stop": "readerStopButton",
}
_ALL = {**BUTTONS, **READER_BUTTONS}


class Desk:
    """A reader at the panel, who knows where the lesions are."""

    def __init__(self, her2: Her2Panel, truth: Truth) -> None:
        self.her2, self.truth = her2, truth

    @property
    def ui(self) -> Any:
        return self.her2.ui

    @property
    def study(self) -> Any:
        return self.her2.panel.reader.study

    # What a reader does

    def press(self, button: str) -> None:
        """Press a button that must be enabled, and wait for what it starts."""
        widget = getattr(self.ui, _ALL[button])
        assert widget.enabled, f"{button}: {widget.toolTip}"
        widget.click()
        self.her2.wait()

    def done(self, button: str) -> None:
        """The same, and see no complaint."""
        self.press(button)
        assert not self.her2.panel.problem, self.her2.panel.problem

    def open(self, folder: Path) -> None:
        self.ui.readerPlanEdit.currentPath = str(folder)
        self.done("reader_open")

    def choose(self, reader: str, session: int = 0) -> None:
        self.ui.readerBox.setCurrentIndex(self.ui.readerBox.findData(reader))
        self.ui.readerSessionBox.setCurrentIndex(self.ui.readerSessionBox.findData(session))

    def sign_in(self, folder: Path, reader: str = "A") -> None:
        """Open the plan and sign in; the first case comes."""
        self.open(folder)
        self.choose(reader)
        self.done("reader_sign_in")

    def click(self, lps: tuple[float, float, float]) -> None:
        """Place the point by mouse."""
        x, y, z = lps
        self.ui.pointPlace.placeButton().click()
        self.her2.app.click((-x, -y, z))

    def delineate(self) -> tuple[float, float, float]:
        """Click into the lesion and have it outlined; where that was, LPS."""
        true = self.lesion()
        k, j, i = np.argwhere(true.inside).mean(axis=0) + true.start
        x, y, z = (float(v) for v in true.geometry.index_to_physical(np.array([i, j, k])))
        self.click((x, y, z))
        self.done("point")
        return x, y, z

    def draw(self, array: np.ndarray) -> None:
        """What the Segment Editor would leave behind, ``[k, j, i]``."""
        import slicer

        segmentation, segment, volume = self.study.outline
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            array.astype(np.uint8), segmentation, segment, volume
        )

    def cut(self) -> np.ndarray:
        """Erase the first row of the contour; what is left."""
        array = self.contour().copy()
        array[:, int(np.nonzero(array.any(axis=(0, 2)))[0][0])] = 0
        self.draw(array)
        return array

    def read_case(self, *, cut: bool = False) -> None:
        """From the point to the next case."""
        self.delineate()
        if cut:
            self.cut()
        self.done("reader_save")

    # What a reader sees

    def why_not(self, button: str) -> str:
        """The tool tip of a button that must be disabled."""
        widget = getattr(self.ui, _ALL[button])
        assert not widget.enabled and widget.toolTip, button
        return str(widget.toolTip)

    def enabled(self) -> set[str]:
        """The buttons that can be pressed."""
        return {name for name, widget in _ALL.items() if getattr(self.ui, widget).enabled}

    def lesion(self) -> BoxedMask:
        """The true lesion of the case that is shown."""
        return self.truth(self.study.given.case)

    def contour(self) -> np.ndarray:
        """What is drawn, ``[k, j, i]``."""
        import slicer

        segmentation, segment, volume = self.study.outline
        found: np.ndarray = slicer.util.arrayFromSegmentBinaryLabelmap(
            segmentation, segment, volume
        )
        return found


def _read_until_killed(plan: Path, cohort: Path, key: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        app = Harness(Path(home) / "slicer")
        desk = Desk(Her2Panel(app), Truth(cohort, key))
        desk.her2.panel.reader.save_every(200)
        desk.sign_in(plan)
        desk.read_case()
        desk.delineate()
        left = desk.cut()
        print(desk.her2.case.tasks.worker.pid, int(left.sum()), flush=True)
        app.wait_until(lambda: False, 60)


if __name__ == "__main__":
    _read_until_killed(*map(Path, sys.argv[1:4]))
