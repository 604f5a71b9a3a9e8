"""What a trained run says of itself, without loading a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from breastpredict import SYNTHETIC_WARNING
from breastpredict.learning.described import described_bundle
from breastpredict.pcr.inputs import TITLES
from breastpredict.pcr.policy import PcrPolicy
from breastpredict.pcr.predict import PcrModel


def describe_pcr_run(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The variants of a run, as plain values. Does not import torch.

    Returns:
        ``tasks``, one for each variant, as `breastpredict.learning.described.described_bundle`
        gives it, held out being the test patients; ``variants``, name → the inputs it takes;
        ``input``, the regions that the first variant's network sees; ``baseline``, whether there
        is one of the clinical variables alone; ``synthetic`` and ``synthetic_note``.

    Raises:
        InputError: no run, or damaged bundles.
    """
    from breastpredict.models import read_bundle_metadata

    facts = PcrModel.load(run).facts
    tasks = []
    for variant, inputs in facts.variants.items():
        whole = Path(facts.folder) / variant
        title = f"{variant} ({', '.join(TITLES[name] for name in inputs)})"
        tasks.append(described_bundle(read_bundle_metadata(whole, "pcr"), title, "test"))
    synthetic = any(block["synthetic"] for block in facts.blocks.values())
    return {
        "tasks": tasks,
        "variants": {name: list(inputs) for name, inputs in facts.variants.items()},
        "input": PcrPolicy.from_block(next(iter(facts.blocks.values()))).to_json(),
        "baseline": facts.baseline is not None,
        "synthetic": synthetic,
        "synthetic_note": SYNTHETIC_WARNING if synthetic else "",
    }
