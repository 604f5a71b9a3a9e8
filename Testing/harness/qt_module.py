"""The module `qt`: PySide6 under PythonQt's rules."""

from __future__ import annotations

import logging
import sys
import types

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from . import dialogs, qt_rules

# PySide6's own additions to Python; PythonQt has none of them.
NOT_IN_PYTHONQT = {"QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtUiTools"}


def build(answers: dialogs.Dialogs) -> types.ModuleType:
    """Make `qt`, patch the Qt classes and put it in `sys.modules`. Once a process."""
    if "qt" in sys.modules:
        raise RuntimeError("qt was built before; the Qt classes can be patched only once")
    qt = types.ModuleType("qt", __doc__)
    for module in (QtCore, QtGui, QtWidgets, QtUiTools, QtNetwork):
        for name in dir(module):
            if name.startswith("Q") and not name.startswith("QT_") and name not in NOT_IN_PYTHONQT:
                setattr(qt, name, getattr(module, name))
    qt_rules.install(vars(qt).values())
    _take_ints_for_enums(qt)
    dialogs.install(qt, answers)
    QtCore.qInstallMessageHandler(_message)
    sys.modules["qt"] = qt
    return qt


def _message(kind: QtCore.QtMsgType, context: object, text: str) -> None:
    """Qt's messages as log records; critical ones become failures like any ERROR record."""
    if "propagateSizeHints" in text:  # the off-screen platform says so of every window
        return
    critical = (QtCore.QtMsgType.QtCriticalMsg, QtCore.QtMsgType.QtFatalMsg)
    is_error = kind in critical or "Destroyed while" in text  # a process or thread left running
    logging.getLogger("qt").log(logging.ERROR if is_error else logging.WARNING, text)


def _take_ints_for_enums(qt: types.ModuleType) -> None:
    """Where modules commonly pass an int for an enum, as PythonQt allows."""
    color_name = qt.QColor.name

    def name(self: QtGui.QColor, format_: int = 0) -> str:
        return str(color_name(self, qt.QColor.NameFormat(format_)))

    qt.QColor.name = name
