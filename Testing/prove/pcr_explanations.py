"""The tests of maps (reference: planted lesions, insertion, forgetting, mirroring, constant images)
on networks that `pcr_phantom` trained: what passes and what does not.

A map that fails is no failed proof: it is what the proof is for, and such a map is shown as "not
verified". Only patients whom a network calls positive count: to the whole network the planted
images, in which the tumour lies aside and most patches are poor, speak so much against response
that hardly any is, whatever the clinical variables say. Claimed is that this is said, that the
other networks were assessed, and that what a bundle says of its maps, on its card too, is what the
tests found.

Run by pcr_phantom.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from breastpredict.pcr import PcrModel
from breastpredict.pcr.facts import MAP_METHODS
from breastpredict.pcr.verify import ENERGY, LEAST_CASES, POINTING, SIMILAR, verify_pcr
from breastpredict.phantom.pcr_planted import make_planted

PLANTED = 60
NETWORKS = {
    "full": "pcr_pathology_us0_us1_clinical",
    "ultrasound": "pcr_us0_us1",
    "pathology": "pcr_pathology",
}


def prove_explanations(run: Path, out: Path) -> tuple[dict[str, bool], dict[str, Any]]:
    """Test the maps of three of a run's networks; claims and numbers.

    Args:
        run: with the bundles `NETWORKS`.
        out: folder of the verified run; what stands there is replaced.
    """
    chosen = out.with_name("to-verify")
    for folder in (out, chosen):
        shutil.rmtree(folder, ignore_errors=True)
    for name in NETWORKS.values():
        shutil.copytree(run / name, chosen / name)
    planted = make_planted(out.with_name("planted"), PLANTED, seed=77, workers=2)
    done = verify_pcr(
        chosen,
        out,
        planted,
        planted_as="synthetic patients, seed 77",
        progress=lambda at, total, line: print(f"{at}/{total} {line}", flush=True),
    )
    blocks = PcrModel.load(out).facts.blocks
    cards = {
        name: (out / bundle / "docs" / "README.md").read_text("utf-8")
        for name, bundle in NETWORKS.items()
    }
    found = {name: dict(done.pointing[bundle]) for name, bundle in NETWORKS.items()}
    assessed = [
        name
        for name, entries in found.items()
        if all(entry["status"] != "not assessed" for entry in entries.values())
    ]
    claims = {
        f"with fewer than {LEAST_CASES} counted patients not assessed, else assessed": all(
            (entry["status"] == "not assessed") == (entry["cases"] < LEAST_CASES)
            for entries in found.values()
            for entry in entries.values()
        ),
        "at least two networks were assessed": len(assessed) >= 2,
        "every bundle and its card say what was found": all(
            blocks[NETWORKS[name]]["pointing"] == entries
            and all(
                f"- {title}: {'verified' if entries[method]['passed'] else 'not verified'}; test of"
                in cards[name]
                for method, title in zip(MAP_METHODS, ("Grad-CAM", "Occlusion"), strict=True)
            )
            for name, entries in found.items()
        ),
        "constant images give no undefined number": all(
            entry["further"]["constant"]["passed"]
            for entries in found.values()
            for entry in entries.values()
            if "further" in entry
        ),
    }
    return claims, {
        "what passes": f"pointing at least {POINTING}, energy at least {ENERGY:g} times the area, "
        f"on every image; forgetting: rank correlation below {SIMILAR}; mirroring: at least so",
        "networks": found,
    }
