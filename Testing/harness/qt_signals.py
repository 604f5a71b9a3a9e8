"""Signals connected by their C++ signature, as PythonQt does; an unknown one is an error.

Slicer prints a warning for a misspelt signal and never calls the slot: the harness raises.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import shiboken6
from PySide6 import QtCore

from . import qt_rules

_connect = QtCore.QObject.connect
_disconnect = QtCore.QObject.disconnect
_find_child = QtCore.QObject.findChild
_find_children = QtCore.QObject.findChildren


def normalized(signature: str) -> str:
    """A signature without its macro prefix, in Qt's normal form."""
    bare: Any = signature.lstrip("12")  # a str, whatever PySide6's stubs say
    return bytes(QtCore.QMetaObject.normalizedSignature(bare).data()).decode()


def called_as_slot(function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """Call with as many arguments as the callable takes; an exception goes to `sys.excepthook`.

    Both as in PythonQt: a slot may take fewer arguments than the signal carries, and what it
    raises never reaches the code that emitted the signal.
    """
    try:
        function(*arguments[: _positional(function, len(arguments))])
    except Exception:
        sys.excepthook(*sys.exc_info())


def _positional(function: Callable[..., Any], most: int) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return most
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return most
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional for p in parameters)


def _slot(receiver: Any, rest: Sequence[Any]) -> Callable[..., Any]:
    """The callable of `(callable,)` or of `(receiver, "slot(args)")`."""
    if callable(receiver):
        return receiver  # type: ignore[no-any-return]
    slot: Callable[..., Any] = getattr(receiver, rest[0].split("(")[0].lstrip("12"))
    return slot


def connect(self: Any, signal: str, receiver: Any, *rest: Any) -> bool:
    """`object.connect("signal(args)", callable)` or `(…, receiver, "slot(args)")`."""
    if signal is self:  # so PySide6 itself connects the timer of QTimer.singleShot
        return connect(self, receiver, *rest)
    wanted = normalized(signal)
    function = _slot(receiver, rest)
    own = getattr(type(self), "contract_signals", {})
    if wanted in own:
        own[wanted].connect(self, function)
        return True
    if self.metaObject().indexOfSignal(wanted) < 0:
        name = wanted.split("(")[0]
        similar = sorted(s for s in own if s.split("(")[0] == name)
        hint = f"; it has {', '.join(similar)}" if similar else ""
        raise AttributeError(f"{type(self).__name__} has no signal {wanted}{hint}")
    return bool(_connect(self, "2" + wanted, function))


def disconnect(self: Any, signal: str | None = None, receiver: Any = None, *rest: Any) -> bool:
    """Undo `connect`; without arguments everything."""
    own = getattr(type(self), "contract_signals", {})
    if signal is None:
        for entry in own.values():
            entry.disconnect(self)
        return bool(_disconnect(self, None, None, None))  # type: ignore[call-overload]
    wanted = normalized(signal)
    function = _slot(receiver, rest) if receiver is not None else None
    if wanted in own:
        return bool(own[wanted].disconnect(self, function))
    if self.metaObject().indexOfSignal(wanted) < 0:
        raise AttributeError(f"{type(self).__name__} has no signal {wanted}")
    return bool(_disconnect(self, "2" + wanted, function))  # type: ignore[arg-type]


def install(class_by_name: Callable[[str], type | None]) -> None:
    """Add the methods that PythonQt gives every QObject."""

    def as_class(kind: Any) -> Any:
        if not isinstance(kind, str):
            return kind
        found = class_by_name(kind)
        if found is None:
            raise ValueError(f"no class named {kind}")
        return found

    def find_child(self: Any, kind: Any, name: str = "") -> Any:
        return (
            _find_child(self, as_class(kind), name) if name else _find_child(self, as_class(kind))
        )

    def find_children(self: Any, kind: Any, name: str = "") -> list[Any]:
        found = _find_children(self, as_class(kind), name) if name else None
        return list(_find_children(self, as_class(kind)) if found is None else found)

    qt_rules.added.update(
        connect=connect,
        disconnect=disconnect,
        className=lambda self: type(self).__name__,
        delete=shiboken6.delete,
        findChild=find_child,
        findChildren=find_children,
    )
