"""What the panel allows at the moment, and why it does not allow the rest. Neither MRML nor Qt."""

from __future__ import annotations

from dataclasses import dataclass

from BreastPredictLib.state import TaskFacts, task_reasons, unless_busy


@dataclass(frozen=True)
class Facts(TaskFacts):
    """What the panel's state depends on.

    Attributes:
        chosen: an image, or a biopsy.
        read: the chosen ones were read.
        us0, us1, biopsy: which of them are in the scene.
        clinical: a clinical variable is known.
        clinical_problem: why those that were typed cannot be used.
        pair_problem: why both times are no pair.
        regions_problem: why the squares cannot be used.
        gone: the tumour is no longer visible on US-1.
        variant_problem: why no variant of the run fits.
        table: of a list of patients is chosen.
        patients: in the list.
        place: in the list, from 0; -1 for none.
        picked: a row of the table is chosen for the clinical variables.
        question: what must be chosen before the images can be read.
    """

    chosen: bool = False
    read: bool = False
    us0: bool = False
    us1: bool = False
    biopsy: bool = False
    clinical: bool = False
    clinical_problem: str = ""
    pair_problem: str = ""
    regions_problem: str = ""
    gone: bool = False
    variant_problem: str = ""
    table: bool = False
    patients: int = 0
    place: int = -1
    picked: bool = False
    question: str = ""


def reasons(facts: Facts) -> dict[str, str]:
    """Button → why it cannot be pressed; empty where it can.

    The buttons: "table", "previous", "next", "clinical", "read", "us0_square", "us1_square",
    "rectangle", "predict", "save_dicom", "save_report", "train".
    """
    images = "" if facts.read else "Choose and read the images first."
    square = {
        name: images or ("" if there else f"{title} is not among the images.")
        for name, title, there in (("us0", "US-0", facts.us0), ("us1", "US-1", facts.us1))
    }
    gone = "The tumour is no longer visible: its position at US-0 is taken." if facts.gone else ""
    no_list = "" if facts.patients else "Read the table of a list first."
    last = facts.place >= facts.patients - 1
    run = task_reasons(facts, _inputs(facts))
    # What the run wants can be said only where there is one.
    run["predict"] = run["predict"] or facts.variant_problem
    why = {
        "table": "" if facts.table else "Choose the table of the list.",
        "previous": no_list or ("" if facts.place > 0 else "This is the first patient."),
        "next": no_list or ("This is the last patient." if last else ""),
        "clinical": no_list or ("" if facts.picked else "Choose a row of the table."),
        "read": facts.question if facts.chosen else "Choose an ultrasound image or a biopsy.",
        "us0_square": square["us0"],
        "us1_square": square["us1"] or gone,
        "rectangle": images or ("" if facts.biopsy else "There is no biopsy among the images."),
        **run,
    }
    return unless_busy(facts, why)


def _inputs(facts: Facts) -> str:
    if facts.chosen and not facts.read:
        return facts.question or "Read the images first."
    if not facts.chosen and not facts.clinical and not facts.clinical_problem:
        return "Choose images, or type clinical variables."
    return facts.clinical_problem or facts.pair_problem or facts.regions_problem
