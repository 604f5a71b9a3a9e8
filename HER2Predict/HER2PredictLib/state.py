"""What the panel allows at the moment, and why it does not allow the rest. Neither MRML nor Qt."""

from __future__ import annotations

from dataclasses import dataclass

from BreastPredictLib.state import TaskFacts, task_reasons, unless_busy


@dataclass(frozen=True)
class Facts(TaskFacts):
    """What the panel's state depends on.

    Attributes:
        study_chosen: a folder, database study or loaded volumes.
        study_open: its headers were read.
        acquisitions: how many were found.
        phase: the chosen one, 0 for none.
        phase_reason: why there is none.
        volumes_loaded: the chosen phase is in the scene.
        point, box: placed.
        mask_file: the file of a mask is chosen.
        tumour_problem: why there is no tumour, empty if there is one.
    """

    study_chosen: bool = False
    study_open: bool = False
    acquisitions: int = 0
    phase: int = 0
    phase_reason: str = ""
    volumes_loaded: bool = False
    point: bool = False
    box: bool = False
    mask_file: bool = False
    tumour_problem: str = "There is no tumour yet."


def reasons(facts: Facts) -> dict[str, str]:
    """Button → why it cannot be pressed; empty where it can.

    The buttons: "open", "load", "point", "box", "draw", "import", "predict", "save_dicom",
    "save_report", "train".
    """
    study = "" if facts.study_open else "Choose and read a study first."
    phase = study or _phase(facts)
    volumes = phase or (
        "" if facts.volumes_loaded else f"Load the volumes of phase {facts.phase} first."
    )
    why = {
        "open": "" if facts.study_chosen else "Choose a study.",
        "load": phase,
        "point": volumes or ("" if facts.point else "Place a point in the tumour first."),
        "box": volumes or ("" if facts.box else "Draw a box around the tumour first."),
        "draw": volumes,
        "import": volumes or ("" if facts.mask_file else "Choose the file of the mask first."),
        **task_reasons(facts, volumes or facts.tumour_problem),
    }
    return unless_busy(facts, why)


def _phase(facts: Facts) -> str:
    if not facts.acquisitions:
        return "The study has no DCE acquisition: see the table."
    if not facts.phase:
        return f"There is no post-contrast phase: {facts.phase_reason}. Choose a phase by hand."
    return ""
