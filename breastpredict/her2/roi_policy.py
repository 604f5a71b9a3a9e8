"""What of the slice the network sees: a choice of the training that predicting must repeat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask, Geometry, SquareROI
from breastpredict.imaging.roi import DEFAULT_MARGIN, check_margin

RoiKind = Literal["square", "masked", "breast"]
ROI_KINDS: tuple[RoiKind, ...] = get_args(RoiKind)

ONE_BREAST_MM = 260.0
"""Axial and coronal fields of view of one breast are narrower than this, of both breasts wider
(160-200 mm against 300-380 mm in the ACR breast MRI protocols)."""


@dataclass(frozen=True)
class RoiPolicy:
    """The region a network is trained on.

    Attributes:
        roi: ``"square"``: the square around the tumour with its surroundings (the paper's);
            ``"masked"``: the same square, in which all but the tumour is blank, so that only the
            tumour itself can count; ``"breast"``: the tumour's whole breast on the slice.
        margin: around the tumour on each side, as a fraction of its longer side; of no effect on
            ``"breast"``.
    """

    roi: RoiKind = "square"
    margin: float = DEFAULT_MARGIN

    def __post_init__(self) -> None:
        if self.roi not in ROI_KINDS:
            raise InputError(f"roi is {self.roi!r}", remedy=f"Use one of {', '.join(ROI_KINDS)}")
        check_margin(self.margin)

    @classmethod
    def from_block(cls, block: Mapping[str, Any]) -> RoiPolicy:
        """The policy in a bundle's metadata; bundles of before it was written have the default.

        Raises:
            InputError: the metadata say something that is no policy.
        """
        given = block.get("input", {})
        if not isinstance(given, Mapping) or not set(given) <= {"roi", "margin"}:
            raise InputError("The bundle's metadata give an input this version does not know")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """As written into the bundle's metadata."""
        return asdict(self)

    @property
    def words(self) -> str:
        """For the model card and for messages."""
        if self.roi == "breast":
            return "the whole breast with the tumour, on the tumour's largest slice"
        inside = ", all but the tumour blank" if self.roi == "masked" else ""
        return f"a square around the tumour with a margin of {self.margin:g} of its side{inside}"

    def region(
        self, lesion: BoxedMask, slice_index: int, laterality: str | None = None
    ) -> SquareROI:
        """The square on a slice.

        Args:
            lesion: the tumour on the volume's grid.
            slice_index: 0-based along k.
            laterality: of the acquisition: "R" or "L" where it shows one breast.

        Raises:
            InputError: the tumour is not on this slice.
        """
        around = SquareROI.around(lesion, slice_index, self.margin)
        if self.roi != "breast":
            return around
        return _breast(lesion.geometry, slice_index, around.center_ij, laterality)

    def blank(
        self, crop: NDArray[np.float32], lesion: BoxedMask, region: SquareROI
    ) -> NDArray[np.float32]:
        """The crop with NaN wherever the network may see nothing.

        Args:
            crop: ``[S, S]``, the region's pixels.
            lesion: the tumour.
            region: where the crop lies.
        """
        if self.roi != "masked":
            return crop
        k = region.slice_index
        inside = region.extract(lesion.to_image(k, k + 1), crop.shape[0]) >= 0.5
        return np.where(inside, crop, np.float32(math.nan))


DEFAULT_POLICY = RoiPolicy()


def _breast(
    geometry: Geometry, k: int, center: tuple[float, float], laterality: str | None
) -> SquareROI:
    """The square over the slice, or over its half on the tumour's side where it shows two breasts.

    The halves meet in the middle of the field of view, where the sternum is.
    """
    low, high = [-0.5, -0.5], [geometry.size[0] - 0.5, geometry.size[1] - 0.5]
    direction = np.asarray(geometry.direction, dtype=np.float64).reshape(3, 3)
    across = [abs(direction[0, axis]) for axis in range(3)]
    axis = int(np.argmax(across))
    width = geometry.size[axis] * geometry.spacing[axis]
    if axis < 2 and laterality not in ("R", "L") and width >= ONE_BREAST_MM:
        middle = (low[axis] + high[axis]) / 2.0
        (low if center[axis] >= middle else high)[axis] = middle
    side = max((high[a] - low[a]) * geometry.spacing[a] for a in (0, 1))
    return SquareROI(geometry, k, ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0), side)
