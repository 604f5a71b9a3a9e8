"""Which Python values PythonQt passes as which C++ types, and what it makes of them."""

from __future__ import annotations

import enum
import sys
from typing import Any

INTEGERS = {
    "int", "uint", "short", "ushort", "long", "ulong", "unsigned int", "unsigned long",
    "qint64", "qlonglong", "vtkIdType", "vtkTypeInt64", "size_t",
}  # fmt: skip
REALS = {"double", "float"}
LISTS = ("QList<", "QVector<", "QStringList", "QVariantList")
MAPS = ("QVariantMap", "QMap<", "QHash<", "qSlicerIO::IOProperties")
VALUE_CLASSES = {"QColor", "QIcon", "QCursor", "QSize", "QImage", "QPixmap"}


def _class(name: str) -> type | None:
    """A VTK, Qt or stand-in class by its C++ name; None where the harness does not know it."""
    for module in ("slicer", "vtk", "qt", "ctk"):
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            return found
    return None


def accepts(kind: str, value: Any, strict: bool = False) -> bool:
    """Whether PythonQt passes `value` as the C++ type `kind`.

    `strict` is its first pass, in which nothing is converted to a string or a bool.
    """
    kind = kind.removeprefix("const ").rstrip("&").strip()
    if kind.endswith("*"):
        name = kind.rstrip("* ").strip()
        if name == "char":
            return isinstance(value, str)
        cls = _class(name)
        return value is None or cls is None or isinstance(value, cls)
    if kind == "bool" and strict:
        return isinstance(value, bool)
    if kind in INTEGERS or kind in REALS or kind == "bool":
        is_number = hasattr(value, "__index__") or hasattr(value, "__float__")
        return (is_number or isinstance(value, enum.Enum)) and not isinstance(value, str)
    if kind.startswith(LISTS):
        return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))
    if kind.startswith(MAPS):
        return isinstance(value, dict)
    if kind == "QString":
        return isinstance(value, str) or not strict
    if kind in VALUE_CLASSES:
        cls = _class(kind)
        return cls is None or isinstance(value, cls)
    if "::" in kind and not kind.startswith("qSlicerIO::"):  # an enum
        return isinstance(value, (int, enum.Enum))
    return True


def converted(kind: str, value: Any) -> Any:
    """The value as C++ would hold it."""
    if kind == "bool":
        return bool(value)
    if kind in REALS:
        return float(value)
    if kind in INTEGERS:
        return int(value.value if isinstance(value, enum.Enum) else value)
    if kind == "QString":
        return "" if value is None else str(value)
    if kind == "QStringList":
        return [str(item) for item in value]
    return value


def empty(kind: str) -> Any:
    """What a property of this type holds before anything was set."""
    if kind == "bool":
        return False
    if kind in REALS:
        return 0.0
    if kind in INTEGERS:
        return 0
    if kind == "QString":
        return ""
    if kind.startswith(LISTS):
        return []
    return None
