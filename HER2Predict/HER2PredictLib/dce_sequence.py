"""A DCE acquisition in the scene: its phases as a sequence, the early one marked and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from BreastPredictLib.geometry import place
from BreastPredictLib.overlay import remember
from BreastPredictLib.words import SIDE_NOT_KNOWN, SIDES

from .study_nodes import describe_phase, phase_name

if TYPE_CHECKING:
    from breastpredict.dicom import DceAcquisition, Phase


def name_of(acquisition: DceAcquisition) -> str:
    """What an acquisition is called, with its side and its early phase."""
    side = SIDES.get(acquisition.laterality or "", SIDE_NOT_KNOWN)
    kind = f", {acquisition.kind}" if acquisition.kind else ""
    chosen = acquisition.chosen
    early = "no early phase" if chosen is None else f"early phase {chosen}"
    return f"DCE {side}{kind}, {len(acquisition.phases)} phases, {early}"


def add_sequence(acquisition: DceAcquisition, number: int, study_uid: str) -> Any:
    """Put an acquisition into the scene.

    The sequence is indexed by seconds (of the phases' own origin of time), or by the number of the
    phase where times are not known. All of its volumes have the attributes that HER2 Predict gives
    to the volumes it loads.

    Args:
        acquisition: all of whose phases are read.
        number: of the acquisition in its study, from 1.
        study_uid: of the study.

    Returns:
        the volume node that shows the phase which the sequence browser selects, at first the early
        one.

    Raises:
        InputError: pixels are missing or damaged; then nothing is in the scene.
    """
    scene = slicer.mrmlScene
    sequence = slicer.vtkMRMLSequenceNode()
    timed = _is_timed(acquisition)
    sequence.SetName(scene.GenerateUniqueName(name_of(acquisition)))
    sequence.SetIndexName("time" if timed else "phase")
    sequence.SetIndexUnit("s" if timed else "")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    for phase in acquisition.phases:
        value = f"{phase.time_s:.3f}" if timed else str(phase.index)
        sequence.SetDataNodeAtValue(_volume(phase, acquisition, number, study_uid), value)
    remember(
        sequence,
        {
            "Acquisition": str(number),
            "EarlyPhase": str(acquisition.chosen or ""),
            "EarlyPhaseReason": f"{acquisition.rule}: {acquisition.reason}",
            "TimeOrigin": acquisition.phases[0].time_origin,
            "Laterality": acquisition.laterality or "",
            "StudyUID": study_uid,
        },
    )
    scene.AddNode(sequence)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber((acquisition.chosen or 1) - 1)
    logic = slicer.modules.sequences.logic()
    logic.UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence)


def _is_timed(acquisition: DceAcquisition) -> bool:
    """Whether every phase has a time of its own, to the millisecond that the sequence keeps."""
    times = [phase.time_s for phase in acquisition.phases]
    return bool(np.isfinite(times).all()) and len({f"{t:.3f}" for t in times}) == len(times)


def _volume(phase: Phase, acquisition: DceAcquisition, number: int, study_uid: str) -> Any:
    """A phase as a volume node that is in no scene."""
    import SimpleITK as sitk

    volume = slicer.vtkMRMLScalarVolumeNode()
    is_early = phase.index == acquisition.chosen
    volume.SetName(phase_name(phase.index, phase.role) + (", early" if is_early else ""))
    image = phase.read()  # kept: the view does not keep it
    slicer.util.updateVolumeFromArray(volume, sitk.GetArrayViewFromImage(image))
    place(volume, phase.geometry)
    describe_phase(volume, phase.facts, number, study_uid)
    remember(volume, {"Role": phase.role, "Early": "yes" if is_early else "no"})
    return volume
