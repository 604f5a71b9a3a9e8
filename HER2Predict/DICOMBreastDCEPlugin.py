"""DICOM plugin: a DCE acquisition as one loadable, its phases as a sequence. Research use only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import HER2PredictLib  # noqa: F401  (finds BreastPredictLib in a source tree too)
from slicer.i18n import tr as _

from BreastPredictLib.dicom_plugin import StudyPlugin, loadable_of, may_be_breast, register


class DICOMBreastDCEPluginClass(StudyPlugin):
    """Offers every DCE acquisition in a selection of MR series.

    It beats Slicer's own plugins only where phases before and after contrast were told apart by
    the signal, and no other part of the body is stated.
    """

    modality = "MR"

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Breast DCE-MRI")

    def offers(self, files: Sequence[str]) -> list[Any]:
        """One loadable for each acquisition.

        Raises:
            BreastPredictError: the files cannot be read.
        """
        from breastpredict.dicom import index_files

        return [
            self._offer(study, acquisition)
            for study in index_files(files)
            for acquisition in study.dce
        ]

    def _offer(self, study: Any, acquisition: Any) -> Any:
        from HER2PredictLib.dce_sequence import name_of

        instances = [each for phase in acquisition.phases for each in phase.instances]
        files = list(dict.fromkeys(each.path for each in instances))
        recognised = (
            acquisition.chosen is not None
            and bool(acquisition.pre)
            and bool(acquisition.post)
            and may_be_breast(files[0])
        )
        found = loadable_of(
            name_of(acquisition),
            files,
            recognised,
            f"{acquisition.rule}: {acquisition.reason}",
            acquisition.warnings,
        )
        found.study_uid, found.acquisition = study.study_uid, acquisition
        found.number = study.dce.index(acquisition) + 1
        return found

    def put_into_scene(self, loadable: Any) -> None:
        """The phases as a sequence, the early one shown.

        Raises:
            BreastPredictError: pixels are missing or damaged.
        """
        from HER2PredictLib.dce_sequence import add_sequence

        from BreastPredictLib.layers import show_layers

        shown = add_sequence(loadable.acquisition, loadable.number, loadable.study_uid)
        self.addSeriesInSubjectHierarchy(loadable, shown)
        show_layers(shown, None, 0.0)


class DICOMBreastDCEPlugin:
    """What makes Slicer find the plugin: a module without a panel."""

    def __init__(self, parent: Any) -> None:
        register(
            DICOMBreastDCEPluginClass,
            parent,
            "DICOM Breast DCE-MRI Plugin",
            "Loads the phases of a breast DCE-MRI as a sequence. Research use only.",
        )
