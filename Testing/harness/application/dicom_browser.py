"""The DICOM browser: imports into the application's database, and holds a selection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import ctk
import qt

from ..behaviours.registry import behaves_as, listen
from ..descriptors import memory
from .state import running

COPY, LINK = 0, 1  # ctkDICOMBrowser::ImportDirectoryMode
PATIENTS, STUDIES, SERIES = 1, 2, 3  # ctkDICOMModel::IndexType


def _number(value: Any) -> int:
    return int(getattr(value, "value", value))


@behaves_as("ctkDICOMBrowser")
class Browser:
    """Shows the database as a tree; a test selects with `setSelectedItems`, by UID."""

    defaults: ClassVar = {"toolbarVisible": True, "ImportDirectoryMode": LINK}

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.selected = {PATIENTS: [], STUDIES: [], SERIES: []}
        kept.tree = qt.QTreeWidget()
        kept.tree.setHeaderLabels(["DICOM database"])
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(kept.tree)
        listen(self, self._do_database(), "databaseChanged()", Browser._show)
        self._show()

    def _do_database(self) -> Any:
        return running().dicom_database

    def _get_databaseDirectory(self) -> str:
        return str(self._do_database().databaseDirectory)

    # Importing

    def _import(self, folders: Iterable[str], files: Iterable[str], mode: Any) -> None:
        indexer = ctk.ctkDICOMIndexer()
        added = dict.fromkeys("patients studies series instances".split(), 0)

        def count(*numbers: int) -> None:
            for name, number in zip(added, numbers, strict=True):
                added[name] += number

        indexer.connect("indexingComplete(int,int,int,int)", count)
        copy = _number(mode) == COPY
        for folder in folders:
            indexer.addDirectory(self._do_database(), folder, copy)
        if files:
            indexer.addListOfFiles(self._do_database(), list(files), copy)
        for name, number in added.items():
            memory(self).values[f"{name}AddedDuringImport"] = number
        self._announce("directoryImported")

    def _do_importDirectory(self, folder: str, mode: Any = LINK) -> None:
        self._import([folder], [], mode)

    def _do_importDirectories(self, folders: list[str], mode: Any = LINK) -> None:
        self._import(folders, [], mode)

    def _do_importFiles(self, files: list[str], mode: Any = LINK) -> None:
        self._import([], files, mode)

    def _do_waitForImportFinished(self) -> None:
        """Nothing is under way."""

    # Selecting

    def _do_setSelectedItems(self, level: Any, uids: list[str]) -> None:
        """Patients by their row in the database, studies and series by UID."""
        memory(self).selected[_number(level)] = list(uids)

    def _do_selectedItems(self, level: Any) -> list[str]:
        return list(memory(self).selected[_number(level)])

    def _do_fileListForCurrentSelection(self, level: Any) -> list[str]:
        level, database = _number(level), self._do_database()
        uids = memory(self).selected[level]
        if level == PATIENTS:
            uids = [s for patient in uids for s in database.studiesForPatient(patient)]
        if level in (PATIENTS, STUDIES):
            uids = [s for study in uids for s in database.seriesForStudy(study)]
        return [file for series in uids for file in database.filesForSeries(series)]

    def _show(self) -> None:
        tree, database = memory(self).tree, self._do_database()
        tree.clear()
        for patient in database.patients():
            top = qt.QTreeWidgetItem(tree, [database.nameForPatient(patient)])
            for study in database.studiesForPatient(patient):
                item = qt.QTreeWidgetItem(top, [database.descriptionForStudy(study) or "Study"])
                for series in database.seriesForStudy(study):
                    name = database.descriptionForSeries(series) or "Series"
                    qt.QTreeWidgetItem(item, [name])
        tree.expandAll()
