"""Pictures of single cases, as their own reports show them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from breastpredict.errors import InputError
from breastpredict.study.case_output import Views, data_uri
from breastpredict.study.evaluation.joined import ScoredCase

_PNG = "data:image/png;base64,"
_SIDE = 330


@dataclass(frozen=True)
class Panel:
    """A case to look at.

    Attributes:
        scored: its numbers.
        chosen: by the reader of the report, not at random.
        views: data URI and caption of each picture; empty where the results folder has none.
    """

    scored: ScoredCase[Any]
    chosen: bool
    views: Views


def choose_panels(
    scored: Sequence[ScoredCase[Any]], wanted: Sequence[str], random: int, seed: int
) -> list[Panel]:
    """The cases asked for, and so many unseen ones drawn at random (without replacement).

    Args:
        scored: the cases that have a score.
        wanted: patient identifiers or case keys.
        random: number to draw.
        seed: of the draw; what it draws does not depend on ``wanted``.

    Raises:
        InputError: a case that was asked for has no prediction.
    """
    by_name = {s.key: s for s in scored} | {s.case.patient_id: s for s in scored}
    chosen = []
    for name in dict.fromkeys(wanted):
        if name not in by_name:
            raise InputError(
                f"--case {name!r} is no predicted patient of the cohort and no case key"
            )
        chosen.append(by_name[name])
    shown = [s for s in scored if not s.training and s.folder is not None]
    draw = np.random.default_rng(seed).permutation(len(shown))[:random]
    panels = [Panel(s, True, pictures_of(s.folder)) for s in chosen]
    keys = {s.key for s in chosen}
    panels += [
        Panel(shown[i], False, pictures_of(shown[i].folder))
        for i in sorted(draw.tolist())
        if shown[i].key not in keys
    ]
    return panels


def pictures_of(folder: Path | None) -> Views:
    """The pictures in a case's report.html with their captions, shrunk; else its overlay.png."""
    if folder is None:
        return []
    report, overlay = folder / "report.html", folder / "overlay.png"
    try:
        if report.is_file():
            reader = _Pictures()
            reader.feed(report.read_text("utf-8"))
            return [(_shrunk(data), text) for data, text in reader.found]
        if overlay.is_file():
            return [(_shrunk(overlay.read_bytes()), "Region with the map")]
    except (OSError, ValueError, binascii.Error, UnidentifiedImageError) as error:
        raise InputError("The pictures of a case are damaged", path=folder) from error
    return []


def _shrunk(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        return data_uri(np.asarray(image.convert("RGB")), _SIDE)


class _Pictures(HTMLParser):
    """PNG pictures that stand in a page itself, and their alternative texts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[bytes, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        source = named.get("src") or ""
        if tag == "img" and source.startswith(_PNG):
            data = base64.b64decode(source.removeprefix(_PNG), validate=True)
            self.found.append((data, named.get("alt") or ""))
