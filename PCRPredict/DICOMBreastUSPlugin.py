"""DICOM plugin: ultrasound examinations by their B-mode regions. Research use only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import PCRPredictLib  # noqa: F401  (finds BreastPredictLib in a source tree too)
from slicer.i18n import tr as _

from BreastPredictLib.dicom_plugin import (
    StudyPlugin,
    loadable_of,
    may_be_breast,
    register,
    states_breast,
)


class DICOMBreastUSPluginClass(StudyPlugin):
    """Offers every B-mode region in a selection of ultrasound series.

    Two examinations that can be the US-0 and US-1 of one tumour are offered as such. Slicer selects
    by series what it loads, so that each of a pair is a loadable of its own: one for both would
    come with whatever else the series of the second could be loaded as.

    It beats Slicer's own plugins only where the file states a B-mode region and its spacing, and
    the breast; where it states no part of the body, only the plugin for scalar volumes, which
    ignores both.
    """

    modality = "US"

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Breast ultrasound")

    def offers(self, files: Sequence[str]) -> list[Any]:
        """One loadable for each B-mode region of each file.

        Raises:
            BreastPredictError: none; a file that cannot be used is passed over.
        """
        from PCRPredictLib.ultrasound_offers import offers_of, roles_of

        offers = offers_of(files)
        roles = roles_of(offers)
        return [self._loadable(offer, *roles.get(offer.path, ("", ""))) for offer in offers]

    def _loadable(self, offer: Any, role: str, checked: str) -> Any:
        words = f"{offer.words} · {checked}" if checked else offer.words
        recognised = offer.measured and states_breast(offer.path)
        name = f"{role} {offer.name}".strip()
        found = loadable_of(name, [offer.path], recognised, words, offer.warnings)
        if not recognised and offer.measured and may_be_breast(offer.path):
            found.confidence, found.selected = 0.6, True
        found.offer, found.role = offer, role
        return found

    def put_into_scene(self, loadable: Any) -> None:
        """The region as an image.

        Raises:
            BreastPredictError: pixels are missing or damaged.
        """
        from PCRPredictLib.ultrasound_nodes import add_image

        from breastpredict.dicom import read_ultrasound
        from BreastPredictLib.layers import show_layers

        image = read_ultrasound(loadable.offer.path, region=loadable.offer.region)
        node = add_image(image, loadable.name)
        if loadable.role:
            node.SetAttribute("BreastPredict.Role", loadable.role)
        self.addSeriesInSubjectHierarchy(loadable, node)
        show_layers(node, None, 0.0)


class DICOMBreastUSPlugin:
    """What makes Slicer find the plugin: a module without a panel."""

    def __init__(self, parent: Any) -> None:
        register(
            DICOMBreastUSPluginClass,
            parent,
            "DICOM Breast Ultrasound Plugin",
            "Loads the B-mode region of ultrasound with its spacing. Research use only.",
        )
