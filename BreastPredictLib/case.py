"""What a case has whatever is predicted: a result that may be out of date, maps, a training.

Everything that takes time is a task of the child process; what it answers is put into the scene
here, on the thread that called `Tasks.poll`. Until then nothing is in the scene, so that after a
cancel or a crash of the child nothing is left in it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from . import overlay, tables
from .tasks import Tasks

Failed = Callable[[Exception], None]
Done = Callable[[], None]


class PredictedCase(ABC):
    """A case on a parameter node.

    The parameters have ``run``, ``result`` and ``resultKey``, ``table`` and ``chart``, ``colour``
    and ``threshold``, and those of a training.

    Args:
        parameters: what is remembered of it in the scene.
        tasks: the child process.
    """

    def __init__(self, parameters: Any, tasks: Tasks) -> None:
        self.parameters = parameters
        self.tasks = tasks

    # Of each system

    @property
    @abstractmethod
    def opened(self) -> dict[str, Any] | None:
        """The backend's answer about the inputs; None while the chosen ones are not read."""

    @abstractmethod
    def inputs_key(self) -> str:
        """What a prediction would depend on now; two predictions with one key are the same."""

    @property
    @abstractmethod
    def maps(self) -> list[Any]:
        """The maps of the result that are in the scene."""

    @abstractmethod
    def forget_maps(self) -> None:
        """The parameters refer to no map any more."""

    @abstractmethod
    def show_result(
        self, result: dict[str, Any], found: dict[str, Any], opened: dict[str, Any]
    ) -> None:
        """Put maps, table and chart into the scene.

        Args:
            result: result.json.
            found: what the child process answered.
            opened: what was open when it was asked.
        """

    # Result

    @property
    def result(self) -> dict[str, Any] | None:
        """result.json of the last prediction, or what refused it; None where there is none."""
        return json.loads(self.parameters.result) if self.parameters.result else None

    @property
    def result_is_stale(self) -> bool:
        """Whether something was changed since the result was made."""
        return bool(self.parameters.result) and self.parameters.resultKey != self.inputs_key()

    @property
    def result_folder(self) -> Path | None:
        """Where the files of the last prediction are; gone when the module is closed."""
        result = self.result
        folder = Path(result["folder"]) if result and result.get("folder") else None
        return folder if folder is not None and folder.is_dir() else None

    def ask_for_result(
        self, command: str, arguments: dict[str, Any], done: Done, failed: Failed
    ) -> None:
        """Predict in the child process; show what it says, or remember what refused the case."""
        from breastpredict.errors import GateRefusal

        p, key, opened = self.parameters, self.inputs_key(), self.opened or {}

        def answered(found: dict[str, Any]) -> None:
            self.forget_result()
            text = (Path(found["folder"]) / "result.json").read_text("utf-8")
            result = json.loads(text)
            self.show_result(result, found, opened)
            p.result, p.resultKey = json.dumps({**result, "folder": found["folder"]}), key
            done()

        def refused(error: Exception) -> None:
            if isinstance(error, GateRefusal):
                self.forget_result()
                refusal = {"status": "refused", "gate": error.gate, "reason": error.reason}
                p.result, p.resultKey = json.dumps(refusal), key
            failed(error)

        self.tasks.start("predicting", command, arguments, answered, refused)

    def update_maps(self) -> None:
        """Colours and threshold of the maps, after one of them changed."""
        p = self.parameters
        for node in self.maps:
            if node.GetImageData() is not None:
                overlay.show_map(node, p.colour, p.threshold)

    def forget_result(self) -> None:
        """Remove the last result from the scene: a number must not outlive its case."""
        p = self.parameters
        for node in (*self.maps, p.table):
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
        if p.chart is not None:
            tables.remove_chart(p.chart)
        self.forget_maps()
        p.table = p.chart = None
        p.result, p.resultKey = "", ""

    # Training

    def train_on(self, command: str, arguments: dict[str, Any], done: Done, failed: Failed) -> None:
        """Train in the child process; its run is then chosen for predicting."""

        def answered(result: dict[str, Any]) -> None:
            self.parameters.run = Path(result["run"])
            done()

        self.tasks.start("training", command, arguments, answered, failed)
