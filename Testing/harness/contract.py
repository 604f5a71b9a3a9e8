"""Slicer's interface as read from the contract files: what a stand-in may answer to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "contract"


class NotModelled(NotImplementedError):
    """Slicer has this, but the stand-in does not imitate it: model it, or do without it."""


@dataclass(frozen=True)
class Method:
    """One overload of a slot, invokable, decorator method or signal."""

    name: str
    signature: str
    normalized: str
    returns: str
    args: tuple[str, ...]
    static: bool = False


@dataclass(frozen=True)
class Property:
    """One Q_PROPERTY."""

    name: str
    type: str
    read: str | None
    write: str | None
    notify: str | None
    writable: bool


@dataclass(frozen=True)
class QtClass:
    """One C++ class as PythonQt shows it, without what it inherits."""

    name: str
    base: str
    module: str | None
    constructible: bool
    properties: tuple[Property, ...]
    signals: tuple[Method, ...]
    methods: tuple[Method, ...]
    enums: dict[str, int] = field(default_factory=dict)


def _method(entry: dict[str, Any]) -> Method:
    return Method(
        entry["name"],
        entry["signature"],
        entry["normalized"],
        entry["returns"],
        tuple(entry["args"]),
        entry.get("kind") == "static",
    )


def _property(entry: dict[str, Any]) -> Property:
    return Property(*(entry[k] for k in ("name", "type", "read", "write", "notify", "writable")))


def _enums(entries: list[dict[str, Any]]) -> dict[str, int]:
    values: dict[str, int] = {}
    for entry in entries:
        numbers = entry.get("numbers") or {}
        for position, name in enumerate(entry["values"]):
            number = numbers.get(name)
            values.setdefault(name, position if number is None else number)
    return values


def _qt_class(name: str, entry: dict[str, Any]) -> QtClass:
    methods = [m for kind in ("slots", "invokables", "decorators") for m in entry[kind]]
    return QtClass(
        name,
        entry["bases"][0] if entry["bases"] else "QObject",
        entry["pythonModule"],
        entry["pythonModule"] is not None and entry["pythonConstructor"] is not None,
        tuple(_property(p) for p in entry["properties"]),
        tuple(_method(s) for s in entry["signals"]),
        tuple(_method(m) for m in methods if m.get("kind") != "constructor"),
        _enums(entry["enums"]),
    )


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return content


@cache
def qt_classes(path: str | None = None) -> dict[str, QtClass]:
    """The Qt classes of the contract by name; `path` is a full contract file to use instead."""
    content = json.loads(Path(path).read_text(encoding="utf-8")) if path else _read("qt_api.json")
    return {name: _qt_class(name, entry) for name, entry in content["classes"].items()}


@cache
def python_modules() -> dict[str, Any]:
    """Slicer's Python modules: functions, classes and their signatures, as in the contract."""
    modules: dict[str, Any] = _read("python_api.json")["modules"]
    return modules


@cache
def absent() -> dict[str, Any]:
    """`absentClasses` and `methods`: what the slicer-core package has and Slicer 5.12 lacks."""
    return _read("absent.json")
