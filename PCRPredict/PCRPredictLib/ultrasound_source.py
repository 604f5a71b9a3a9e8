"""An ultrasound image of the scene as a file for the backend.

The result must be that of the command line on the file which the image was loaded from. So that
file itself is handed over where it is known and the image was not changed: a DICOM instance of the
open database, with the frame that is shown, or the picture that was opened. Only an image that is
nothing but pixels is written as a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from .ultrasound_nodes import FRAME, INSTANCES, REGION_NUMBER

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage

_READ_AS_THEY_ARE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", "")


@dataclass(frozen=True)
class UltrasoundSource:
    """What `breastpredict.dicom.read_ultrasound` is given.

    Attributes:
        path: the file.
        frame: from 1; None where the file's own rule chooses it.
        region: number of the B-mode region, from 1; None where there is only one.
    """

    path: Path
    frame: int | None = None
    region: int | None = None

    def read(self) -> UltrasoundImage:
        """The B-mode region.

        Raises:
            InputError: the file cannot be used.
        """
        from breastpredict.dicom import read_ultrasound

        return read_ultrasound(self.path, frame=self.frame, region=self.region)


def source_of(node: Any, folder: Path) -> UltrasoundSource:
    """The file that shows what a node shows.

    Args:
        node: a scalar or RGB vector volume of one slice, the shown one of a sequence, or a
            sequence, whose selected frame is taken.
        folder: where pixels without a file are written; it shows a patient.

    Raises:
        ValueError: the node is no single image, or of numbers that are no grey levels.
    """
    if node.IsA("vtkMRMLSequenceNode"):
        node = _shown_of(node)
    frame = frame_of(node)
    known = stated_file(node)
    if known is not None:
        region = node.GetAttribute(REGION_NUMBER)
        return UltrasoundSource(known, frame, int(region) if region else None)
    if node.GetAttribute(REGION_NUMBER):
        raise ValueError(
            f"The file of '{node.GetName()}' is no longer in the DICOM database: import it again."
        )
    return UltrasoundSource(_write(_pixels_of(node), folder / f"{node.GetID()}.png"))


def _browsers() -> Iterator[Any]:
    yield from slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")


def _shown_of(sequence: Any) -> Any:
    """The volume that shows a sequence; where nothing does, its only volume.

    Raises:
        ValueError: nobody says which of its frames it is.
    """
    for browser in _browsers():
        shown = browser.GetProxyNode(sequence)
        if shown is not None:
            return shown
    if sequence.GetNumberOfDataNodes() == 1:
        return sequence.GetNthDataNode(0)
    raise ValueError(f"Show the frame of '{sequence.GetName()}' that is meant: it has several.")


def frame_of(node: Any) -> int | None:
    """Which frame of its file a node shows."""
    stated = node.GetAttribute(FRAME)
    if stated:
        return int(stated)
    for browser in _browsers():
        sequence = browser.GetSequenceNode(node)
        if sequence is None:
            continue
        names = [
            sequence.GetNthDataNode(n).GetAttribute(INSTANCES)
            for n in range(sequence.GetNumberOfDataNodes())
        ]
        here = browser.GetSelectedItemNumber()
        # Several files may be of one sequence; the frames of each are counted by themselves.
        return 1 + names[:here].count(names[here])
    return None


def stated_file(node: Any) -> Path | None:
    """The unchanged file that a node was loaded from, by the database or by its storage."""
    uids = (node.GetAttribute(INSTANCES) or "").split()
    if len(uids) == 1 and slicer.dicomDatabase is not None:
        file = slicer.dicomDatabase.fileForInstance(uids[0])
        if file and Path(file).is_file():
            return Path(file)
    storage = node.GetStorageNode()
    if storage is None or node.GetModifiedSinceRead():
        return None
    name = storage.GetFullNameFromFileName() or ""
    opened = Path(name)
    return opened if opened.suffix.lower() in _READ_AS_THEY_ARE and opened.is_file() else None


def _pixels_of(node: Any) -> np.ndarray:
    """Grey ``[row, column]`` or ``[row, column, RGB]``, of 8 or 16 bits.

    Raises:
        ValueError: see `source_of`.
    """
    name = node.GetName()
    if node.GetImageData() is None:
        raise ValueError(f"'{name}' has no image.")
    values = np.asarray(slicer.util.arrayFromVolume(node))
    if values.shape[0] != 1:
        raise ValueError(f"'{name}' has {values.shape[0]} slices: an ultrasound image has one.")
    plane = values[0]
    if plane.ndim == 3:
        plane = plane[..., :3] if plane.shape[-1] in (3, 4) else plane[..., 0]
    if np.array_equal(plane, plane.astype(np.uint8)):
        return plane.astype(np.uint8)
    if plane.ndim == 2 and np.array_equal(plane, plane.astype(np.uint16)):
        return plane.astype(np.uint16)
    raise ValueError(f"The values of '{name}' are no grey levels of a picture (0 to 255).")


def _write(pixels: np.ndarray, path: Path) -> Path:
    """As PNG, which loses nothing."""
    from PIL import Image

    from breastpredict.files import write_atomic

    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
    return path
