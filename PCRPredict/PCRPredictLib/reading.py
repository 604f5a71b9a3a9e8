"""US-0 and US-1 of a case: from nodes of the scene or from files to the checked pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BreastPredictLib.parameters import is_set

from .ultrasound_source import UltrasoundSource, source_of

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage
    from breastpredict.pcr.pair import Pair


@dataclass(frozen=True)
class ReadPair:
    """Both examinations.

    Attributes:
        us0, us1: as the backend reads them.
        pair: what was checked of them.
    """

    us0: UltrasoundImage
    us1: UltrasoundImage
    pair: Pair


def source(node: Any, file: Path, folder: Path) -> UltrasoundSource | None:
    """What was chosen for one time: a node of the scene, else a file; None where nothing is.

    Args:
        node: the chosen volume or sequence, or None.
        file: the chosen file.
        folder: for images that have no file.

    Raises:
        ValueError: the node is no ultrasound image.
    """
    if node is not None:
        return source_of(node, folder)
    return UltrasoundSource(file) if is_set(file) else None


def read_pair(parameters: Any, folder: Path) -> ReadPair:
    """Read both examinations of a case and check that they belong together.

    Args:
        parameters: a `PCRPredictParameterNode`.
        folder: for images that have no file.

    Raises:
        ValueError: one of them is not chosen, or is no ultrasound image.
        InputError: one cannot be read, or they are no pair.
    """
    from breastpredict.pcr.pair import check_pair

    p = parameters
    found = {
        "US-0": source(p.us0, p.us0File, folder),
        "US-1": source(p.us1, p.us1File, folder),
    }
    for name, chosen in found.items():
        if chosen is None:
            raise ValueError(f"Choose {name} first.")
    us0, us1 = (chosen.read() for chosen in found.values() if chosen is not None)
    return ReadPair(
        us0, us1, check_pair(us0, us1, us0_date=p.us0Date or None, us1_date=p.us1Date or None)
    )
