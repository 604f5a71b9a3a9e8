"""The base of all connectors between a widget and a parameter, and how one is found."""

import abc
import dataclasses

from . import validators
from .util import findFirstAnnotation, splitAnnotations, unannotatedType


@dataclasses.dataclass
class Decimals:
    """Annotation: decimals of the spin box or slider."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Annotation: step of the spin box or slider."""

    value: float


class GuiConnector(abc.ABC):
    """Between one widget and one parameter."""

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget, datatype) -> bool: ...

    @staticmethod
    @abc.abstractmethod
    def create(widget, datatype): ...

    def __init__(self):
        super().__init__()
        self._callback = None

    def onChanged(self, callback):
        """Call back when the user changes the widget; None ends that."""
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self):
        if self._callback:
            self._callback()

    @abc.abstractmethod
    def _connect(self): ...

    @abc.abstractmethod
    def _disconnect(self): ...

    @abc.abstractmethod
    def widget(self): ...

    @abc.abstractmethod
    def read(self):
        """The widget's value as the parameter's type."""

    @abc.abstractmethod
    def write(self, value) -> None:
        """Show the value."""


_registered = []


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: offer a connector for its widgets and types."""

    def register(cls):
        if not issubclass(cls, GuiConnector):
            raise TypeError(f"{cls} is not a GuiConnector")
        _registered.append(cls)
        return cls

    return register if classtype is None else register(classtype)


def createGuiConnector(widget, datatype) -> GuiConnector:
    for connector in _registered:
        if connector.canRepresent(widget, datatype):
            return connector.create(widget, datatype)
    raise RuntimeError(f"Slicer has no connector from {datatype} to a {type(widget).__name__}")


class OneSignal(GuiConnector):
    """A connector whose widget announces changes by one signal and holds its value in `_attribute`.

    The widget's class must match exactly, as in Slicer: subclasses are not accepted.
    """

    _signal = ""
    _attribute = ""

    def __init__(self, widget, datatype=None):
        super().__init__()
        self._widget, self._type = widget, unannotatedType(datatype)
        self._annotations = splitAnnotations(datatype)[1]

    @classmethod
    def _make(cls, widget, datatype):
        return cls(widget, datatype) if cls.canRepresent(widget, datatype) else None

    def _connect(self):
        getattr(self._widget, self._signal).connect(self.changed)

    def _disconnect(self):
        getattr(self._widget, self._signal).disconnect(self.changed)

    def widget(self):
        return self._widget

    def read(self):
        return getattr(self._widget, self._attribute)

    def write(self, value) -> None:
        setattr(self._widget, self._attribute, value)

    def _set_steps(self):
        for annotation, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            found = findFirstAnnotation(self._annotations, annotation)
            if found is not None:
                setattr(self._widget, name, found.value)

    def _limits(self):
        """Lower and upper limit by the annotations, None where open."""
        within = findFirstAnnotation(self._annotations, validators.WithinRange)
        if within is not None:
            return within.minimum, within.maximum
        low = findFirstAnnotation(self._annotations, validators.Minimum)
        high = findFirstAnnotation(self._annotations, validators.Maximum)
        return (low.minimum if low else None), (high.maximum if high else None)
