"""A result as table and chart nodes."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.overlay import remember
from BreastPredictLib.tables import bar_chart, table_node

from .image_nodes import study_of

_NAME = "pCR prediction"


def values_of(result: dict[str, Any]) -> dict[str, float]:
    """What is shown side by side: name → value from 0 to 1."""
    values = {"Complete response": result["probability"], "Threshold": result["threshold"]}
    if result["baseline"] is not None:
        values["Clinical variables only"] = result["baseline"]
    return values


def result_table(result: dict[str, Any], opened: dict[str, Any]) -> Any:
    """Output, threshold and clinical baseline as a table."""
    values = values_of(result)
    node = table_node(_NAME, {"quantity": list(values), "value": list(values.values())})
    put_under_study(node, study_of(opened, "us1" if opened.get("us1") else "us0"))
    expected = "complete response expected" if result["expected"] else "not expected"
    remember(node, {"PredictedClass": expected, "Note": result["note"]})
    return node


def result_chart(table: Any) -> Any:
    """A bar chart of the table's values."""
    return bar_chart(_NAME, table, "quantity", "value")


def notes_of(result: dict[str, Any]) -> list[str]:
    """What the result is made from and must not be taken for, a line each."""
    notes = [result["calibration"], *result["inputs_words"]]
    if result["unused"]:
        notes.append(_("Not used: {names}").format(names=", ".join(result["unused"])))
    notes += [*result["overrides"], *result["warnings"]]
    notes += [result["no_dicom"], result["synthetic_note"], result["note"]]
    return [note for note in notes if note]
