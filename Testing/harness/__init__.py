"""Slicer in miniature, to test scripted modules without the desktop application.

The scene, the logics, the slice views and `slicer.util` are the real ones, from the slicer-core
package. `qt` is PySide6 under PythonQt's rules. The Qt classes of Slicer and CTK are stand-ins
bound to a contract: what the real class does not have is an error. The modules
`slicer.ScriptedLoadableModule`, `slicer.parameterNodeWrapper` and the like are small writings of
their own, or Slicer's own sources where a tree of them is given.

Nothing is patched until a `Harness` is made.
"""

from __future__ import annotations

from .contract import NotModelled
from .dialogs import UnansweredDialog
from .harness import Harness

__all__ = ["Harness", "NotModelled", "UnansweredDialog"]
