"""What of the images the pCR network sees: a choice of the training that predicting must repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from breastpredict.errors import InputError
from breastpredict.imaging.roi import DEFAULT_MARGIN, check_margin
from breastpredict.pcr.ultrasound_roi import UltrasoundRoi, resized

Scale = Literal["linked", "own"]
SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True)
class PcrPolicy:
    """The regions a network is trained on.

    Attributes:
        margin: around the tumour on ultrasound on each side, as a fraction of its longer side.
        scale: ``"linked"``: US-0 and US-1 are shown at one scale, in squares of the larger of both
            sides, so that a tumour that shrinks is seen to shrink; ``"own"``: each time has the
            square of its own tumour, which then fills it alike at both. The paper says neither;
            with ``"own"`` the change of size, the response itself, would not reach the network.
    """

    margin: float = DEFAULT_MARGIN
    scale: Scale = "linked"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"scale is {self.scale!r}", remedy=f"Use one of {', '.join(SCALES)}")
        check_margin(self.margin)

    @classmethod
    def from_block(cls, block: Mapping[str, Any]) -> PcrPolicy:
        """The policy in a bundle's metadata.

        Raises:
            InputError: the metadata say something that is no policy.
        """
        given = block.get("input", {})
        if not isinstance(given, Mapping) or not set(given) <= {"margin", "scale"}:
            raise InputError("The bundle's metadata give an input this version does not know")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """As written into the bundle's metadata."""
        return asdict(self)

    @property
    def words(self) -> str:
        """For the model card and for messages."""
        both = "both times at one scale" if self.scale == "linked" else "each time at its own scale"
        return f"squares around the tumour with a margin of {self.margin:g} of its side, {both}"

    def link(
        self, us0: UltrasoundRoi, us1: UltrasoundRoi
    ) -> tuple[UltrasoundRoi, UltrasoundRoi, tuple[str, ...]]:
        """Both regions as this policy wants them, and what is to be said of it.

        Without a spacing on both images nothing can be compared in mm. Where neither has one they
        are compared in pixels, which supposes one depth setting; where one has, both stay as they
        are.
        """
        if self.scale == "own":
            return us0, us1, ()
        if (us0.side_mm is None) != (us1.side_mm is None):
            return (
                us0,
                us1,
                (
                    "Only one of the two ultrasound images has a spacing: they are not at one "
                    "scale, and a change of the tumour's size cannot be seen",
                ),
            )
        notes: tuple[str, ...] = ()
        if us0.side_mm is None:
            notes = (
                "US-0 and US-1 are set to one scale in pixels: check that the depth setting is one",
            )
        side = max(us0.square.side_mm, us1.square.side_mm)
        return resized(us0, side), resized(us1, side), notes


DEFAULT_POLICY = PcrPolicy()
