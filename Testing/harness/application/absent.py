"""Takes away what the slicer-core package has and Slicer 5.12 lacks.

VTK's classes cannot be changed from Python by ordinary means, so the methods are taken out of the
class dictionaries themselves, and Python is told that the classes changed.
"""

from __future__ import annotations

import ctypes
import gc
from types import ModuleType
from typing import Any


def remove(slicer: ModuleType, contract: dict[str, Any]) -> int:
    """Remove the listed classes and methods from `slicer`; returns how many methods went."""
    for name in contract["absentClasses"]:
        if hasattr(slicer, name):
            delattr(slicer, name)
    removed = 0
    for class_name, methods in contract["methods"].items():
        cls = getattr(slicer, class_name, None)
        if cls is not None:
            removed += sum(_take_out(cls, name) for name in methods)
    return removed


def _take_out(cls: type, name: str) -> bool:
    if name not in cls.__dict__:
        return False
    (mutable,) = (d for d in gc.get_referents(cls.__dict__) if isinstance(d, dict))
    del mutable[name]
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))
    return True
