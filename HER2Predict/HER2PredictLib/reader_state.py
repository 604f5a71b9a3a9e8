"""What a reader study allows, and why it does not allow the rest. Neither MRML nor Qt.

The delineation mode is the same for all readers of a study: where contours start from a point,
nobody starts by hand, and the other way.
"""

from __future__ import annotations

from dataclasses import dataclass

from BreastPredictLib.state import TaskFacts, unless_busy

_ELSEWHERE = "open load import predict save_dicom save_report train".split()
_STARTS = {
    "point": "from a point in the tumour",
    "box": "from a box around the tumour",
    "manual": "by hand",
}


@dataclass(frozen=True)
class ReaderFacts:
    """What the section's state depends on.

    Attributes:
        path: a folder is chosen.
        plan: it is open.
        reading: a reader is signed in.
        shown: the case is in the scene.
        mode: "point", "box" or "manual".
        automatic: the case was delineated from the reader's point or box.
        point, box: placed.
        busy: the task under way, or empty.
    """

    path: bool = False
    plan: bool = False
    reading: bool = False
    shown: bool = False
    mode: str = "manual"
    automatic: bool = False
    point: bool = False
    box: bool = False
    busy: str = ""


def reader_reasons(facts: ReaderFacts) -> dict[str, str]:
    """Button → why it cannot be pressed; empty where it can.

    The buttons: "reader_open", "reader_sign_in", "reader_save", "reader_stop"; and while a reader
    is signed in, those of the case, see `HER2PredictLib.state.reasons`.
    """
    signed_in = "Stop reading first." if facts.reading else ""
    signed_out = "" if facts.reading else "Sign in first."
    loading = signed_out or ("" if facts.shown else "The case is not loaded yet.")
    why = {
        "reader_open": signed_in or ("" if facts.path else "Choose the folder of a plan."),
        "reader_sign_in": signed_in or ("" if facts.plan else "Open the plan of a study first."),
        "reader_save": loading,
        "reader_stop": signed_out,
    }
    if facts.reading:
        why |= dict.fromkeys(_ELSEWHERE, "A reader study is under way: stop reading first.")
        why |= {
            "point": loading
            or _mode(facts, "point")
            or ("" if facts.point else "Place a point in the tumour first."),
            "box": loading
            or _mode(facts, "box")
            or ("" if facts.box else "Draw a box around the tumour first."),
            "draw": loading or ("" if facts.automatic else _mode(facts, "manual")),
        }
    return unless_busy(TaskFacts(busy=facts.busy), why)


def _mode(facts: ReaderFacts, mode: str) -> str:
    """Why a contour does not start like this; empty where it does."""
    if facts.mode == mode:
        return ""
    return f"In this study every contour starts {_STARTS[facts.mode]}."
