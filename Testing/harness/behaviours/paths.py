"""CTK's widgets for a file or a folder."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import qt

from ..descriptors import memory
from .registry import behaves_as

FILES, DIRECTORIES, NO_DOTS, READABLE = 0x2, 0x1, 0x1000 | 0x2000, 0x10


@behaves_as("ctkPathLineEdit")
class PathLineEdit:
    """A line for a path, with history and a browse button."""

    defaults: ClassVar = {
        "showBrowseButton": True,
        "showHistoryButton": True,
        "filters": FILES | DIRECTORIES | NO_DOTS | READABLE,
    }

    def _begin(self) -> None:
        super()._begin()
        memory(self).box = box = qt.QComboBox()
        memory(self).browse_button = button = qt.QToolButton()
        box.editable = True
        box.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        button.text = "…"
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box, 1)
        layout.addWidget(button)
        box.connect("editTextChanged(QString)", self._set_currentPath)
        button.connect("clicked()", self._do_browse)

    def _set_currentPath(self, path: str) -> None:
        if path != self.currentPath:
            memory(self).values["currentPath"] = path
            box = memory(self).box
            if box.currentText != path:
                box.setEditText(path)
            self._announce("currentPathChanged", path)
            self._announce("validInputChanged", True)

    def _set_showBrowseButton(self, shown: bool) -> None:
        self._keep("showBrowseButton", shown)
        memory(self).browse_button.visible = shown

    def _do_comboBox(self) -> qt.QComboBox:
        return memory(self).box

    def _do_addCurrentPathToHistory(self) -> None:
        if self.currentPath and memory(self).box.findText(self.currentPath) < 0:
            memory(self).box.addItem(self.currentPath)

    def _do_browse(self) -> None:
        filters: Any = getattr(self.filters, "value", self.filters)
        if int(filters) & FILES:
            found = qt.QFileDialog.getOpenFileName(self, "Select a file", self.currentPath)
        else:
            found = qt.QFileDialog.getExistingDirectory(self, "Select a folder", self.currentPath)
        if found:
            self.currentPath = found


@behaves_as("ctkDirectoryButton")
class DirectoryButton:
    """A button that holds a folder."""

    def _begin(self) -> None:
        super()._begin()
        memory(self).button = button = qt.QPushButton(".")
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(button)
        button.connect("clicked()", self._do_browse)

    def _get_directory(self) -> str:
        return str(memory(self).values.get("directory", "."))

    def _set_directory(self, folder: str) -> None:
        folder = os.path.abspath(folder)
        changed = folder != os.path.abspath(self.directory)
        memory(self).values["directory"] = folder
        memory(self).button.text = folder
        self._announce("directorySelected", folder)
        if changed:
            self._announce("directoryChanged", folder)

    def _do_browse(self) -> None:
        found = qt.QFileDialog.getExistingDirectory(self, "Select a folder", self.directory)
        if found:
            self.directory = found
