"""Choosing out of the DICOM database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slicer.i18n import tr as _

from .database import studies_of


def list_studies(box: Any, modality: str) -> None:
    """Offer the studies of the open DICOM database that hold series of a modality."""
    fill(box, _("Choose a study"), studies_of(modality))


def fill(box: Any, nothing: str, found: Iterable[tuple[str, str]], chosen: int = 0) -> None:
    """Offer something in a combo box; nobody is told of it.

    Args:
        box: whose items go.
        nothing: words of the first item, of which the data is empty.
        found: data and words of the others.
        chosen: index of the item that is then shown.
    """
    box.blockSignals(True)
    box.clear()
    box.addItem(nothing, "")
    for data, words in found:
        box.addItem(words, data)
    box.setCurrentIndex(chosen)
    box.blockSignals(False)
