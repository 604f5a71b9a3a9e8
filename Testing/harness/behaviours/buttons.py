"""CTK's buttons: collapsible, checkable, with a colour."""

from __future__ import annotations

from typing import Any, ClassVar

import qt

from ..descriptors import memory
from .registry import behaves_as

HEADER = 24  # height of a collapsible button's own button, in pixels


@behaves_as("ctkCollapsibleButton")
class CollapsibleButton:
    """A header that shows or hides the widgets laid out in it; pressed down means shown."""

    defaults: ClassVar = {"collapsedHeight": 10}

    def _begin(self) -> None:
        super()._begin()
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self.setMinimumHeight(HEADER)
        self.connect("toggled(bool)", self._toggled)

    def _get_collapsed(self) -> bool:
        return not self.checked

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    def _toggled(self, shown: bool) -> None:
        for child in self.children():
            if child.isWidgetType():
                if not shown:
                    # What the module itself had hidden stays hidden when the button opens again.
                    child.setProperty("hiddenByModule", child.isHidden())
                child.setVisible(shown and not child.property("hiddenByModule"))
        self._announce("contentsCollapsed", not shown)

    def paintEvent(self, event: Any) -> None:
        painter = qt.QPainter(self)
        painter.fillRect(0, 0, self.width, HEADER, self.palette.midlight())
        sign = "▾" if self.checked else "▸"
        painter.drawText(8, HEADER - 7, f"{sign}  {self.text.replace('&', '')}")
        painter.end()

    def hitButton(self, position: Any) -> bool:
        return bool(position.y() <= HEADER)


@behaves_as("ctkCollapsibleGroupBox")
class CollapsibleGroupBox:
    """A group box that hides its contents while unchecked."""

    def _begin(self) -> None:
        super()._begin()
        self.setCheckable(True)
        self.connect("toggled(bool)", self._toggled)

    def _get_collapsed(self) -> bool:
        return not self.checked

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    def _toggled(self, shown: bool) -> None:
        for child in self.children():
            if child.isWidgetType():
                child.visible = shown


@behaves_as("ctkCheckablePushButton")
class CheckablePushButton:
    """A push button with a check box of its own."""

    defaults: ClassVar = {"checkBoxControlsButton": True, "checkBoxControlsButtonToggleState": True}

    def _get_checkState(self) -> Any:
        return memory(self).values.get("checkState", qt.Qt.Unchecked)

    def _set_checkState(self, state: Any) -> None:
        if state != self.checkState:
            memory(self).values["checkState"] = state
            self._announce("checkStateChanged", state)
            self._announce("checkBoxToggled", state == qt.Qt.Checked)
            if self.checkBoxControlsButtonToggleState and self.checkable:
                self.checked = state == qt.Qt.Checked


@behaves_as("ctkColorPickerButton")
class ColorPickerButton:
    """A button that holds a colour."""

    defaults: ClassVar = {"displayColorName": True}

    def _get_color(self) -> Any:
        return memory(self).values.get("color", qt.QColor(0, 0, 0))

    def _set_color(self, color: Any) -> None:
        if color != self.color:
            memory(self).values["color"] = qt.QColor(color)
            self.text = color.name() if self.displayColorName else ""
            pixmap = qt.QPixmap(12, 12)
            pixmap.fill(color)
            self.icon = qt.QIcon(pixmap)
            self._announce("colorChanged", color)
