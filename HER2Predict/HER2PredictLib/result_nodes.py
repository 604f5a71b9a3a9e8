"""A result as table and chart nodes."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from BreastPredictLib.hierarchy import put_under_study
from BreastPredictLib.overlay import remember
from BreastPredictLib.tables import bar_chart, table_node

CLASSES = ("zero", "low", "positive")
_NAME = "HER2 prediction"


def result_table(result: dict[str, Any], opened: dict[str, Any]) -> Any:
    """The three values and both scores as a table."""
    scores = result["scores"]
    node = table_node(
        _NAME,
        {
            "quantity": [
                *(f"HER2-{name}" for name in CLASSES),
                *(f"{s['title']}: score for {s['points_to'].replace('_', ' ')}" for s in scores),
            ],
            "value": [
                *(result["probabilities"][n] for n in CLASSES),
                *(s["score"] for s in scores),
            ],
            "threshold": [*("" for _name in CLASSES), *(f"{s['threshold']:.4f}" for s in scores)],
        },
    )
    put_under_study(node, opened)
    remember(node, {"PredictedClass": result["predicted_class"], "Note": result["note"]})
    return node


def result_chart(table: Any) -> Any:
    """A bar chart of the table's values."""
    return bar_chart(_NAME, table, "quantity", "value")


def notes_of(result: dict[str, Any]) -> list[str]:
    """What a result must not be taken for, a line each."""
    notes = []
    values = result["probabilities"]
    if values[result["predicted_class"]] < max(values.values()):
        notes.append(_("The class follows from the thresholds, not from the largest value."))
    if result["map"]:
        notes.append(result["map"]["label"])
    notes += [*result["overrides"], *result["warnings"]]
    notes += [result["no_dicom"], result["synthetic_note"], result["note"]]
    return [note for note in notes if note]
