"""The scene as a bundle (.mrb) on disk."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import slicer
import vtk

_STORED = re.compile(r'\bfileName="([^"]+)"')


class BundleError(Exception):
    """The bundle could not be written, or is not whole."""


def save_bundle(file: Path) -> None:
    """Write the scene and look whether all of it is there.

    Slicer's writer works in a folder beside the file, which it leaves there where it fails, and a
    kill leaves both: write into a folder that is removed, and move the file from there.

    Args:
        file: not there yet; its name without ".mrb" is that of the folder in the bundle.

    Raises:
        BundleError: why not, in words.
    """
    messages = slicer.vtkMRMLMessageCollection()
    whole = file.absolute()  # the writer takes no other
    with _working_in(whole.parent):
        written = slicer.mrmlScene.WriteToMRB(str(whole), None, messages)
    if not written or messages.GetNumberOfMessagesOfType(vtk.vtkCommand.ErrorEvent):
        raise BundleError("Slicer could not write the scene")
    try:
        with zipfile.ZipFile(file) as bundle:
            damaged = bundle.testzip()
            names = set(bundle.namelist())
            scene = bundle.read(f"{file.stem}/{file.stem}.mrml").decode("utf-8")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError("The bundle is damaged") from error
    stored = {f"{file.stem}/{unquote(name)}" for name in _STORED.findall(scene)}
    if damaged is not None or not stored <= names:
        raise BundleError("The bundle is not whole")


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Let Slicer's writer unpack into a folder, not into its cache, where nobody looks for images.

    What VTK prints of its troubles is left out: who asked is told in one line.
    """
    cache = slicer.mrmlScene.GetCacheManager()  # None in Slicer's libraries without the application
    place = cache.GetRemoteCacheDirectory() if cache is not None else ""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.SetGlobalWarningDisplay(0)
    try:
        if cache is not None:
            cache.SetRemoteCacheDirectory(str(folder))
        yield
    finally:
        if cache is not None:
            cache.SetRemoteCacheDirectory(place)
        vtk.vtkObject.SetGlobalWarningDisplay(shown)
