"""What was chosen of a case: nodes of the scene or files, as the backend takes them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from BreastPredictLib.parameters import is_set

from .ultrasound_nodes import REGION_NUMBER
from .ultrasound_source import UltrasoundSource, frame_of, source_of, stated_file

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundChoices

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
    frame, region = (getattr(parameters, f"{time}{what}") or None for what in ("Frame", "Region"))
    if node is not None:
        found = source_of(node, folder)
        return replace(found, region=found.region or region)
    return UltrasoundSource(file, frame, region) if is_set(file) else None


def choices(parameters: Any, time: str) -> UltrasoundChoices | None:
    """What is still to be chosen in the image of one time; None where nothing is, or is known of.

    Of a node the frame is the one that it shows, and a node of a region says which.
    """
    from breastpredict.errors import InputError

    node, file = getattr(parameters, time), getattr(parameters, f"{time}File")
    if node is not None:
        file = None if node.GetAttribute(REGION_NUMBER) else stated_file(node)
    if file is None or not is_set(file):
        return None
    try:
        found = _choices_of(str(file), file.stat().st_mtime_ns)
    except (OSError, InputError):
        return None  # reading it says why
    return found if node is None else replace(found, frames=1)


@lru_cache(maxsize=8)
def _choices_of(file: str, _modified: int) -> UltrasoundChoices:
    """Headers are read once, for they are asked for whenever the panel is shown anew."""
    from breastpredict.dicom import ultrasound_choices

    return ultrasound_choices(file)


def open_question(parameters: Any) -> str:
    """What must be chosen before the images can be read, in words; empty where nothing must."""
    for time in TIMES:
        found = choices(parameters, time)
        if found is None or len(found.regions) < 2 or getattr(parameters, f"{time}Region"):
            continue
        places = "; ".join(f"{n}: {words}" for n, words in enumerate(found.regions, start=1))
        return (
            f"{TITLES[time]} has {len(found.regions)} B-mode regions ({places}): choose the one "
            "that shows the tumour."
        )
    return ""


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
            chosen = [node.GetID(), frame_of(node) or 0, getattr(p, f"{time}Region")]
        elif is_set(file):
            chosen = [str(file), getattr(p, f"{time}Frame"), getattr(p, f"{time}Region")]
        else:
            chosen = []
        found.append([*chosen, getattr(p, f"{time}Date").strip()])
    return [*found, p.laterality]


def is_another(before: dict[str, Any], now: dict[str, Any], time: str) -> bool:
    """Whether another image, or another region of it, is open at a time than was before.

    Args:
        before, now: what `case.Case.opened` was and is.
        time: "us0" or "us1".
    """
    old, new = before["sources"].get(time), now["sources"].get(time)
    if old is None or new is None:
        return old is not None
    # An image without a file is written for each session anew; the node is what it was.
    place = 2 + TIMES.index(time)
    is_same = old["path"] == new["path"] or before["choice"][place][0] == now["choice"][place][0]
    return not is_same or before[time]["region"] != now[time]["region"]


def is_chosen(parameters: Any) -> bool:
    """Whether there is an image to read."""
    p = parameters
    return is_set(p.pathology) or any(
        getattr(p, time) is not None or is_set(getattr(p, f"{time}File")) for time in TIMES
    )
