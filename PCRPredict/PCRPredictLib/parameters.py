"""What the module remembers in the scene."""

from __future__ import annotations

from pathlib import Path

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class PCRPredictParameterNode:
    """The parameters and nodes of a case.

    Attributes:
        us0, us1: the examinations before treatment and after two cycles of it, as images in the
            scene; RGB images are scalar volumes to Slicer, too.
        us0File, us1File: the same as files, where no image is chosen.
        us0Date, us1Date: YYYY-MM-DD, of files that state none.
    """

    us0: vtkMRMLScalarVolumeNode
    us1: vtkMRMLScalarVolumeNode
    us0File: Path
    us1File: Path
    us0Date: str
    us1Date: str
