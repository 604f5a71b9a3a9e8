"""What a panel allows at the moment, and why it does not allow the rest. Neither MRML nor Qt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskFacts:
    """What the state of either panel depends on.

    Attributes:
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


def task_reasons(facts: TaskFacts, inputs: str) -> dict[str, str]:
    """Why "predict", "save_dicom", "save_report" and "train" cannot be pressed; empty if they can.

    Args:
        facts: the panel's.
        inputs: why there is nothing to predict on, empty if there is.
    """
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
    return {
        "predict": inputs or facts.run_problem or packages,
        "save_dicom": result
        or files
        or ("" if facts.has_dicom else "This result has no DICOM files: see the note above."),
        "save_report": result or files,
        "train": packages
        or ("" if facts.cohort else "Choose the table of the cohort.")
        or ("" if facts.training_run else "Choose a folder for the run."),
    }


def unless_busy(facts: TaskFacts, why: dict[str, str]) -> dict[str, str]:
    """The same, where nothing can be pressed while a task is under way."""
    busy = f"Busy: {facts.busy}. Cancel it, or wait." if facts.busy else ""
    return {button: busy or reason for button, reason in why.items()}
