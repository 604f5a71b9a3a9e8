"""``breastpredict pcr verify``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.cli.progress import Steps, say
from breastpredict.errors import InputError


def add_command(tasks: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to those of the pCR system."""
    verify = tasks.add_parser(
        "verify", parents=[common], help="test whether a run's maps find planted lesions"
    )
    verify.add_argument("run_folder", type=Path, metavar="RUN")
    verify.add_argument("--out", type=Path, required=True, metavar="RUN2")
    verify.add_argument("--cases", type=int, default=60, metavar="N", help="planted patients")
    verify.add_argument("--explain", choices=("both", "gradcam", "occlusion"), default="both")
    verify.add_argument("--seed", type=int, default=0, help="of the planted patients")
    verify.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|...")
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from breastpredict.learning.site import check_target
    from breastpredict.pcr import MAP_METHODS
    from breastpredict.pcr.verify import LEAST_CASES, verify_pcr
    from breastpredict.phantom.pcr_planted import make_planted

    if options.cases < LEAST_CASES:
        raise InputError(
            f"{options.cases} planted patients are too few to assess a map",
            remedy=f"Give --cases {LEAST_CASES} or more",
        )
    check_target(options.out)
    with tempfile.TemporaryDirectory(prefix="breastpredict-") as folder:
        planted = make_planted(
            folder,
            options.cases,
            seed=options.seed,
            progress=Steps("phantom", options.quiet),
        )
        done = verify_pcr(
            options.run_folder,
            options.out,
            planted,
            planted_as=f"synthetic patients, seed {options.seed}",
            methods=MAP_METHODS if options.explain == "both" else (options.explain,),
            device=options.device,
            progress=Steps("verify", options.quiet),
        )
    for variant, entries in done.pointing.items():
        for method, entry in entries.items():
            print(f"{variant}, {method}: {', '.join(_words(entry))}")
    say(
        "Planted patients are phantoms: to a model of real patients they are strange", options.quiet
    )
    print(RESEARCH_USE_ONLY)
    print(options.out)
    return 0


def _words(entry: Mapping[str, Any]) -> Iterator[str]:
    yield str(entry["status"])
    yield f"{entry['cases']} of {entry['planted']} planted patients positive to the network"
    for name, found in entry.get("images", {}).items():
        yield f"{name} pointing {found['pointing']:.2f}, energy {found['energy']:.1f} × area"
