"""Which buttons the panel's state allows, and the words for the others; neither scene nor Qt."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from her2_panel import BUTTONS, MODULE


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module with the rules; it needs no Slicer."""
    monkeypatch.syspath_prepend(str(MODULE.parent))
    yield importlib.import_module("HER2PredictLib.state")


def everything(state: Any) -> Any:
    """A case that is predicted, and a cohort to train on: all is possible."""
    return state.Facts(
        study_chosen=True, study_open=True, acquisitions=1, phase=2, volumes_loaded=True,
        point=True, box=True, mask_file=True, tumour_problem="", run_problem="",
        cohort=True, training_run=True, result="predicted", has_dicom=True, has_report=True,
    )  # fmt: skip


AFTER_OPENING = {"load", "point", "box", "draw", "import", "predict"}
AFTER_LOADING = AFTER_OPENING - {"load"}
SAVING = {"save_dicom", "save_report"}
TAKEN_AWAY = [
    ({"study_chosen": False}, {"open"}, "Choose a study."),
    ({"study_open": False}, AFTER_OPENING, "Choose and read a study first."),
    ({"acquisitions": 0}, AFTER_OPENING, "The study has no DCE acquisition"),
    (
        {"phase": 0, "phase_reason": "nothing enhances"},
        AFTER_OPENING,
        "There is no post-contrast phase: nothing enhances.",
    ),
    ({"volumes_loaded": False}, AFTER_LOADING, "Load the volumes of phase 2 first."),
    ({"point": False}, {"point"}, "Place a point"),
    ({"box": False}, {"box"}, "Draw a box"),
    ({"mask_file": False}, {"import"}, "Choose the file of the mask"),
    ({"tumour_problem": "It is empty."}, {"predict"}, "It is empty."),
    ({"run_problem": "It is damaged."}, {"predict"}, "It is damaged."),
    ({"missing": ("PyTorch",), "can_install": False}, {"predict", "train"}, "Not installed: PyT"),
    ({"missing": ("PyTorch",), "can_install": True}, set(), ""),
    ({"busy": "training"}, set(BUTTONS), "Busy: training."),
    ({"cohort": False}, {"train"}, "Choose the table"),
    ({"training_run": False}, {"train"}, "Choose a folder"),
    ({"result": ""}, SAVING, "There is no prediction yet."),
    ({"result": "refused"}, SAVING, "The case was refused"),
    ({"result_stale": True}, SAVING, "The case was changed since"),
    ({"has_dicom": False}, {"save_dicom"}, "This result has no DICOM files"),
    ({"has_report": False}, {"save_dicom", "save_report"}, "The result's files are gone"),
]


@pytest.mark.parametrize("change, disabled, words", TAKEN_AWAY, ids=lambda v: str(v)[:40])
def test_what_is_missing_disables_what_needs_it_and_nothing_else(
    state: Any, change: dict[str, Any], disabled: set[str], words: str
) -> None:
    why = state.reasons(everything(state))
    assert why == dict.fromkeys(BUTTONS, "")
    why = state.reasons(replace(everything(state), **change))
    assert {button for button, reason in why.items() if reason} == disabled
    assert all(why[button].startswith(words) for button in disabled)


def test_less_is_never_allowed_by_having_more(state: Any) -> None:
    """Whatever two things are missing, what either disables stays disabled."""
    full = everything(state)

    def disabled(*changes: dict[str, Any]) -> set[str]:
        facts = replace(full, **{k: v for change in changes for k, v in change.items()})
        return {button for button, reason in state.reasons(facts).items() if reason}

    changes = [change for change, _, _ in TAKEN_AWAY]
    for one, other in itertools.combinations(changes, 2):
        if not set(one) & set(other):
            assert disabled(one, other) == disabled(one) | disabled(other), (one, other)


def test_every_fact_matters(state: Any) -> None:
    changed = {name for change, _, _ in TAKEN_AWAY for name in change}
    assert changed == {field.name for field in fields(state.Facts)}
