"""The decorator `parameterNodeWrapper`."""

import typing
import weakref

import qt
import slicer
import vtk

from .default import Default, extractDefault
from .guiConnectors import GuiConnector, _getPackNameToWidgetMap, createGuiConnector
from .parameterInfo import ParameterInfo
from .parameterPack import _checkMember
from .serializers import createSerializer
from .util import splitAnnotations, splitPossiblyDottedName, unannotatedType

__all__ = [
    "SlicerParameterNamePropertyName",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Stored:
    """One parameter of one node; the value read last is kept until the node changes."""

    def __init__(self, info: ParameterInfo, node, name: str) -> None:
        self.info, self.node, self.name = info, node, name
        self.cached = info.serializer.supportsCaching()
        if not info.serializer.isIn(node, name):
            info.serializer.write(node, name, info.default.value)
        self._value, self._writing, self._tag = None, False, None
        if self.cached:
            self._value = self._fresh()
            # A strong reference here would keep wrapper and observer alive for ever.
            reference = weakref.ref(self)

            def modified(caller, event):
                stored = reference()
                if stored is not None and not stored._writing:
                    stored._value = stored._fresh()

            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, modified)

    def __del__(self):
        if getattr(self, "_tag", None) is not None:
            self.node.RemoveObserver(self._tag)

    def _fresh(self):
        serializer = self.info.serializer
        if not serializer.isIn(self.node, self.name):  # e.g. after the scene was closed
            serializer.write(self.node, self.name, self.info.default.value)
        return serializer.read(self.node, self.name)

    def read(self):
        return self._value if self.cached else self._fresh()

    def write(self, value) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self.node):
                self.info.serializer.write(self.node, self.name, value)
                if self.cached:  # before any observer of the node asks for it
                    self._value = self._fresh()
        finally:
            self._writing = False


def _check(wrapper, name):
    first, rest = splitPossiblyDottedName(name)
    if first not in wrapper.allParameters:
        known = ", ".join(wrapper.allParameters)
        raise ValueError(f"there is no parameter '{first}'; there are {known}")
    if rest is not None:
        _checkMember(unannotatedType(wrapper.allParameters[first].unalteredType), rest)
    return first, rest


class _Methods:
    """The methods that the decorator puts on a class; their names are reserved."""

    def default(self, paramName):
        _check(self, paramName)
        return self.allParameters[paramName].default

    def isCached(self, paramName):
        _check(self, paramName)
        return self._stored[paramName].cached

    def getValue(self, name):
        first, rest = _check(self, name)
        value = self._stored[first].read()
        return value if rest is None else value.getValue(rest)

    def setValue(self, name, value):
        first, rest = _check(self, name)
        if rest is None:
            self._stored[first].write(value)
        else:
            self._stored[first].read().setValue(rest, value)

    def connectGui(self, gui):
        """Connect the widgets with a SlicerParameterName; returns a tag for `disconnectGui`."""
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        children = gui.findChildren(qt.QWidget) if is_widget else gui.__dict__.values()
        named = ((w.property(SlicerParameterNamePropertyName), w) for w in children)
        return self.connectParametersToGui({name: w for name, w in named if name})

    def connectParametersToGui(self, mapping):
        for name in mapping:
            _check(self, name)
        connectors = {
            name: widget
            if isinstance(widget, GuiConnector)
            else createGuiConnector(widget, self.dataType(name))
            for name, widget in mapping.items()
        }
        tag = self._nextGuiTag
        self._nextGuiTag += 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._guiChanged(name, connector))
        # As in Slicer the observer stays; with the connectors gone it has nothing to do.
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._updateGui())
        return tag

    def disconnectGui(self, guiTag):
        for connector in self._guis.pop(guiTag, {}).values():
            connector.onChanged(None)

    def _guiChanged(self, name, connector):
        def callback():
            with slicer.util.NodeModify(self):
                if not self._updatingGui:
                    self.setValue(name, connector.read())

        return callback

    def _updateGui(self):
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._guis.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updatingGui = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        return self.parameterNode.Modified()


def _initialise(self, parameterNode, prefix=None):
    self.parameterNode = parameterNode
    self._guis, self._nextGuiTag, self._updatingGui = {}, 0, False
    self._stored = {
        name: _Stored(info, parameterNode, f"{prefix or ''}{name}")
        for name, info in self.allParameters.items()
    }


def _property(name):
    return property(
        lambda self: self._stored[name].read(),
        lambda self, value: self._stored[name].write(value),
    )


def _info(cls, name, written):
    inner, annotations = splitAnnotations(written)
    try:
        serializer, annotations = createSerializer(inner, annotations)
    except Exception as error:
        raise TypeError(f"cannot store parameter {name} of {cls.__name__}: {error}") from error
    default, _ = extractDefault(annotations)
    if name in cls.__dict__:
        default = Default(cls.__dict__[name])
    return ParameterInfo(name, serializer, default or Default(serializer.default()), written)


def parameterNodeWrapper(classtype=None):
    """Class decorator: the annotated names become typed parameters of a parameter node."""

    def make(cls):
        members = typing.get_type_hints(cls, include_extras=True)
        parameters = {name: _info(cls, name, written) for name, written in members.items()}
        for name in parameters:
            setattr(cls, name, _property(name))
        methods = {n: m for n, m in vars(_Methods).items() if not n.startswith("__")}
        reserved = {*methods, "allParameters", "dataType", "_is_parameter_node_wrapper"}
        for name in reserved:
            if hasattr(cls, name):
                raise ValueError(f"'{name}' is reserved in a parameterNodeWrapper")
        for name, method in methods.items():
            setattr(cls, name, method)

        def dataType(membername):
            first, rest = _check(cls, membername)
            written = parameters[first].unalteredType
            return written if rest is None else unannotatedType(written).dataType(rest)

        cls.__init__ = _initialise
        cls.allParameters, cls._is_parameter_node_wrapper = parameters, True
        cls.dataType = staticmethod(dataType)
        return cls

    return make if classtype is None else make(classtype)


def isParameterNodeWrapper(classOrObj):
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    """The child widget that carries this parameter's name, or None."""
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    first, rest = splitPossiblyDottedName(parameter)
    if rest is None:
        return None
    above = findChildWidgetForParameter(widget, first)
    return _getPackNameToWidgetMap(above).get(rest) if above is not None else None
