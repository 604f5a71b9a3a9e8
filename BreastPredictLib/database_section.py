"""Choosing a study of the DICOM database."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .database import studies_of


def list_studies(box: Any, modality: str) -> None:
    """Offer the studies of the open DICOM database that hold series of a modality."""
    box.blockSignals(True)
    box.clear()
    box.addItem(_("Choose a study"), "")
    for uid, words in studies_of(modality):
        box.addItem(words, uid)
    box.blockSignals(False)
    box.setCurrentIndex(0)
