"""Which bundles predict, on what, and the button that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from BreastPredictLib.run_section import RunSection


class PredictSection(RunSection):
    """The section "Predict"."""

    def description_of(self, run: Path) -> dict[str, Any]:
        """What a run of both tasks says of itself.

        Raises:
            BreastPredictError: it cannot be used.
        """
        from breastpredict.her2 import describe_run

        return describe_run(run)

    def predict(self, done: Any, failed: Any) -> None:
        """Start a prediction."""
        self._panel.case.predict(done, failed)
