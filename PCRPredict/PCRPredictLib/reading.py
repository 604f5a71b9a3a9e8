"""What was chosen of a case: nodes of the scene or files, as the backend takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from BreastPredictLib.parameters import is_set

from .ultrasound_source import UltrasoundSource, frame_of, source_of

TIMES = ("us0", "us1")
TITLES = {"us0": "US-0", "us1": "US-1", "pathology": "the biopsy"}


def source(parameters: Any, time: str, folder: Path) -> UltrasoundSource | None:
    """What was chosen for one time: a node of the scene, else a file; None where nothing is.

    Args:
        parameters: a `PCRPredictParameterNode`.
        time: "us0" or "us1".
        folder: for images that have no file.

    Raises:
        ValueError: the node is no ultrasound image.
    """
    node, file = getattr(parameters, time), getattr(parameters, f"{time}File")
    if node is not None:
        return source_of(node, folder)
    if not is_set(file):
        return None
    frame, region = (getattr(parameters, f"{time}{what}") for what in ("Frame", "Region"))
    return UltrasoundSource(file, frame or None, region or None)


def sources(parameters: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Time → "path" and, where they are chosen, "frame", "region" and "date"; what is chosen only.

    Raises:
        ValueError: see `source`.
    """
    found = {}
    for time in TIMES:
        chosen = source(parameters, time, folder)
        if chosen is not None:
            found[time] = {
                "path": str(chosen.path),
                "frame": chosen.frame,
                "region": chosen.region,
                "date": getattr(parameters, f"{time}Date").strip() or None,
            }
    return found


def choice(parameters: Any) -> list[Any]:
    """What tells that the same images are chosen as before; plain values."""
    p = parameters
    found: list[Any] = [str(p.pathology) if is_set(p.pathology) else "", p.mpp.strip()]
    for time in TIMES:
        node, file = getattr(p, time), getattr(p, f"{time}File")
        if node is not None:
            chosen = [node.GetID(), frame_of(node) or 0]
        elif is_set(file):
            chosen = [str(file), getattr(p, f"{time}Frame"), getattr(p, f"{time}Region")]
        else:
            chosen = []
        found.append([*chosen, getattr(p, f"{time}Date").strip()])
    return [*found, p.laterality]


def is_chosen(parameters: Any) -> bool:
    """Whether there is an image to read."""
    p = parameters
    return is_set(p.pathology) or any(
        getattr(p, time) is not None or is_set(getattr(p, f"{time}File")) for time in TIMES
    )
