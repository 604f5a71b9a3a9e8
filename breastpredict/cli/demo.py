"""``breastpredict demo``: synthetic cohort → train → predict → evaluate → a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli.progress import say
from breastpredict.errors import InputError
from breastpredict.files import write_text


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser(
        "demo", parents=[common], help="the whole way on a synthetic cohort, in minutes"
    )
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    demo.add_argument("--system", choices=("her2", "pcr", "both"), default="her2")
    demo.add_argument("--cases", type=int, default=240, metavar="N", help="of each system")
    demo.add_argument("--epochs", type=int, help="of training")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from breastpredict.cli.demo_her2 import demo_her2
    from breastpredict.cli.demo_pcr import demo_pcr

    out: Path = options.out
    if out.exists() and any(out.iterdir()):
        raise InputError(
            "The folder of the demonstration is not empty",
            path=out,
            remedy="Remove it, or choose another with --out",
        )
    if options.cases < 60:
        raise InputError("The demonstration needs at least 60 cases", remedy="Raise --cases")
    say(f"{RESEARCH_USE_ONLY} {SYNTHETIC_WARNING}", options.quiet)
    parts = {"her2": demo_her2, "pcr": demo_pcr}
    if options.system == "both":
        failed = [part(out / system, options) for system, part in parts.items()]
        write_text(out / "index.html", _both())
    else:
        failed = [parts[options.system](out, options)]
    print((out / "index.html").resolve())
    return 1 if any(failed) else 0


def _both() -> str:
    """The page that leads to both systems'."""
    from breastpredict.study.case_output import templates

    page = templates().get_template("demo_both.html.j2")
    return page.render(note=RESEARCH_USE_ONLY, synthetic_note=SYNTHETIC_WARNING)
