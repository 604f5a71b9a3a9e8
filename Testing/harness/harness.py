"""What a test drives: Slicer in miniature, with one module or several."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .dialogs import Dialogs
from .failures import Failures
from .start import start


def keep_none_alive() -> None:
    """Give None references in reserve.

    The compiled parts of slicer-core give away some thousand references to None that are not their
    own with every scene, and a long run of tests takes them all: the interpreter then ends with
    "deallocating None". From Python 3.12 on None needs no references.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


class Harness:
    """The running application; a process can have only one.

    `dialogs` takes the answers to modal dialogs, `failures` what Slicer would only print.
    """

    def __init__(
        self, home: Path, sources: Path | None = None, contract: Path | None = None
    ) -> None:
        keep_none_alive()
        self.dialogs, self.failures = Dialogs(), Failures()
        self.standins, self.state = start(home, self.dialogs, sources, contract)
        self._views: dict[str, Any] = {}
        self._loaded: list[Any] = []
        self._folders: set[str] = set()  # of the modules loaded, whose imports `reset` forgets
        self._path: list[str] = []  # to import from, before the first module was loaded

    # Modules

    def load(self, path: Path) -> Any:
        """Load a scripted module from its .py file; returns the module object."""
        from .application import modules

        path = Path(path).resolve()
        if not self._folders:
            self._path = list(sys.path)
        self._folders.add(str(path.parent))
        # What several modules share lies beside their folders.
        self._folders |= {str(shared) for shared in path.parents[1].glob("*Lib")}
        module = modules.load(self.standins, path)
        self._loaded.append(module)
        return module

    def widget(self, module: Any) -> Any:
        """The module's Python widget; made, and set up, when first asked for."""
        return module.widgetRepresentation().self()

    def enter(self, module: Any) -> Any:
        """Select the module, as the user does; the one shown before is left. Its widget."""
        from .application import modules

        modules.select(module)
        return self.widget(module)

    def leave(self) -> None:
        """Select another module than the one shown."""
        from .application import modules

        modules.select(None)

    def reload(self, module: Any) -> Any:
        """The developer's Reload button; returns the new widget."""
        self.widget(module).onReload()
        return self.widget(module)

    def unload(self, *unloaded: Any) -> None:
        """Close the application, as far as these modules are concerned, and empty the scene."""
        import slicer

        from .application import modules

        if self.state.selected in unloaded:
            self.leave()
        widgets = [modules.unload(module) for module in unloaded]
        self._loaded = [module for module in self._loaded if module not in unloaded]
        self.close_scene()
        # Singletons outlive the scene's content, and with them observers of widgets long gone.
        for node in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode"):
            self.state.scene.RemoveNode(node)
        for widget in filter(None, widgets):
            widget.deleteLater()
        self.process_events()

    def finish_startup(self) -> None:
        """Say that Slicer has started: what modules wait for to register their sample data."""
        self.state.app.startupCompleted.emit()

    def run_module_test(self, module: Any) -> None:
        """Run the module's own test class, as its Test button does."""
        import slicer

        slicer.selfTests[module.name]()

    # Scene, time and mouse

    def close_scene(self) -> None:
        """File > Close scene."""
        self.state.scene.Clear(0)

    def process_events(self) -> None:
        """Let Qt do what it has queued, deferred deletions included."""
        import qt

        qt.QCoreApplication.processEvents()
        qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Keep the window alive until the condition holds; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not reached in {seconds} s: {condition}")
            self.process_events()
            time.sleep(0.005)

    def click(self, ras: tuple[float, float, float]) -> None:
        """Click into a view at a point while placing markups; without place mode nothing happens.

        A region of interest takes its two corners from two clicks; placing ends when the markup
        is complete, or after one point unless the place mode is persistent.
        """
        import slicer

        interaction = self.state.logic.GetInteractionNode()
        selection = self.state.logic.GetSelectionNode()
        if interaction.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.Place:
            return
        node = self.state.scene.GetNodeByID(selection.GetActivePlaceNodeID())
        node.AddControlPoint(*ras)
        is_complete = node.GetNumberOfControlPoints() >= node.GetRequiredNumberOfControlPoints()
        if is_complete and not interaction.GetPlaceModePersistence():
            interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)

    @contextmanager
    def main_window(self) -> Iterator[Any]:
        """A main window; without one `slicer.util.errorDisplay` and the like only log."""
        import slicer

        window = slicer.qSlicerMainWindow()
        try:
            yield window
        finally:
            window.deleteLater()
            self.process_events()

    # Pictures

    def view(self, name: str = "Red", size: tuple[int, int] = (400, 400)) -> Any:
        """The slice view of this name, for pictures and values under the cursor."""
        from .views import SliceView

        if name not in self._views:
            self._views[name] = SliceView(self.state.logic, self.state.slices[name], size)
        self._views[name].resize(*size)
        return self._views[name]

    def grab(self, widget: Any, path: Path | None = None, width: int = 480) -> np.ndarray:
        """A widget as it looks, uint8 [row, column, RGB]; written as PNG if a path is given.

        The window it is in is made `width` pixels wide and as high as its content needs.
        """
        import qt

        window = widget.window()
        was_shown = window.visible
        window.show()  # what is hidden is not laid out
        self.process_events()
        height = max(window.sizeHint().height(), window.minimumSizeHint().height(), 1)
        layout = window.layout()
        if layout is not None and layout.hasHeightForWidth():  # of text that breaks into lines
            height = max(height, layout.totalHeightForWidth(width))
        window.resize(width, height)
        self.process_events()
        image = widget.grab().toImage().convertToFormat(qt.QImage.Format_RGB888)
        window.visible = was_shown
        if path is not None and not image.save(str(path)):
            raise OSError(f"cannot write {path}")
        lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
        pixels = lines[:, : image.width() * 3]
        return pixels.reshape(image.height(), image.width(), 3).copy()

    # Between tests

    def calls(self, standin: Any) -> list[tuple[str, tuple[Any, ...]]]:
        """Calls of methods that a stand-in only records."""
        from .descriptors import memory

        recorded: list[tuple[str, tuple[Any, ...]]] = memory(standin).calls
        return recorded

    def reset(self) -> None:
        """As after a fresh start: no module, empty scene, default settings, empty database."""
        import qt
        import slicer

        self.leave()
        self.unload(*self._loaded)
        self._forget_imports()
        self._forget_connections()
        qt.QSettings().clear()
        slicer.dicomDatabase.initializeDatabase()
        self.dialogs.clear()
        slicer.modules.sampleDataSources.clear()
        packaging = sys.modules.get("slicer.packaging")
        if packaging is not None and hasattr(packaging, "pretend"):
            packaging.pretend.reset()

    def _forget_connections(self) -> None:
        """What a module left connected to objects that outlive it does not reach the next test."""
        from .descriptors import memory

        state = self.state
        for lasting in (state.app, state.dicom_database, state.io_manager, state.layout_manager):
            memory(lasting).slots.clear()

    def _forget_imports(self) -> None:
        """The next test imports module and library anew, from whatever folder."""
        for folder in self._folders:
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
                    del sys.modules[name]
        if self._folders:  # what a library has added is not for the next test either
            sys.path[:] = [entry for entry in sys.path if entry in self._path]
        self._folders.clear()
