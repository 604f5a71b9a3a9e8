"""PySide6 objects with the attribute rules of PythonQt, the binding that Slicer uses.

In PythonQt a property is an attribute and shadows the getter of the same name (`label.text` is a
str); an unknown name is looked up among the dynamic properties and then among the children; no new
attribute can be put on a C++ object. PySide6 has none of this, so `install` replaces the attribute
access of every Qt type, for the whole process.

Python subclasses of a Qt class keep Python's own rules for what they define themselves.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any

from PySide6 import QtCore

QObject = QtCore.QObject
# The accessors as PySide6 made them; once the types are patched this is the only way to them.
plain_get: Callable[..., Any] = QObject.__getattribute__
plain_set: Callable[..., None] = next(
    c for c in QObject.__mro__ if c.__name__ == "Object"
).__setattr__
plain_property: Callable[..., Any] = QObject.property
plain_set_property: Callable[..., Any] = QObject.setProperty

# Shiboken looks these names up itself to call a C++ virtual method; they must stay methods.
VIRTUAL = {"duration", "minimumSizeHint", "sizeHint"}
NOT_PROPERTIES = {("QWindow", "size")}

# Methods that PythonQt adds to every QObject, by name; filled by the signals module.
added: dict[str, Callable[..., Any]] = {}


class QtProperty:
    """One Q_PROPERTY, read and written through the accessors its class had before the patch."""

    def __init__(self, owner: type, meta: QtCore.QMetaProperty) -> None:
        self.name = str(meta.name())
        self.writable: bool = meta.isWritable()
        self.type = str(meta.typeName())
        static = inspect.getattr_static(owner, self.name, None)
        # QTimer.singleShot is a property and a static method: an object shows the property.
        is_getter = callable(static) and not isinstance(static, (QtCore.Signal, staticmethod))
        self.getter = getattr(owner, self.name) if is_getter else None
        self.setter = getattr(owner, "set" + self.name[0].upper() + self.name[1:], None)

    def get(self, instance: Any) -> Any:
        value = self.getter(instance) if self.getter else plain_property(instance, self.name)
        return tuple(value) if isinstance(value, list) else value

    def set(self, instance: Any, value: Any) -> None:
        kind = type(instance).__name__
        if not self.writable:
            raise AttributeError(f"property '{self.name}' of {kind} is not writable")
        try:
            if self.setter is not None:
                self.setter(instance, value)
                return
        except (TypeError, ValueError):
            pass  # PythonQt converts more freely than PySide6's setters; QVariant may do it
        if not plain_set_property(instance, self.name, value):
            raise AttributeError(
                f"property '{self.name}' ({self.type}) of {kind} does not take"
                f" {type(value).__name__} ({value!r})"
            )


# QProcess and a few more look attributes up in a way of their own, kept here once patched.
_own_lookups: dict[type, Callable[..., Any]] = {}

_own_properties: dict[type, dict[str, QtProperty]] = {}
_property_tables: dict[type, dict[str, QtProperty]] = {}


def is_qt(cls: type) -> bool:
    """Whether PySide6 made this class."""
    return cls.__module__.startswith(("PySide6", "Shiboken", "shiboken6"))


def is_cpp(cls: type) -> bool:
    """Whether PythonQt would know this class as a C++ class: a Qt class or a stand-in."""
    return is_qt(cls) or "stands_in_for" in cls.__dict__


def own_properties(cls: type) -> dict[str, QtProperty]:
    """The properties that the Qt class itself declares."""
    if cls not in _own_properties:
        found: dict[str, QtProperty] = {}
        meta = getattr(cls, "staticMetaObject", None)
        if meta is not None:
            for index in range(meta.propertyOffset(), meta.propertyCount()):
                entry = meta.property(index)
                name = entry.name()
                if name not in VIRTUAL and (cls.__name__, name) not in NOT_PROPERTIES:
                    found[name] = QtProperty(cls, entry)
        _own_properties[cls] = found
    return _own_properties[cls]


def property_names(cls: type) -> set[str]:
    """Names of all properties of the Qt classes that `cls` derives from."""
    return set().union(VIRTUAL, *(_own_properties.get(base, ()) for base in cls.__mro__))


def properties(cls: type) -> dict[str, QtProperty]:
    """The Qt properties an instance of `cls` shows; what Python classes define shadows them."""
    if cls not in _property_tables:
        table: dict[str, QtProperty] = {}
        for base in reversed(cls.__mro__):
            if is_qt(base) and issubclass(base, QObject):
                table.update(own_properties(base))
            elif base is not object:
                for name in base.__dict__:
                    table.pop(name, None)
        defines_name = any("name" in c.__dict__ for c in cls.__mro__ if not is_qt(c))
        if "objectName" in table and not defines_name:
            table.setdefault("name", table["objectName"])  # PythonQt's own short form
        _property_tables[cls] = table
    return _property_tables[cls]


def forget_tables() -> None:
    """Drop what was derived from class definitions, after a class was added."""
    _property_tables.clear()


def dynamic_names(instance: Any) -> Iterable[str]:
    """Names of the dynamic properties that were set on this object."""
    return (bytes(name.data()).decode() for name in instance.dynamicPropertyNames())


@functools.cache
def _plain_lookup(cls: type) -> Callable[..., Any]:
    return next((_own_lookups[c] for c in cls.__mro__ if c in _own_lookups), plain_get)


def _get(self: Any, name: str) -> Any:
    if name[:2] == "__":
        return plain_get(self, name)
    cls = type(self)
    entry = properties(cls).get(name)
    if entry is not None:
        return entry.get(self)
    if name in added and not any(name in c.__dict__ for c in cls.__mro__ if not is_qt(c)):
        return types.MethodType(added[name], self)
    try:
        return _plain_lookup(cls)(self, name)  # type: ignore[arg-type]
    except AttributeError:
        pass
    if name[:1] != "_":
        if name in dynamic_names(self):
            return plain_property(self, name)
        for child in self.children():
            if child.objectName == name:
                return child
    raise AttributeError(f"{cls.__name__} has no attribute named '{name}'")


def _set(self: Any, name: str, value: Any) -> None:
    cls = type(self)
    entry = properties(cls).get(name)
    if entry is not None:
        entry.set(self, value)
        return
    static = inspect.getattr_static(cls, name, None)
    is_descriptor = static is not None and hasattr(type(static), "__set__")
    if (is_descriptor and not isinstance(static, QtCore.Signal)) or not is_cpp(cls):
        plain_set(self, name, value)
    elif name[:2] == "__" or isinstance(value, QtCore.SignalInstance):
        plain_set(self, name, value)  # PySide6 keeps a bound signal on its object at first use
    elif isinstance(value, QObject) and getattr(value, "objectName") == name:  # noqa: B009
        pass  # QUiLoader puts children on the top widget by name; PythonQt does not
    elif static is not None:
        raise AttributeError(f"slot or signal '{name}' of {cls.__name__} cannot be overwritten")
    elif name in dynamic_names(self):
        plain_set_property(self, name, value)
    else:
        raise AttributeError(
            f"{cls.__name__} has no attribute '{name}', and a C++ object takes no new ones"
        )


def install(classes: Iterable[type]) -> None:
    """Give the Qt classes PythonQt's attribute rules. Call once, before any object is made."""
    qt_classes = [c for c in classes if isinstance(c, type) and issubclass(c, QObject)]
    for cls in qt_classes:
        own_properties(cls)  # keep the original accessors first
    QObject.__getattribute__ = _get  # type: ignore[method-assign]
    for cls in qt_classes:
        if cls is not QObject and "__getattribute__" in cls.__dict__:
            _own_lookups[cls] = cls.__getattribute__
            cls.__getattribute__ = _get  # type: ignore[method-assign]
        if "__setattr__" in cls.__dict__:
            cls.__setattr__ = _set  # type: ignore[method-assign]
