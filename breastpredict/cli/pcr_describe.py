"""``breastpredict pcr describe``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.models.pcr_network import PCR_PRESETS, PCR_VARIANTS, pcr_variant


def add_command(tasks: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to those of the pCR system."""
    describe = tasks.add_parser(
        "describe", parents=[common], help="a network's shapes, parameters and multiply-adds"
    )
    describe.add_argument("--preset", choices=PCR_PRESETS, default="se-crosst-t")
    describe.add_argument("--variant", choices=PCR_VARIANTS, default="full")
    describe.add_argument("--json", action="store_true", help="for programs")
    describe.set_defaults(run=_describe)


def _describe(options: argparse.Namespace) -> int:
    from breastpredict.models import describe

    network = pcr_variant(PCR_PRESETS[options.preset], **PCR_VARIANTS[options.variant])
    found = describe(network)
    print(json.dumps(found, indent=2) if options.json else _text(found))
    return 0


def _text(found: dict[str, Any]) -> str:
    """The description as lines for a terminal."""
    network = found["network"]
    lines = [f"{network['architecture']}. {RESEARCH_USE_ONLY}", ""]
    for name, shape in found["inputs"].items():
        what = f" ({', '.join(network['clinical'])})" if name == "clinical" else ""
        lines.append(f"input {name}: {'×'.join(map(str, shape))}{what}")
    lines.append("")
    if found["stages"]:
        lines += [
            "One encoder, one image (GMAC: billion multiply-adds):",
            f"{'stage':5} {'map':>9} {'channels':>8} {'blocks':>6} {'heads':>5} {'G':>3} {'I':>3} "
            f"{'CEL':>11} {'SE':>8} {'positions':>11} {'blocks':>12} "
            f"{'CEL':>6} {'linear':>7} {'attention':>9}",
            f"{'':45}{'(parameters)':>46} {'(GMAC)':>24}",
        ]
    for row in found["stages"]:
        counts, macs = row["parameters"], row["macs"]
        shape = "×".join(map(str, row["map"]))
        padded = sorted({side for side in row["padded_to"] if side != row["map"][0]})
        lines.append(
            f"{row['stage']:<5} {shape:>9} {row['channels']:>8} {row['blocks']:>6} "
            f"{row['heads']:>5} {row['group']:>3} {row['interval']:>3} {counts['cel']:>11,} "
            f"{counts['se']:>8,} {counts['positions']:>11,} {counts['blocks']:>12,} "
            f"{macs['cel'] / 1e9:>6.2f} {macs['linear'] / 1e9:>7.2f} "
            f"{macs['attention'] / 1e9:>9.2f}"
            + (f"  padded to {', '.join(map(str, padded))}" if padded else "")
        )
    encoder = found["encoder"]
    lines += [
        "",
        f"one encoder: {encoder['parameters']:,} parameters, {encoder['macs'] / 1e9:.2f} GMAC",
        f"encodings of a case: {found['encodings']}",
        f"network: {found['parameters']:,} parameters, {found['macs'] / 1e9:.1f} GMAC a case",
    ]
    return "\n".join(lines)
