"""Widgets that can show and change a parameter: those that Slicer's own connectors support."""

import ctk
import qt
import slicer

from . import parameterPack as pack
from . import validators
from ._connector import (
    Decimals,
    GuiConnector,
    OneSignal,
    SingleStep,
    createGuiConnector,
    parameterNodeGuiConnector,
)
from ._qt_connectors import (  # noqa: F401
    QCheckablePushButtonToBoolConnector,
    QCheckBoxToBoolConnector,
    QComboBoxToEnumConnector,
    QComboBoxToStringableConnector,
    QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector,
    QLabelToStrConnector,
    QLineEditToStrConnector,
    QSliderOrSpinBoxToIntConnector,
    QTextEditPlainTextToStrConnector,
    ctkCheckablePushButtonToBoolConnector,
)
from .serializers import PATHS
from .types import FloatRange
from .util import findFirstAnnotation, getNodeTypes, isNodeOrUnionOfNodes, unannotatedType

__all__ = [
    "Decimals",
    "GuiConnector",
    "SingleStep",
    "SlicerPackParameterNamePropertyName",
    "createGuiConnector",
    "parameterNodeGuiConnector",
]

SlicerPackParameterNamePropertyName = "SlicerPackParameterName"


@parameterNodeGuiConnector
class ctkRangeWidgetToRangeConnector(OneSignal):
    _signal = "valuesChanged"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        self._set_steps()
        bounds = findFirstAnnotation(self._annotations, validators.RangeBounds)
        if bounds is None:
            raise RuntimeError("a ctkRangeWidget needs the annotation RangeBounds")
        widget.setRange(bounds.minimum, bounds.maximum)

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) is FloatRange and type(widget) is ctk.ctkRangeWidget

    @staticmethod
    def create(widget, datatype):
        return ctkRangeWidgetToRangeConnector._make(widget, datatype)

    def read(self):
        return FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value) -> None:
        self._widget.setValues(value.minimum, value.maximum)


class _PathConnector(OneSignal):
    def read(self):
        return self._type(super().read())

    def write(self, value) -> None:
        super().write(str(value))


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(_PathConnector):
    _signal, _attribute = "currentPathChanged", "currentPath"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) in PATHS and type(widget) is ctk.ctkPathLineEdit

    @staticmethod
    def create(widget, datatype):
        return ctkPathLineEditToPathConnector._make(widget, datatype)


@parameterNodeGuiConnector
class ctkDirectoryButtonToPathConnector(_PathConnector):
    _signal, _attribute = "directoryChanged", "directory"

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return unannotatedType(datatype) in PATHS and type(widget) is ctk.ctkDirectoryButton

    @staticmethod
    def create(widget, datatype):
        return ctkDirectoryButtonToPathConnector._make(widget, datatype)


@parameterNodeGuiConnector
class qMRMLNodeComboBoxToNodeConnector(OneSignal):
    _signal = "currentNodeChanged"

    def __init__(self, widget, datatype=None):
        super().__init__(widget, datatype)
        widget.nodeTypes = getNodeTypes(datatype)

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        return isNodeOrUnionOfNodes(datatype) and type(widget) is slicer.qMRMLNodeComboBox

    @staticmethod
    def create(widget, datatype):
        return qMRMLNodeComboBoxToNodeConnector._make(widget, datatype)

    def read(self):
        return self._widget.currentNode()

    def write(self, value) -> None:
        self._widget.setCurrentNode(value)


def _getPackNameToWidgetMap(widget):
    """Dotted names of pack parameters and the innermost widgets that carry them."""
    found = {}
    for child in widget.findChildren(qt.QWidget):
        if not child.property(SlicerPackParameterNamePropertyName):
            continue
        parts, above = [], child
        while above is not None and above is not widget:
            name = above.property(SlicerPackParameterNamePropertyName)
            parts[:0] = [name] if name else []
            above = above.parent()
        found[".".join(parts)] = child
    return found


@parameterNodeGuiConnector
class WidgetChildrenToParameterPackConnector(GuiConnector):
    """A widget whose children carry the names of a pack's members."""

    def __init__(self, widget, datatype):
        super().__init__()
        self._widget, self._datatype = widget, unannotatedType(datatype)
        widgets = _getPackNameToWidgetMap(widget)
        self._connectors = {
            name: createGuiConnector(widgets[name], self._datatype.dataType(name))
            for name in pack.nestedParameterNames(self._datatype)
        }

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        if not pack.isParameterPack(unannotatedType(datatype)):
            return False
        names = set(pack.nestedParameterNames(datatype))
        return names <= set(_getPackNameToWidgetMap(widget))

    @staticmethod
    def create(widget, datatype):
        return WidgetChildrenToParameterPackConnector(widget, datatype)

    def _connect(self):
        for connector in self._connectors.values():
            connector.onChanged(self.changed)

    def _disconnect(self):
        for connector in self._connectors.values():
            connector.onChanged(None)

    def widget(self):
        return self._widget

    def read(self):
        value = self._datatype()
        for name, connector in self._connectors.items():
            value.setValue(name, connector.read())
        return value

    def write(self, value) -> None:
        for name, connector in self._connectors.items():
            connector.write(value.getValue(name))
