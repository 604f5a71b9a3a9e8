"""The one running application: what its stand-in objects share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class State:
    """Scene, logics and objects of the running application."""

    home: Path
    version: tuple[int, int]
    scene: Any = None
    logic: Any = None
    layout_logic: Any = None
    slice_logics: Any = None
    view_logics: Any = None
    slices: dict[str, Any] = field(default_factory=dict)  # view name -> vtkMRMLSliceLogic
    module_logics: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)  # lower-case name -> module object
    selected: Any = None  # the module that is shown
    app: Any = None
    module_manager: Any = None
    factory_manager: Any = None
    io_manager: Any = None
    layout_manager: Any = None
    dicom_database: Any = None

    @property
    def programs(self) -> Path:
        """The folder of PythonSlicer."""
        return self.home / "bin"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"


_running: list[State] = []


def begin(state: State) -> State:
    """Make this the running application; a process can have only one."""
    if _running:
        raise RuntimeError("the application is running already")
    _running.append(state)
    return state


def running() -> State:
    """The running application."""
    return _running[0]
