"""A result as table and chart nodes."""

from __future__ import annotations

from typing import Any

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
            "threshold": [*("" for _ in CLASSES), *(f"{s['threshold']:.4f}" for s in scores)],
        },
    )
    put_under_study(node, opened)
    remember(node, {"PredictedClass": result["predicted_class"], "Note": result["note"]})
    return node


def result_chart(table: Any) -> Any:
    """A bar chart of the table's values."""
    return bar_chart(_NAME, table, "quantity", "value")
