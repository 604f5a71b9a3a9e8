"""`qt.QUiLoader` that makes stand-ins, and refuses what the real classes do not have.

Qt skips an unknown property of a .ui file with a warning at most; here it is an error.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtUiTools

from . import qt_rules, qt_signals
from .standins import Standins


class UiError(RuntimeError):
    """The .ui file uses a class or property that Slicer does not have."""


def _value(element: ET.Element) -> Any:
    """The Python value of a <property>; other kinds of values stay what they are."""
    value = element[0]
    text = value.text or ""
    if value.tag == "bool":
        return text == "true"
    if value.tag in ("number", "UInt", "longlong", "UlongLong"):
        return int(text)
    if value.tag in ("double", "float"):
        return float(text)
    if value.tag == "stringlist":
        return [entry.text or "" for entry in value.findall("string")]
    return text


def _color(element: ET.Element, qt: ModuleType) -> Any:
    return qt.QColor(*(int(element[0].findtext(part, "0")) for part in ("red", "green", "blue")))


def make_loader(qt: ModuleType, standins: Standins) -> type:
    """The class to put at `qt.QUiLoader`."""

    def checked(element: ET.Element) -> list[tuple[str, str, Any]]:
        """The stand-in properties of one <widget>, taken out of it; raises on unknown ones."""
        kind, name = element.get("class", ""), element.get("name", "")
        cls = standins.get(kind) or getattr(qt, kind, None)
        if kind == "Line":  # Designer's name for a QFrame that is a line
            return []
        if cls is None:
            raise UiError(f"{name}: no class {kind} (is it in the harness's contract?)")
        own = getattr(cls, "contract_properties", {})
        known = qt_rules.property_names(cls) | {"buddy"}
        taken = []
        for entry in list(element.findall("property")):
            property_name = entry.get("name", "")
            if property_name in own:
                is_color = entry[0].tag == "color"
                taken.append(
                    (name, property_name, _color(entry, qt) if is_color else _value(entry))
                )
                element.remove(entry)
            elif entry.get("stdset") != "0" and property_name not in known:
                raise UiError(f"{name}: {kind} has no property {property_name}")
        return taken

    class QUiLoader(QtUiTools.QUiLoader):
        def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
            cls = standins.get(class_name)
            if cls is None:
                return super().createWidget(class_name, parent, name)
            if not cls._constructible:  # type: ignore[attr-defined]
                raise UiError(f"{name}: {class_name} cannot be made from a .ui file")
            widget = cls(parent)
            qt_rules.QObject.setObjectName(widget, name)
            return widget

        def load(self, device: Any, parent: Any = None) -> Any:
            device = device if isinstance(device, QtCore.QIODevice) else qt.QFile(str(device))
            if not device.isOpen() and not device.open(qt.QIODevice.ReadOnly):
                return None
            root = ET.fromstring(bytes(device.readAll().data()))
            postponed = [p for widget in root.iter("widget") for p in checked(widget)]
            connections = root.find("connections")
            if connections is not None:
                root.remove(connections)
            buffer = qt.QBuffer()
            buffer.setData(QtCore.QByteArray(ET.tostring(root)))
            buffer.open(qt.QIODevice.ReadOnly)
            top: Any = super().load(buffer, parent)
            if top is None:
                return None

            def named(name: str | None) -> Any:
                return top if top.objectName == name else top.findChild(qt.QObject, name)

            for name, property_name, value in postponed:
                _set_property(qt, named(name), property_name, value)
            for connection in [] if connections is None else connections:
                _connect(connection, named)
            return top

    return QUiLoader


def _set_property(qt: ModuleType, widget: Any, name: str, value: Any) -> None:
    kind = widget.contract_properties[name].type
    if isinstance(value, str) and kind != "QString":  # an enum or a set of flags, by name
        names = [part.split("::")[-1] for part in value.split("|")]
        flags = [getattr(type(widget), n, getattr(qt.Qt, n, None)) for n in names]
        if None in flags:
            raise UiError(f"{widget.objectName}: {kind} has no value {value}")
        value = flags[0]
        for flag in flags[1:]:
            value |= flag
    setattr(widget, name, value)


def _connect(connection: ET.Element, named: Any) -> None:
    sender, receiver = named(connection.findtext("sender")), named(connection.findtext("receiver"))
    slot = connection.findtext("slot", "").split("(")[0]
    qt_signals.connect(sender, connection.findtext("signal", ""), getattr(receiver, slot))
