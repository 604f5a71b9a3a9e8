"""A slice view rendered off screen with Slicer's own displayable managers.

Background, foreground and label layers come from the view's slice logic, segmentations and markups
from the displayable managers. The image actor is ours: in Slicer a CTK class owns it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager", "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager", "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager", "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)  # fmt: skip
LAYERS = ("background", "foreground", "label")


class SliceView:
    """One view (Red, Green, Yellow) as a picture and as values under the cursor."""

    def __init__(self, application_logic: Any, slice_logic: Any, size: tuple[int, int]) -> None:
        self.logic = slice_logic
        self.node = slice_logic.GetSliceNode()
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.EnableRenderOff()
        self._interactor.Initialize()
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(_factory(application_logic), self._renderer)
        self._group.SetMRMLDisplayableNode(self.node)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._actor)
        self.resize(*size)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the picture, in pixels."""
        self._window.SetSize(width, height)
        self.logic.ResizeSliceNode(width, height)

    @property
    def composite(self) -> Any:
        """The node that says which volumes are shown, and how opaque."""
        return self.logic.GetSliceCompositeNode()

    def fit(self) -> None:
        """Show the whole background, its nearest slice in the plane of the view."""
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def jump_to(self, ras: tuple[float, float, float]) -> None:
        """Show the slice that the point lies in."""
        self.node.JumpSlice(*ras)

    def image(self) -> np.ndarray:
        """The picture as uint8 [row, column, RGB], the first row on top."""
        connection = self.logic.GetImageDataConnection()
        self._actor.SetVisibility(connection is not None)
        if connection is not None:
            self._mapper.SetInputConnection(connection)
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        output = grabber.GetOutput()
        width, height, _ = output.GetDimensions()
        pixels: np.ndarray = vtk_to_numpy(output.GetPointData().GetScalars())
        return pixels.reshape(height, width, -1)[::-1].copy()

    def save(self, path: Path) -> np.ndarray:
        """Write the picture as PNG; returns it."""
        from PIL import Image

        pixels = self.image()
        Image.fromarray(pixels).save(path)
        return pixels

    def pixel_of(self, ras: tuple[float, float, float]) -> tuple[int, int]:
        """Row and column at which a point is drawn, whether or not it is in the slice."""
        x, y = _transformed(self._inverse(self.node.GetXYToRAS()), ras)[:2]
        height = self.node.GetDimensions()[1]
        return height - 1 - round(y), round(x)

    def probe(self, ras: tuple[float, float, float]) -> dict[str, float | None]:
        """The value of each layer under the cursor at a point, as the data probe shows it.

        The cursor is in the slice that is shown: `jump_to` the point first if it lies elsewhere.
        None where the layer has no volume or ends before the point.
        """
        x, y, _ = _transformed(self._inverse(self.node.GetXYToRAS()), ras)
        values: dict[str, float | None] = {}
        for index, name in enumerate(LAYERS):
            layer = self.logic.GetNthLayer(index)
            volume = layer.GetVolumeNode() if layer is not None else None
            values[name] = None
            if volume is not None and volume.GetImageData() is not None:
                i, j, k = (round(c) for c in layer.GetXYToIJKTransform().TransformPoint(x, y, 0.0))
                image = volume.GetImageData()
                if all(0 <= c < n for c, n in zip((i, j, k), image.GetDimensions(), strict=True)):
                    values[name] = image.GetScalarComponentAsDouble(i, j, k, 0)
        return values

    @staticmethod
    def _inverse(matrix: Any) -> Any:
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(matrix, inverse)
        return inverse


def _transformed(matrix: Any, point: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z, _ = matrix.MultiplyPoint((*point, 1.0))
    return x, y, z


def _factory(application_logic: Any) -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(application_logic)
    for name in MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory
