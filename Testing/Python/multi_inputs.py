"""Small cases of several inputs, for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from breastpredict.learning import MultiInputExample

SIDE = 32
CLINICAL = 4


def tiny_pcr_network(**changes: Any) -> dict[str, Any]:
    """The reduced SE-CrossT at its smallest side."""
    from breastpredict.models.pcr_network import SE_CROSST_REDUCED, pcr_variant

    small = {
        "image_size": SIDE,
        "dims": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "heads": [1, 1, 2, 2],
        "se_ratio": 4,
    }
    return pcr_variant(SE_CROSST_REDUCED, **{**small, **changes})


def multi_input_cases(
    n: int, seed: int = 0, share: float = 0.5, *, signal: float = 1.0
) -> list[MultiInputExample]:
    """Cases whose US-1 is brighter in the middle when the label is 1, as uint8 in memory."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(n):
        label = int(index < round(n * share))
        us1 = rng.integers(90, 150, (1, SIDE, SIDE))
        us1[:, 8:24, 8:24] += int(60 * signal * label)
        found.append(
            MultiInputExample(
                f"p{seed}-{index}",
                {
                    "pathology": rng.integers(0, 256, (9, 3, SIDE, SIDE)).astype(np.uint8),
                    "us0": rng.integers(90, 150, (1, SIDE, SIDE)).astype(np.uint8),
                    "us1": us1.astype(np.uint8),
                    "clinical": rng.random(CLINICAL).astype(np.float32),
                },
                label,
            )
        )
    return found


def on_disk(cases: list[MultiInputExample], folder: Path) -> list[MultiInputExample]:
    """The same cases with every array in a file."""
    moved = []
    for case in cases:
        paths = {}
        for name, array in case.inputs().items():
            paths[name] = folder / f"{case.key}-{name}.npy"
            np.save(paths[name], array)
        moved.append(MultiInputExample(case.key, paths, case.label, case.stratum))
    return moved
