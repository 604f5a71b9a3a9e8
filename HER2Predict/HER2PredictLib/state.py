"""What the panel allows at the moment, and why it does not allow the rest. Neither MRML nor Qt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
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
        run_problem: why the bundles cannot be used, empty if they can.
        missing: requirements to install first.
        can_install: the user may be asked to install them.
        busy: the task under way, or empty.
        cohort, training_run: chosen.
        result: "", "predicted" or "refused".
        result_stale: made before something was changed.
        has_dicom: the result has DICOM files, still there.
        has_report: the result's report is still there.
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
    run_problem: str = "Choose the folder of a trained run."
    missing: tuple[str, ...] = ()
    can_install: bool = True
    busy: str = ""
    cohort: bool = False
    training_run: bool = False
    result: str = ""
    result_stale: bool = False
    has_dicom: bool = False
    has_report: bool = False


def reasons(facts: Facts) -> dict[str, str]:
    """Button → why it cannot be pressed; empty where it can.

    The buttons: "open", "load", "point", "box", "draw", "import", "predict", "save_dicom",
    "save_report", "train".
    """
    busy = f"Busy: {facts.busy}. Cancel it, or wait." if facts.busy else ""
    study = "" if facts.study_open else "Choose and read a study first."
    phase = study or _phase(facts)
    volumes = phase or (
        "" if facts.volumes_loaded else f"Load the volumes of phase {facts.phase} first."
    )
    packages = ""
    if facts.missing and not facts.can_install:
        packages = f"Not installed: {', '.join(facts.missing)}."
    result = "" if facts.result == "predicted" else "There is no prediction yet."
    if facts.result == "refused":
        result = "The case was refused: there is no prediction to save."
    elif result == "" and facts.result_stale:
        result = "The case was changed since: predict again first."
    # They lie in a temporary folder, which a scene that is saved and loaded does not bring.
    files = "" if facts.has_report else "The result's files are gone: predict again."
    why = {
        "open": "" if facts.study_chosen else "Choose a study.",
        "load": phase,
        "point": volumes or ("" if facts.point else "Place a point in the tumour first."),
        "box": volumes or ("" if facts.box else "Draw a box around the tumour first."),
        "draw": volumes,
        "import": volumes or ("" if facts.mask_file else "Choose the file of the mask first."),
        "predict": volumes or facts.tumour_problem or facts.run_problem or packages,
        "save_dicom": result
        or files
        or ("" if facts.has_dicom else "This result has no DICOM files: see the note above."),
        "save_report": result or files,
        "train": packages
        or ("" if facts.cohort else "Choose the table of the cohort.")
        or ("" if facts.training_run else "Choose a folder for the run."),
    }
    return {button: busy or reason for button, reason in why.items()}


def _phase(facts: Facts) -> str:
    if not facts.acquisitions:
        return "The study has no DCE acquisition: see the table."
    if not facts.phase:
        return f"There is no post-contrast phase: {facts.phase_reason}. Choose a phase by hand."
    return ""
