"""One case: what the panel, a script and the tests drive."""

from __future__ import annotations

from BreastPredictLib.tasks import Tasks

from .parameters import PCRPredictParameterNode
from .reading import ReadPair, read_pair


class Case:
    """A case on a parameter node.

    Args:
        parameters: what is remembered of it in the scene.
        tasks: the child process, and the folder for images that have no file.
    """

    def __init__(self, parameters: PCRPredictParameterNode, tasks: Tasks) -> None:
        self.parameters, self.tasks = parameters, tasks

    def read_pair(self) -> ReadPair:
        """Both examinations, checked.

        Raises:
            ValueError, InputError: see `reading.read_pair`.
        """
        return read_pair(self.parameters, self.tasks.folder / "pair")
