"""What the DICOM plugins of both modules have in common."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import slicer
from DICOMLib import DICOMLoadable, DICOMPlugin

from .backend import find_backend

RECOGNISED = 0.95
"""Above Slicer's scalar volumes (0.5) and image sequences (0.7)."""

POSSIBLE = 0.3
"""Below all of them: the user may choose it."""

_BODY_PART = "0018,0015"
_BREAST = ("BREAST", "MAMMA", "CHEST", "THORAX")


class StudyPlugin(DICOMPlugin):
    """Looks at all files of a selection at once, for the series of a study belong together.

    Neither the backend is imported nor a file opened before there are files of the modality. Where
    the backend is missing or cannot use the files, nothing is offered, and nothing else is
    disturbed: the DICOM browser asks all plugins about everything.

    Attributes:
        modality: of the files that are looked at.
    """

    modality: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.tags["modality"] = "0008,0060"
        self.tags["bodyPart"] = _BODY_PART
        self._last: tuple[tuple[str, ...], list[Any]] = ((), [])

    def offers(self, files: Sequence[str]) -> list[Any]:
        """The loadables in files of the modality, by the backend.

        Raises:
            BreastPredictError, ImportError: there are none.
        """
        raise NotImplementedError

    def put_into_scene(self, loadable: Any) -> None:
        """Load what `offers` has offered.

        Raises:
            BreastPredictError: it cannot be read; then nothing of it is in the scene.
        """
        raise NotImplementedError

    # What Slicer calls

    def examineForImport(self, fileList: list[Sequence[str]]) -> list[Any]:
        """The loadables in lists of files, a list for each series."""
        files = tuple(file for files in fileList if self._is_of_modality(files) for file in files)
        # Slicer asks again where there was nothing.
        if files != self._last[0]:
            self._last = (files, self._offers(files) if files else [])
        return list(self._last[1])

    def examineFiles(self, files: Sequence[str]) -> list[Any]:
        """The loadables of one series by itself."""
        return self.examineForImport([files])

    def load(self, loadable: Any) -> bool:
        """Put a loadable into the scene; False where it cannot be read."""
        find_backend()
        from breastpredict.errors import BreastPredictError

        try:
            self.put_into_scene(loadable)
        except BreastPredictError as error:
            # Its path may hold a name.
            logging.error("%s: %s", self.loadType, getattr(error, "problem", type(error).__name__))
            return False
        return True

    # Behind the scenes

    def _is_of_modality(self, files: Sequence[str]) -> bool:
        database = slicer.dicomDatabase
        return bool(files) and database.fileValue(files[0], self.tags["modality"]) == self.modality

    def _offers(self, files: Sequence[str]) -> list[Any]:
        try:
            find_backend()
            from breastpredict.errors import BreastPredictError
        except ImportError:
            return []
        try:
            return self.offers(files)
        except ImportError:  # a package that the backend needs
            return []
        except BreastPredictError as error:
            logging.info("%s: %s", self.loadType, type(error).__name__)
            return []


def loadable_of(
    name: str, files: Sequence[object], recognised: bool, tooltip: str, warnings: Sequence[str]
) -> Any:
    """What the DICOM browser lists.

    Args:
        name: of the nodes, too.
        files: what it is made of.
        recognised: whether this is what the user wants, rather than what else the files could be.
        tooltip: how it was found.
        warnings: what the user must know before loading.
    """
    made = DICOMLoadable()
    made.name, made.files, made.tooltip = name, [str(file) for file in files], tooltip
    made.warning = "; ".join(warnings)
    made.selected = recognised
    made.confidence = RECOGNISED if recognised else POSSIBLE
    return made


def may_be_breast(file: object) -> bool:
    """Whether a file states the breast or chest as the body part, or none."""
    stated = slicer.dicomDatabase.fileValue(str(file), _BODY_PART).upper()
    return not stated or any(word in stated for word in _BREAST)


def states_breast(file: object) -> bool:
    """Whether a file states the breast, as body part or in the words of study or series."""
    database = slicer.dicomDatabase
    stated = database.fileValue(str(file), _BODY_PART).upper()
    words = " ".join(database.fileValue(str(file), tag) for tag in ("0008,1030", "0008,103E"))
    return any(word in f"{stated} {words.upper()}" for word in _BREAST[:2])


def register(plugin: type[DICOMPlugin], parent: Any, title: str, text: str) -> None:
    """Make a plugin known to the DICOM browser; its module does not show in the list of modules."""
    parent.title = title
    parent.categories = ["Developer Tools.DICOM Plugins"]
    parent.contributors = ["The BreastPredict contributors"]
    parent.helpText = text
    parent.acknowledgementText = ""
    parent.hidden = True
    # Whichever is discovered first, a plugin or the DICOM module, makes the table.
    if not hasattr(slicer.modules, "dicomPlugins"):
        slicer.modules.dicomPlugins = {}
    slicer.modules.dicomPlugins[plugin.__name__.removesuffix("Class")] = plugin
