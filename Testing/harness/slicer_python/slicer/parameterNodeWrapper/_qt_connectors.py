"""Connectors to Qt's own widgets and to CTK's slider and checkable button."""

import enum
import logging

import ctk
import qt

from . import validators
from ._connector import OneSignal, parameterNodeGuiConnector
from .util import findFirstAnnotation, unannotatedType


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(OneSignal):
    _signal, _attribute = "stateChanged", "checked"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is bool and type(widget) is qt.QCheckBox

    @staticmethod
    def create(widget, datatype):
        return QCheckBoxToBoolConnector._make(widget, datatype)


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(OneSignal):
    _signal, _attribute = "toggled", "checked"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        if not widget.checkable:
            logging.warning(f"making push button {widget.name} checkable to hold a bool")
            widget.checkable = True

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is bool and type(widget) is qt.QPushButton

    @staticmethod
    def create(widget, datatype):
        return QCheckablePushButtonToBoolConnector._make(widget, datatype)


@parameterNodeGuiConnector
class ctkCheckablePushButtonToBoolConnector(OneSignal):
    _signal, _attribute = "checkBoxToggled", "checked"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is bool and type(widget) is ctk.ctkCheckablePushButton

    @staticmethod
    def create(widget, datatype):
        return ctkCheckablePushButtonToBoolConnector._make(widget, datatype)

    def read(self) -> bool:
        return self._widget.checkState == qt.Qt.Checked

    def write(self, value) -> None:
        self._widget.checkState = qt.Qt.Checked if value else qt.Qt.Unchecked


@parameterNodeGuiConnector
class QSliderOrSpinBoxToIntConnector(OneSignal):
    _signal, _attribute = "valueChanged", "value"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        self._set_steps()
        low, high = self._limits()
        if isinstance(widget, qt.QSlider) and None in (low, high):
            raise RuntimeError("a slider needs a bounded int: annotate it WithinRange")
        widget.minimum = -(2**31) if low is None else low
        widget.maximum = 2**31 - 1 if high is None else high

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is int and type(widget) in (qt.QSlider, qt.QSpinBox)

    @staticmethod
    def create(widget, datatype):
        return QSliderOrSpinBoxToIntConnector._make(widget, datatype)


@parameterNodeGuiConnector
class QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector(OneSignal):
    _signal, _attribute = "valueChanged", "value"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        self._set_steps()
        low, high = self._limits()
        if isinstance(widget, ctk.ctkSliderWidget) and None in (low, high):
            raise RuntimeError("a ctkSliderWidget needs a bounded number: annotate it WithinRange")
        widget.minimum = float("-inf") if low is None else low
        widget.maximum = float("inf") if high is None else high

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        inner = unannotatedType(datatype)
        return inner in (float, int) and type(widget) in (qt.QDoubleSpinBox, ctk.ctkSliderWidget)

    @staticmethod
    def create(widget, datatype):
        return QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector._make(widget, datatype)

    def read(self):
        return self._type(self._widget.value)


@parameterNodeGuiConnector
class QComboBoxToStringableConnector(OneSignal):
    _signal = "currentIndexChanged"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        choice = findFirstAnnotation(self._annotations, validators.Choice)
        if choice is None:
            raise RuntimeError("a combo box needs the annotation Choice")
        self._choices = list(choice.choices)
        widget.clear()
        for value in self._choices:
            widget.addItem(str(value))

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        is_simple = unannotatedType(datatype) in (int, float, str, bool)
        return is_simple and type(widget) is qt.QComboBox

    @staticmethod
    def create(widget, datatype):
        return QComboBoxToStringableConnector._make(widget, datatype)

    def read(self):
        return self._choices[self._widget.currentIndex]

    def write(self, value) -> None:
        self._widget.currentIndex = self._choices.index(value)


@parameterNodeGuiConnector
class QComboBoxToEnumConnector(OneSignal):
    _signal = "currentIndexChanged"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        self._members = list(self._type)
        label = getattr(self._type, "label", lambda member: member.name)
        widget.clear()
        for member in self._members:
            widget.addItem(label(member))

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        inner = unannotatedType(datatype)
        is_enum = isinstance(inner, type) and issubclass(inner, enum.Enum)
        return is_enum and type(widget) is qt.QComboBox

    @staticmethod
    def create(widget, datatype):
        return QComboBoxToEnumConnector._make(widget, datatype)

    def read(self):
        return self._members[self._widget.currentIndex]

    def write(self, value) -> None:
        self._widget.currentIndex = self._members.index(value)


@parameterNodeGuiConnector
class QLineEditToStrConnector(OneSignal):
    _signal, _attribute = "textChanged", "text"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is str and type(widget) is qt.QLineEdit

    @staticmethod
    def create(widget, datatype):
        return QLineEditToStrConnector._make(widget, datatype)

    def write(self, value) -> None:
        if value != self._widget.text:  # setting the same text would move the cursor
            self._widget.text = value


@parameterNodeGuiConnector
class QLabelToStrConnector(OneSignal):
    _attribute = "text"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is str and type(widget) is qt.QLabel

    @staticmethod
    def create(widget, datatype):
        return QLabelToStrConnector._make(widget, datatype)

    def _connect(self):
        """A label changes by the parameter only."""

    def _disconnect(self):
        """A label changes by the parameter only."""


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(OneSignal):
    _signal, _attribute = "textChanged", "plainText"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is str and type(widget) is qt.QTextEdit

    @staticmethod
    def create(widget, datatype):
        return QTextEditPlainTextToStrConnector._make(widget, datatype)

    def write(self, value) -> None:
        if value != self._widget.plainText:
            self._widget.plainText = value
