"""A fitted baseline as JSON, so that predicting can show it beside the model."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from breastpredict.errors import InputError
from breastpredict.files import write_text
from breastpredict.learning.baselines import Baseline, Column

_MAXIMUM = 1_000_000  # bytes; a real one has some thousand


def save_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline; it holds no patient's row."""
    parts = [asdict(part) for part in baseline._parts]
    for part in parts:
        if not math.isfinite(part["fill"]):
            part["fill"] = None  # a category has no median: NaN, which JSON does not know
    content = {
        "columns": list(baseline.columns),
        "dropped": dict(baseline.dropped),
        "handling": list(baseline.handling),
        "coefficients": list(baseline.coefficients),
        "threshold": baseline.threshold,
        "rows": baseline.rows,
        "positives": baseline.positives,
        "parts": parts,
        "centre": baseline._centre.tolist(),
        "spread": baseline._spread.tolist(),
    }
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def load_baseline(path: Path) -> Baseline:
    """Read a baseline that `save_baseline` wrote.

    Raises:
        InputError: it is damaged.
    """
    try:
        if path.stat().st_size > _MAXIMUM:
            raise ValueError("too large")
        content = json.loads(path.read_text("utf-8"))
        parts = []
        for part in content["parts"]:
            levels = part["levels"]
            fill = part["fill"]
            parts.append(
                Column(
                    **{
                        **part,
                        "levels": None if levels is None else tuple(levels),
                        "order": tuple(part["order"]),
                        "fill": math.nan if fill is None else float(fill),
                    }
                )
            )
        coefficients = tuple(float(value) for value in content["coefficients"])
        centre = np.array(content["centre"], np.float64)
        spread = np.array(content["spread"], np.float64)
        if not (len(coefficients) == len(centre) + 1 == len(spread) + 1):
            raise ValueError("sizes")
        if not all(map(math.isfinite, (*coefficients, *centre.tolist(), *spread.tolist()))):
            raise ValueError("not finite")
        threshold = content["threshold"]
        return Baseline(
            tuple(content["columns"]),
            dict(content["dropped"]),
            tuple(content["handling"]),
            coefficients,
            None if threshold is None else float(threshold),
            int(content["rows"]),
            int(content["positives"]),
            tuple(parts),
            centre,
            spread,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            "The clinical baseline of the run is damaged", path=path, remedy="Train it again"
        ) from error
